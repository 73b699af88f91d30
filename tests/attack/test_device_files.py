"""The files for the visitor's own device: what a stranger gets of them, and nothing beside them."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from guard_app import guarded
from static_pages import FAKE

from agegenderemo.resources import default_checkpoint
from agegenderemo.web.on_device import DeviceFiles


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    device = DeviceFiles({"net": default_checkpoint()}, FAKE)
    with guarded(tmp_path_factory.mktemp("device"), device=device) as served:
        yield served.url


def raw(url: str, target: str) -> int:
    """The status of a request whose path goes out as it is written here."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(
            f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
        )
        return int(line.makefile("rb").readline().split()[1])


def test_they_are_there_with_the_headers_of_the_guard(url: str) -> None:
    answer = httpx.get(f"{url}device/net/site.json")
    site = answer.json()
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors" in answer.headers["content-security-policy"]
    module = httpx.get(f"{url}device/net/{site['app']}/worker.js")
    assert module.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "target",
    [
        "/device",
        "/device/",
        "/device/../device/net/site.json",
        "/device/net/app/../site.json",
        "/device/%2e%2e/config",
        "/device/net//site.json",
        "/device/site.json",
        "/device/other/site.json",
        "/device/net/site.json/",
        "/device/net/site.json%00",
        "/device/net/index.html",
        "/device/net/sw.js",
        "/device//etc/passwd",
        "/device/..%2f..%2fetc%2fpasswd",
        "/device/net/files",
        "/device/net/files/ort.wasm",
        "/device/net/README.md",
        f"/device/{'a/' * 300}b",
        f"/device/{'a' * 5000}",
    ],
)
def test_nothing_beside_them(url: str, target: str) -> None:
    assert raw(url, target) in (400, 404, 414)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_they_are_only_read(url: str, method: str) -> None:
    assert httpx.request(method, f"{url}device/net/site.json", content=b"x" * 10).status_code == 404


def test_where_they_are_not_offered_they_are_not_there(tmp_path: Path) -> None:
    with guarded(tmp_path) as served:
        assert httpx.get(f"{served.url}device/net/site.json").status_code == 404


def test_who_reads_slowly_holds_a_piece_and_not_a_file(url: str) -> None:
    """Thirty readers of the largest file who stop: the server goes on, and others are answered."""
    site = httpx.get(f"{url}device/net/site.json").json()
    path = site["files"]["graph"]["gzip"]
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    lines = []
    try:
        for _ in range(30):
            line = socket.create_connection((host, int(port)), timeout=20)
            line.sendall(f"GET /device/net/{path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            lines.append(line)
        refused_or_there = httpx.get(f"{url}device/net/site.json", timeout=20).status_code
        assert refused_or_there in (200, 429)
    finally:
        for line in lines:
            line.close()
    assert httpx.get(f"{url}device/net/site.json", timeout=20).status_code == 200
