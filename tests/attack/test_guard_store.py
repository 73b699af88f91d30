"""The store: what is in it goes away, whatever happens to the process; and who may ask."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from agegenderemo.web.guard import HostRules, Limits, Store, StoreError
from agegenderemo.web.guard.address import TrustedProxies, client_address
from agegenderemo.web.guard.names import safe_name, visible
from agegenderemo.web.guard.refusal import Refusal
from agegenderemo.web.guard.shares import Shares
from agegenderemo.web.guard.sweeper import Sweeper

pytestmark = pytest.mark.slow

SHORT = Limits(keep_seconds=0.3, sweep_seconds=0.05)


def put(store: Store, name: str = "a.jpg", content: bytes = b"face") -> Path:
    path = store.new_path(name)
    with store.create(path) as file:
        file.write(content)
    return path


def test_a_file_can_be_opened_until_it_is_old(tmp_path: Path) -> None:
    store = Store(SHORT, tmp_path)
    path = put(store)
    with store.open(path) as file:
        assert file.read() == b"face"
    assert store.sweep(time.time() + 0.2) == 0
    assert store.sweep(time.time() + 0.4) == 1
    with pytest.raises(StoreError, match="is not here"):
        store.open(path)
    assert list(store.folder.iterdir()) == []
    store.close()


def test_everything_in_the_folder_is_swept_and_what_is_kept_stays(tmp_path: Path) -> None:
    store = Store(SHORT, tmp_path)
    source = tmp_path / "example.jpg"
    source.write_bytes(b"example")
    kept = store.keep(source)
    deep = store.folder / "gradio" / "x"
    deep.mkdir(parents=True)
    (deep / "image.jpeg").write_bytes(b"face")
    (store.folder / "tmpabc").write_bytes(b"face")
    put(store)
    assert store.sweep(time.time() + 10) == 3
    store.sweep(time.time() + 20)
    assert [path for path in store.folder.rglob("*") if path.is_file()] == [kept]
    assert store.has(str(kept))
    store.close()


def test_the_sweep_survives_files_that_vanish(tmp_path: Path) -> None:
    store = Store(SHORT, tmp_path)
    sweeper = Sweeper(store)
    sweeper.start()
    stop = threading.Event()

    def others() -> None:
        while not stop.is_set():
            store.remove(put(store))

    threads = [threading.Thread(target=others) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.6)
    stop.set()
    for thread in threads:
        thread.join()
    path = put(store)
    _until_gone(path, 2)
    sweeper.stop()
    store.close()


def test_a_sweep_that_fails_is_logged_and_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(SHORT, tmp_path)
    right, calls = store.sweep, []

    def failing() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise RuntimeError("a disk that is gone")
        return right()

    monkeypatch.setattr(store, "sweep", failing)
    sweeper = Sweeper(store)
    sweeper.start()
    _until_gone(put(store), 2)
    sweeper.stop()
    assert caplog.text.count("the next one follows") == 2
    store.close()


def _until_gone(path: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while path.exists():
        assert time.monotonic() < end, f"{path} is still there"
        time.sleep(0.02)


_CHILD = """
import sys, time
from pathlib import Path
from agegenderemo.web.guard import Store
store = Store(parent=Path(sys.argv[1]))
path = store.new_path("face.jpg")
path.write_bytes(b"face")
print(path, flush=True)
time.sleep(60)
"""


def test_a_restart_removes_what_a_kill_left_and_nothing_of_the_living(tmp_path: Path) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", _CHILD, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        paths = [Path(_line(child)) for child in children]
        children[0].send_signal(signal.SIGKILL)
        children[0].wait()
        assert all(path.exists() for path in paths)
        store = Store(parent=tmp_path)
        assert [path.exists() for path in paths] == [False, True]
        assert store.folder.stat().st_mode & 0o777 == 0o700
        store.close()
    finally:
        for child in children:
            child.kill()
            child.communicate()


_SERVER = """
import sys
from pathlib import Path
from starlette.responses import PlainTextResponse
from agegenderemo.web.guard import Store
from agegenderemo.web.guard.assembly import serve
store = Store(parent=Path(sys.argv[1]))
store.new_path("face.jpg").write_bytes(b"face")
print(store.folder, flush=True)
serve(PlainTextResponse("ok"), store, "127.0.0.1", 0)
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_leaves_nothing(tmp_path: Path, end: signal.Signals) -> None:
    command = [sys.executable, "-c", _SERVER, str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    folder = Path(_line(child))
    assert folder.exists()
    time.sleep(1)  # the server is up, or will be asked to stop while it starts
    child.send_signal(end)
    _, errors = child.communicate(timeout=20)
    assert child.returncode == 0
    assert b"Traceback" not in errors
    assert not folder.exists()


_HANGING = """
import asyncio, sys
from pathlib import Path
from agegenderemo.web.guard import Store
from agegenderemo.web.guard.assembly import serve

async def app(scope, receive, send):
    assert scope["type"] == "http"
    while True:  # as gradio does: it goes on when it is cancelled
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

store = Store(parent=Path(sys.argv[1]))
store.new_path("face.jpg").write_bytes(b"face")
print(store.folder, flush=True)
serve(app, store, "127.0.0.1", 0)
"""


def test_a_call_that_does_not_end_holds_up_no_stop(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _HANGING, str(tmp_path)], stdout=subprocess.PIPE
    )
    folder = Path(_line(child))
    port = int(_line(child).rsplit(":", 1)[1].strip("/"))
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.5)
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    assert not folder.exists()


def _line(child: "subprocess.Popen[bytes]") -> str:
    assert child.stdout is not None
    return child.stdout.readline().decode().strip()


def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    base = tmp_path / f"agegenderemo-{os.getuid()}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    base.symlink_to(elsewhere)
    with pytest.raises(OSError, match="belongs to somebody else"):
        Store(parent=tmp_path)


@pytest.mark.parametrize(
    ("name", "safe"),
    [("a.jpg", "a.jpg"), ("\ta\r\n.jpg", "a.jpg"), ("\ud800.png", "png"), ("", "file"),
     ("x/../y.zip", "y.zip"), ("a\0b.jpg", "ab.jpg"), ("é" * 100 + ".jpg", "é" * 58 + ".jpg"),
     (".jpg", "jpg"), ("a:b|c?.gif", "a_b_c_.gif"), ("a.verylongsuffix", "a.verylongsuffix")],
)  # fmt: skip
def test_safe_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert len(safe.encode()) <= 120


def test_visible_drops_what_does_not_show() -> None:
    assert visible("a\tb\u202ec\x1b[31m\u200bd") == "abc[31md"


# ------------------------------------------------------------------ addresses, hosts, shares


def _address(peer: str | None, forwarded: str | None, *proxies: str) -> str:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    scope = {"client": (peer, 1) if peer else None, "headers": headers}
    return client_address(scope, TrustedProxies(proxies))


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "address"),
    [
        ("1.2.3.4", None, (), "1.2.3.4"),
        ("1.2.3.4", "9.9.9.9", (), "1.2.3.4"),  # nobody's word is believed unasked
        ("10.0.0.1", "9.9.9.9, 8.8.8.8", ("10.0.0.0/8",), "8.8.8.8"),
        ("10.0.0.1", "9.9.9.9", ("10.0.0.2",), "10.0.0.1"),
        ("10.0.0.1", "nonsense", ("10.0.0.0/8",), "10.0.0.1"),
        ("10.0.0.1", "", ("10.0.0.0/8",), "10.0.0.1"),
        ("10.0.0.1", "8.8.8.8:1234", ("10.0.0.0/8",), "8.8.8.8"),
        ("10.0.0.1", "[2001:db8:1:2::9]:80", ("10.0.0.0/8",), "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", None, (), "2001:db8:1:2::/64"),
        ("::ffff:1.2.3.4", None, (), "1.2.3.4"),
        (None, None, (), "unknown"),
    ],
)
def test_whom_a_request_counts_against(
    peer: str | None, forwarded: str | None, proxies: tuple[str, ...], address: str
) -> None:
    assert _address(peer, forwarded, *proxies) == address


def test_a_space_trusts_its_proxy_and_answers_to_its_name() -> None:
    space = {"SPACE_ID": "somebody/faces", "SPACE_HOST": "somebody-faces.hf.space"}
    proxies = TrustedProxies.of_environment(space)
    scope = {"client": ("10.1.1.1", 1), "headers": [(b"x-forwarded-for", b"1.1.1.1, 2.2.2.2")]}
    assert client_address(scope, proxies) == "2.2.2.2"
    rules = HostRules.of_server("0.0.0.0", (), space)
    rules.check_host("somebody-faces.hf.space")
    rules.check_origin("https://somebody-faces.hf.space", "somebody-faces.hf.space")
    assert "huggingface.co" in rules.frames
    with pytest.raises(Refusal):
        rules.check_host("evil.example")


def test_hosts_of_a_server_beyond_loopback() -> None:
    rules = HostRules.of_server("0.0.0.0", ("Faces.example",))
    for host in ("192.168.1.7:7860", "[fe80::1]:7860", "localhost", "faces.example:443"):
        rules.check_host(host)
    for other in ("rebound.example", None, "a b", "faces.example.evil.example"):
        with pytest.raises(Refusal):
            rules.check_host(other)


def test_shares_are_taken_and_given_back() -> None:
    shares = Shares(2, 3, "things")
    shares.take("a", 2)
    with pytest.raises(Refusal, match="one address") as refused:
        shares.take("a")
    assert refused.value.status == 429
    shares.take("b")
    with pytest.raises(Refusal, match="busy") as refused:
        shares.take("c")
    assert refused.value.status == 503
    shares.give_back("a", 2)
    shares.take("c", 2)
    assert (shares.held("a"), shares.held("c"), shares.held()) == (0, 2, 3)


def test_a_few_addresses_cannot_take_it_all() -> None:
    shares = Shares(256, 1024, "things")
    for address in "abcdefgh":
        with suppress(Refusal):
            for _ in range(1000):
                shares.take(address)
    for _ in range(8):
        shares.take("one who comes later")


def test_limits_are_positive() -> None:
    with pytest.raises(ValueError, match="keep_seconds must be positive"):
        Limits(keep_seconds=0)
