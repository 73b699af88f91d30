"""The demo as it is deployed: in a container, behind a proxy, on a Space, in a tunnel."""

import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from chromium import ROOT, App
from pages import ASTRONAUT, stored
from real_server import Stranger, file
from reverse_proxy import reverse_proxy

from agegenderemo import Analyzer
from agegenderemo.web.app import build_demo
from agegenderemo.web.guard import assembly
from agegenderemo.web.guard.server import running
from agegenderemo.web.options import page_options

pytestmark = pytest.mark.slow

NAME = "faces.example"
OPTIONS = ("--allowed-host", NAME, "--trusted-proxy", "127.0.0.1")
READ_ONLY = """
import os, subprocess, sys
folder = sys.argv[1]
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["mount", "--bind", folder, folder], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", "/"], check=True)
os.chdir("/")
if sys.argv[2:]:
    os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
"""Everything becomes read-only but one folder, as by ``docker run --read-only --tmpfs``."""


class ContainedApp(App):
    """``python app.py`` as the Dockerfile starts it, as far as that can be had without Docker."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder, str(ROOT / "app.py"), *options)
        own = [] if os.geteuid() == 0 else ["--map-root-user"]
        self.inside = ["unshare", *own, "--mount", sys.executable, "-c", READ_ONLY]
        self.inside.append(str(self.temporary))

    def start(self, timeout: float = 90) -> None:
        self.start_command([*self.inside, *self.options], {"HOME": None}, timeout)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    app = ContainedApp(tmp_path_factory.mktemp("app"), *OPTIONS)
    try:
        probe = subprocess.run(app.inside, capture_output=True, timeout=20)
    except FileNotFoundError:
        pytest.skip("unshare is not here")
    if probe.returncode:
        pytest.skip("this machine allows no mounts of one's own")
    try:
        app.start()
        yield app
        assert "Traceback" not in app.log()
    finally:
        app.stop()
    assert not _written(app)


def _written(app: App) -> set[str]:
    """Folders and files within the temporary one; gradio imports matplotlib where it is installed,
    which makes a cache of fonts."""
    names = {path.relative_to(app.temporary).parts[0] for path in app.files()}
    return {name for name in names if not name.startswith("matplotlib-")}


def test_a_read_only_root_and_no_home_are_enough(deployed: App) -> None:
    assert _faces(Stranger(deployed)) == 1
    assert _written(deployed) == {f"agegenderemo-{os.geteuid()}"}


def _faces(stranger: Stranger) -> int:
    """How many a photo has that is sent, read and asked for as gradio_client does."""
    (path,) = stranger.upload([("me.jpg", ASTRONAUT.read_bytes())])
    call = f"{stranger.api}call/analyze"
    event = stranger.web.post(call, json={"data": [file(path)]}).json()["event_id"]
    answer = stranger.web.get(f"{call}/{event}").text
    assert stranger.fetch(path).content == ASTRONAUT.read_bytes()
    return len(json.loads(answer.partition("data: ")[2])[0]["faces"])


# ------------------------------------------------------------------ proxies


@pytest.mark.parametrize("host", [None, "127.0.0.1"], ids=["passes the name", "states its own"])
def test_a_reverse_proxy_brings_https(deployed: App, host: str | None) -> None:
    with reverse_proxy(deployed.port, host=host) as url:
        stranger = Stranger(deployed, url, {"host": NAME, "origin": f"https://{NAME}"})
        assert _faces(stranger) == 1
        if host is None:
            assert stranger.config["root"] == f"https://{NAME}"
        other = {"host": NAME, "origin": "https://evil.example"}
        body = {"data": [None]}
        assert (
            httpx.post(f"{stranger.api}call/analyze", json=body, headers=other).status_code == 403
        )


def test_a_name_that_was_not_allowed_is_refused_behind_the_proxy_too(deployed: App) -> None:
    with reverse_proxy(deployed.port) as url:
        assert httpx.get(url, headers={"host": "evil.example"}).status_code == 421
        assert httpx.get(url, headers={"host": NAME}).status_code == 200


def test_clients_of_a_trusted_proxy_are_counted_one_by_one(deployed: App) -> None:
    with reverse_proxy(deployed.port) as url, ExitStack() as stack:
        port = urlsplit(url).port
        for number in range(256):  # the bound on open requests of one address
            one = socket.create_connection(("127.0.0.1", port), 5, ("127.0.0.5", 0))
            stack.enter_context(closing(one))
            path = f"/gradio_api/heartbeat/s{number}"
            one.sendall(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            if number == 255:
                assert b" 200 " in one.recv(100)
        assert _status(url, "127.0.0.5") == 429
        assert _status(url, "127.0.0.5", "9.9.9.9") == 429  # what a client says itself is nothing
        assert _status(url, "127.0.0.6") == 200
        assert _status(url, "127.0.0.6", "127.0.0.5") == 200


def _status(url: str, address: str, forwarded: str = "") -> int:
    headers = {"host": NAME} | ({"x-forwarded-for": forwarded} if forwarded else {})
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
        return client.get(f"{url}config", headers=headers).status_code


def test_a_tunnel_ends_at_loopback_on_another_port(deployed: App) -> None:
    for name in ("localhost:9000", "127.0.0.1:9000"):
        headers = {"host": name, "origin": f"http://{name}"}
        assert _faces(Stranger(deployed, deployed.url, headers)) == 1


def test_a_space_is_reached_by_its_proxy_alone(
    analyzer: Analyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "somebody-faces.hf.space"
    monkeypatch.setenv("SPACE_ID", "somebody/faces")
    monkeypatch.setenv("SPACE_HOST", name)
    with stored(tmp_path) as store:
        page = page_options(store.limits)
        web = assembly.guarded(build_demo(analyzer, store), store, page, host="0.0.0.0")
        with running(web) as behind, reverse_proxy(urlsplit(behind).port or 0) as url:
            stranger = Stranger(None, url, {"host": name, "origin": f"https://{name}"})
            assert _faces(stranger) == 1
            assert stranger.config["root"] == f"https://{name}"
            frames = stranger.web.get(url).headers["content-security-policy"]
            assert "frame-ancestors 'self' https://huggingface.co" in frames
            assert httpx.get(url, headers={"host": "evil.example"}).status_code == 421


# ------------------------------------------------------------------ the Dockerfile


def _instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)
    ]


def test_the_image_is_small_pinned_and_nobodys() -> None:
    steps = _instructions()
    (base,) = (rest for word, rest in steps if word == "FROM")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", base)
    words = [word for word, _ in steps]
    (user,) = (rest for word, rest in steps if word == "USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert words.index("USER") > max(at for at, word in enumerate(words) if word in ("RUN", "COPY"))
    installs = [rest for word, rest in steps if word == "RUN" and "pip install" in rest]
    assert all("--require-hashes -r requirements.lock" in one for one in installs)
    assert len(installs) == 1
    assert "ADD" not in words


def test_the_image_holds_what_the_app_needs_and_no_more() -> None:
    copied = [rest.split()[0] for word, rest in _instructions() if word == "COPY"]
    assert sorted(copied) == ["agegenderemo", "app.py", "checkpoints", "examples",
                              "requirements.lock"]  # fmt: skip
    assert all((ROOT / one).exists() for one in copied)
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split("\n")
    assert ignored[1] == "*"
    assert sorted(line[1:] for line in ignored if line.startswith("!")) == sorted(copied)


def test_the_documented_container_has_a_read_only_root_and_uploads_in_memory() -> None:
    for page in ("Dockerfile", "SECURITY.md"):
        text = (ROOT / page).read_text("utf-8")
        for option in ("--read-only", "--tmpfs /tmp", "--cap-drop ALL", "no-new-privileges"):
            assert option in text, (page, option)


def test_the_lock_pins_the_page_and_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    assert "://" not in text
    assert "index" not in text
    pins: dict[str, Any] = {}
    for entry in re.split(r"\n(?=[a-z])", text.partition("\n#    ")[2].partition("\n")[2].strip()):
        name, _, rest = entry.partition("==")
        assert re.match(r"[\w.]+ ", rest), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", rest), entry
        pins[name] = rest.split()[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["app"]]
    names = {re.split(r"[^\w.-]", one)[0].lower() for one in wanted}
    assert names <= pins.keys()
    assert not {"torch", "timm", "matplotlib"} & pins.keys()
    stated = (ROOT / "requirements.txt").read_text("utf-8").split()
    assert f"gradio=={pins['gradio']}" in stated
