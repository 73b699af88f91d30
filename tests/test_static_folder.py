"""The static site on the disk: written whole, by the command too, and a server to look at it."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from chromium import ROOT
from static_pages import FAKE, page_folder, small_site

from agegenderemo.cli import main
from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.files import write_atomically
from agegenderemo.resources import default_checkpoint, resource_folder
from agegenderemo.web.static_site import runtime, write
from agegenderemo.web.static_site.build import Site
from agegenderemo.web.static_site.page import POLICY
from agegenderemo.web.static_site.serve import server
from agegenderemo.web.static_site.write import write_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return small_site(tmp_path_factory.mktemp("page"))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_site_is_updated_and_what_is_not_ours_stays(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "site"
    write_site(site, out)
    assert contents(out) == site.files
    (out / "CNAME").write_text("example.org")
    (out / "files" / f"old-{'0' * 16}.onnx").write_bytes(b"old")
    (out / "files" / f"old-{'0' * 16}.onnx.tmp").write_bytes(b"a part")
    (out / "files" / "mine.txt").write_bytes(b"mine")
    newer = small_site(tmp_path / "page", "two")
    write_site(newer, out)
    assert contents(out) == {**newer.files, "CNAME": b"example.org", "files/mine.txt": b"mine"}
    assert len(list(out.glob("app-*"))) == 1


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_int8_is_taken_where_there_is_such_a_graph(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "find_runtime", lambda given: FAKE)
    for path in default_checkpoint().parent.glob("agegendernet.*"):
        if precision == "int8" or "int8" not in path.name:
            shutil.copy(path, tmp_path)
    checkpoint, out = tmp_path / default_checkpoint().name, tmp_path / "site"
    assert main(["static", "--out", str(out), "--model", str(checkpoint)]) == 0
    described = json.loads((out / "site.json").read_text())
    assert described["network"]["precision"] == precision


@pytest.mark.parametrize("name", ["index.html", "site.json", "files/photo.jpg", ".git/config"])
def test_a_folder_of_somebody_else_is_refused(
    name: str, site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("{}")
    with pytest.raises(AgeGenderEmoError, match="other files than a site"):
        write_site(site, tmp_path)
    assert main(["static", "--out", str(tmp_path)]) == 2
    assert contents(tmp_path) == {name: b"{}"}
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_in_its_place_is_refused(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "site"
    out.write_text("mine")
    with pytest.raises(AgeGenderEmoError, match="is no folder"):
        write_site(site, out)


@pytest.mark.parametrize("last", ["files/", "site.json", "index.html"])
def test_a_run_that_was_killed_left_the_old_site(
    last: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next one goes on, from an empty folder too."""
    out = tmp_path / "site"
    newer = small_site(tmp_path / "page", "two")
    real = write_atomically

    def until(path: Path, data: bytes) -> None:
        if path.relative_to(out).as_posix().startswith(last):
            raise KeyboardInterrupt
        real(path, data)

    for old in (None, site):
        with monkeypatch.context() as patch:
            if old:
                write_site(old, out)
            for stale in (out / "files").glob("*"):
                stale.unlink()  # so that there is something of each kind to write
            patch.setattr(write, "write_atomically", until)
            with pytest.raises(KeyboardInterrupt):
                write_site(newer, out)
        if old:
            assert (out / "index.html").read_bytes() == old.files["index.html"]
            modules = [name for name in old.files if name.startswith("app-")]
            assert all((out / name).is_file() for name in modules)
        write_site(newer, out)
        assert contents(out) == newer.files


# ---------------------------------------------------------------- the command

WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "gradio", "fastapi", "starlette", "safetensors"):
            raise ImportError(f"blocked: {name}")

sys.meta_path.insert(0, Blocked())
from pathlib import Path
from agegenderemo.web.static_site import build, runtime
from agegenderemo.cli import main

runtime.find_runtime = lambda given: runtime.Runtime(b"export default 0;", given.read_bytes())
build.resource_folder = lambda name, real=build.resource_folder: (
    Path(sys.argv[1]) if name == "browser" else real(name))
sys.exit(main(sys.argv[2:]))
"""


def test_the_command_needs_the_light_installation_alone(tmp_path: Path) -> None:
    page_folder(tmp_path / "page")
    (tmp_path / "wasm").write_bytes(FAKE.wasm)
    options = ["static", "--out", str(tmp_path / "site"), "--runtime", str(tmp_path / "wasm")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path / "page"), *options],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    written = contents(tmp_path / "site")
    for path, data in written.items():
        if path.startswith("files/") and not path.endswith(".gz"):
            (line,) = [one for one in done.stdout.splitlines() if one.startswith(f"{path} ")]
            assert f"{len(data) / 1e3:,.1f}" in line.split()
    total = sum(map(len, written.values()))
    assert f"{total / 1e6:.1f} MB in {len(written)} files" in done.stdout


def test_every_byte_is_in_the_list(site: Site) -> None:
    total = sum(row.bytes + (row.gzip_bytes or 0) for row in site.rows)
    assert total == sum(map(len, site.files.values()))


def test_the_package_has_the_real_page() -> None:
    assert (resource_folder("browser") / "sw.js").is_file()


# ---------------------------------------------------------------- to look at it


def test_the_server_sends_files_with_their_kinds(site: Site, tmp_path: Path) -> None:
    write_site(site, tmp_path / "site")
    with server(tmp_path / "site", 0) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{serving.server_address[1]}/"
        kinds = {}
        for name, data in site.files.items():
            with urlopen(address + name) as answer:
                assert answer.read() == data
                assert answer.headers.get("Content-Encoding") is None
                kinds[Path(name).suffix] = answer.headers.get_content_type()
                kept = "immutable" in answer.headers["Cache-Control"]
                assert kept == name.startswith(("app-", "files/"))
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{address}files/")
        with urlopen(address) as answer:
            assert answer.read() == site.files["index.html"]
        serving.shutdown()
    assert kinds[".mjs"] == kinds[".js"] == "text/javascript"
    assert kinds[".wasm"] == "application/wasm"
    assert kinds[".webmanifest"] == "application/manifest+json"
    assert kinds[".gz"] == "application/gzip"


def test_what_is_missing_is_not_remembered(site: Site, tmp_path: Path) -> None:
    """A name with a hash may be there again after the next run."""
    write_site(site, tmp_path / "site")
    with server(tmp_path / "site", 0) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{serving.server_address[1]}/"
        with pytest.raises(HTTPError, match="404") as missing:
            urlopen(f"{address}files/gone-{'0' * 16}.onnx")
        assert missing.value.headers["Cache-Control"] == "no-store"
        serving.shutdown()


def test_workers_have_the_policy_of_the_page(site: Site, tmp_path: Path) -> None:
    """A browser gives a worker that of its own answer."""
    write_site(site, tmp_path / "site")
    with server(tmp_path / "site", 0) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        with urlopen(f"http://127.0.0.1:{serving.server_address[1]}/sw.js") as answer:
            assert answer.headers["Content-Security-Policy"] == POLICY
        serving.shutdown()


def test_a_browser_that_goes_away_is_no_fault(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with server(tmp_path, 0) as serving, socket.socket() as line:
        for fault in (ConnectionResetError(), BrokenPipeError(), ValueError("ours")):
            try:
                raise fault
            except (OSError, ValueError):
                serving.handle_error(line, None)
    error = capfd.readouterr().err
    assert error.count("Traceback") == 1
    assert "ours" in error


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with server(tmp_path, 0) as first:
        for port in (first.server_address[1], 70000):
            with pytest.raises(AgeGenderEmoError, match="cannot be had"):
                server(tmp_path, port)
