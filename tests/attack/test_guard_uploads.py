"""Uploads that end in every way, and requests that are many, slow or half."""

import io
import socket
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from guard_app import WEB, Served, files_in, guarded, upload

from agegenderemo.web.guard import Limits
from agegenderemo.web.guard.server import PatientProtocol

pytestmark = pytest.mark.slow

ASTRONAUT = Path(__file__).resolve().parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with guarded(tmp_path_factory.mktemp("store"), Limits(address_rate=100)) as one:
        yield one


# ------------------------------------------------------------------ uploads


def test_uploads_are_bounded_and_leave_nothing(tmp_path: Path) -> None:
    limits = Limits(picture_bytes=1000, zip_bytes=2000, request_files=3, request_bytes=5000)
    with guarded(tmp_path, limits) as one:
        assert upload(one.url, b"x" * 1001).status_code == 413
        assert upload(one.url, b"x" * 2001, "a.zip").status_code == 413
        assert upload(one.url, b"x" * 6000, "a.zip").status_code == 413
        many = [("files", (f"{i}.jpg", b"x")) for i in range(4)]
        assert WEB.post(f"{one.url}gradio_api/upload", files=many).status_code == 413
        for content in (
            b"",
            b"--x\r\n",
            b"--x\r\ncontent-disposition: form-data; filename=a\r\n\r\nabc",
        ):
            kind = {"content-type": "multipart/form-data; boundary=x"}
            answer = WEB.post(f"{one.url}gradio_api/upload", content=content, headers=kind)
            assert answer.status_code == 400
        assert WEB.post(f"{one.url}gradio_api/upload", json={}).status_code == 400
        assert files_in(one) == []
        assert upload(one.url, b"x" * 1000).status_code == 200
        assert upload(one.url, b"x" * 2000, "a.zip").status_code == 200
        assert sorted(path.stat().st_size for path in files_in(one)) == [1000, 2000]


def test_an_address_has_bounded_files_and_bytes(tmp_path: Path) -> None:
    with guarded(tmp_path, Limits(address_files=3, address_bytes=2500)) as one:
        assert upload(one.url, b"x" * 1000).status_code == 200
        assert upload(one.url, b"x" * 1000).status_code == 200
        assert upload(one.url, b"x" * 1000).status_code == 429  # bytes
        assert upload(one.url, b"x" * 10).status_code == 200
        assert upload(one.url, b"x" * 10).status_code == 429  # files
        assert len(files_in(one)) == 3
        one.store.sweep(time.time() + 10_000)
        assert upload(one.url, b"x" * 1000).status_code == 200


def test_an_aborted_upload_is_gone_at_once(served: Served) -> None:
    before = set(files_in(served))
    address = urlsplit(served.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = "POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
        head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        part = '--x\r\ncontent-disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        connection.sendall((head + part).encode() + b"y" * 5000)
        _until(lambda: set(files_in(served)) != before)
    _until(lambda: set(files_in(served)) == before)


def _until(condition: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("../../a.jpg", "a.jpg"), ("C:\\x\\a.jpg", "a.jpg"), ("/etc/a.jpg", "a.jpg"), ("..", "file"),
     (".hidden", "hidden"), ("a\u202egpj.exe", "agpj.exe"), 
     ("x" * 500 + ".jpeg", "x" * 115 + ".jpeg"),
     ("<b>.png", "_b_.png")],
)  # fmt: skip
def test_names_are_made_safe(served: Served, name: str, kept: str) -> None:
    (path,) = upload(served.url, b"x", name).json()
    assert Path(path).name == kept
    assert Path(path).is_relative_to(served.store.folder)


def test_a_full_disk_is_a_sentence(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_in(served)
    # A real one: every write to it fails with ENOSPC.
    monkeypatch.setattr(served.store, "create", lambda path: io.FileIO("/dev/full", "wb"))
    answer = upload(served.url, b"x" * 100_000)
    assert answer.status_code == 507
    assert answer.json() == {"detail": "The server's disk is full; try again later."}
    assert files_in(served) == before


# ------------------------------------------------------------------ many and slow requests


def test_half_a_request_is_closed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatientProtocol, "head_seconds", 0.3)
    address = urlsplit(served.url)
    halves = [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n"]
    for half in halves:
        with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
            connection.sendall(half)
            assert connection.recv(100) == b""


def test_one_address_does_not_take_every_connection(served: Served) -> None:
    address = urlsplit(served.url)
    with ExitStack() as stack:
        open_ = []
        for _ in range(400):
            one = socket.create_connection((address.hostname, address.port), 5, ("127.0.0.3", 0))
            open_.append(stack.enter_context(closing(one)))
        time.sleep(0.3)
        assert _refused(open_[-1])
        assert not _refused(open_[0])
        assert WEB.get(served.url).status_code == 200  # another address
    _until(lambda: not _refused(socket.create_connection((address.hostname, address.port), 5,
                                                         ("127.0.0.3", 0))))  # fmt: skip


def _refused(connection: socket.socket) -> bool:
    connection.settimeout(0.2)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def test_chunks_of_one_byte_are_cut_off_and_honest_ones_are_not(served: Served) -> None:
    address = urlsplit(served.url)
    head = b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked"
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(head + b"\r\n\r\n")
        with pytest.raises(OSError, match=r"reset|pipe"):
            _trickle(connection)
    parts = (b"x" * 1000 for _ in range(900))
    assert WEB.post(f"{served.url}gradio_api/queue/join", content=parts).status_code == 400


@pytest.mark.parametrize("split", [b"Transfer-Enc", b"Transfer-Encoding: chunked\r\n\r"])
def test_nor_are_chunks_whose_header_comes_in_two_packets(served: Served, split: bytes) -> None:
    head = b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: localhost\r\n"
    whole = head + b"Transfer-Encoding: chunked\r\n\r\n"
    with connected(served) as connection:
        connection.sendall(head + split)
        time.sleep(0.1)
        connection.sendall(whole[len(head + split) :])
        time.sleep(0.1)
        with pytest.raises(OSError, match=r"reset|pipe"):
            _trickle(connection)


def connected(served: Served, receive_bytes: int = 0) -> socket.socket:
    address = urlsplit(served.url)
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(5)
    connection.connect((address.hostname, address.port))
    return connection


_HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "request_",
    [_HEAD + 2000 * b"a:\r\n" + b"\r\n",
     _HEAD.replace(b"\r", b"") + 2000 * b"a:\n" + b"\n",
     _HEAD + b"a: " + b"x" * 100_000 + b"\r\n\r\n",
     _HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
)  # fmt: skip
def test_dear_or_ambiguous_heads_are_refused(served: Served, request_: bytes) -> None:
    for before in (b"", _HEAD + b"\r\n"):  # also behind another request
        with connected(served) as connection:
            connection.sendall(before + request_)
            answers = b"".join(iter(lambda: connection.recv(65536), b""))
            assert answers.count(b"HTTP/1.1 200") == bool(before)
            assert answers.count(b"HTTP/1.1 400") == 1
    with connected(served) as connection:
        connection.sendall(_HEAD + 90 * b"a: bc\r\n" + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_what_makes_no_sense_in_the_middle_of_an_answer_is_no_traceback(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(served) as connection:
        start = b"GET /gradio_api/heartbeat/s HTTP/1.1\r\nHost: localhost\r\n"
        connection.sendall(start + b"Transfer-Encoding: chunked\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.sendall(b"no chunk\r\n")
        while connection.recv(1000):
            pass
    assert not caplog.records


def test_who_does_not_read_is_cut_off(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = b"\0" * 12_000_000

    def read_slowly(one: Served) -> int:
        (path,) = upload(one.url, large).json()
        with connected(one, 32_768) as connection:
            start = f"GET /gradio_api/file={path} HTTP/1.1\r\nHost: localhost\r\n"
            connection.sendall(start.encode() + b"Connection: close\r\n\r\n")
            time.sleep(1.2)
            try:
                return sum(map(len, iter(lambda: connection.recv(1_000_000), b"")))
            except ConnectionResetError:
                return 0

    assert read_slowly(served) >= len(large)  # a second is allowed
    with monkeypatch.context() as patch:
        patch.setattr(PatientProtocol, "stall_seconds", 0.5)
        assert read_slowly(served) < len(large)
    # However slowly it goes on, a file is not open long after it was deleted.
    with guarded(tmp_path, Limits(keep_seconds=0.6, sweep_seconds=0.3, address_rate=100)) as one:
        assert read_slowly(one) < len(large)


def _trickle(connection: socket.socket) -> None:
    for _ in range(100):
        connection.sendall(b"1\r\na\r\n" * 1000)
        time.sleep(0.01)


def test_health_is_told_whoever_else_is_here(tmp_path: Path) -> None:
    with (
        guarded(tmp_path, Limits(address_requests=1)) as one,
        WEB.stream("GET", f"{one.url}gradio_api/heartbeat/s"),
    ):
        assert WEB.get(one.url).status_code == 429
        assert WEB.get(f"{one.url}healthz").text == "ok"


def test_a_body_that_stops_is_closed(tmp_path: Path) -> None:
    with guarded(tmp_path, Limits(idle_seconds=0.3)) as one:
        address = urlsplit(one.url)
        for path in ("queue/join", "upload"):
            with socket.create_connection((address.hostname, address.port), timeout=5) as sender:
                head = f"POST /gradio_api/{path} HTTP/1.1\r\nHost: localhost\r\n"
                head += "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 99\r\n"
                sender.sendall((head + "\r\n--x\r\n").encode())
                assert sender.recv(20).startswith(b"HTTP/1.1 408")


def test_requests_of_one_address_are_bounded(tmp_path: Path) -> None:
    with guarded(tmp_path, Limits(address_requests=3), proxies=("127.0.0.1",)) as one:
        streams = []
        with httpx.Client(headers={"x-forwarded-for": "9.9.9.9, 1.1.1.1"}) as client:
            for number in range(3):
                stream = client.stream("GET", f"{one.url}gradio_api/heartbeat/s{number}")
                stream.__enter__()
                streams.append(stream)
            refused = client.get(one.url)
            assert refused.status_code == 429
            forged = {"x-forwarded-for": "8.8.8.8, 1.1.1.1"}
            assert WEB.get(one.url, headers=forged).status_code == 429
            other = {"x-forwarded-for": "1.1.1.1, 2.2.2.2"}
            assert WEB.get(one.url, headers=other).status_code == 200
            for stream in streams:
                stream.__exit__(None, None, None)
        _until(lambda: WEB.get(one.url, headers={"x-forwarded-for": "1.1.1.1"}).is_success)


def test_an_address_is_slowed_down_alone(tmp_path: Path) -> None:
    limits = Limits(address_rate=0.02, address_burst=0.05, address_patience=1)
    with guarded(tmp_path, limits, proxies=("127.0.0.1",)) as one:
        many = {"x-forwarded-for": "1.1.1.1"}
        answers = [WEB.get(f"{one.url}config", headers=many).status_code for _ in range(6)]
        assert answers[:5] == [200] * 5
        start = time.monotonic()
        assert WEB.get(f"{one.url}config", headers={"x-forwarded-for": "2.2.2.2"}).is_success
        assert time.monotonic() - start < 0.4
        start = time.monotonic()
        WEB.get(f"{one.url}config", headers=many)
        assert time.monotonic() - start > 0.3


def test_zips_pass_as_they_are(served: Served) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.write(ASTRONAUT, "a.jpg")
    (path,) = upload(served.url, stream.getvalue(), "a.zip").json()
    assert Path(path).read_bytes() == stream.getvalue()
