"""A server to look at a site on this machine: it sends files, and nothing else."""

import re
import sys
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.web.static_site.page import POLICY

HOST = "127.0.0.1"
PORT = 8000

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
_NEVER_CHANGES = re.compile(r"/(app-[0-9a-f]{16}|files)/")


def headers_of(path: str) -> dict[str, str]:
    """Kind and keeping of a file by its path in the site, which begins with a slash."""
    # The kind not from the system's own table, which differs between machines.
    kind = _KINDS.get(Path(path).suffix.lower(), "application/octet-stream")
    forever = "public, max-age=31536000, immutable"
    keeping = forever if _NEVER_CHANGES.match(path) else "no-cache"
    return {"content-type": kind, "cache-control": keeping}


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    extensions_map = _KINDS | {"": "application/octet-stream"}

    def guess_type(self, path: object) -> str:
        return headers_of(str(path))["content-type"]

    def list_directory(self, path: object) -> None:
        self.send_error(404)

    def send_response(self, code: int, message: str | None = None) -> None:
        super().send_response(code, message)
        # What is not there today may be there tomorrow, under the same name.
        there = code in (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED)
        keeping = headers_of(self.path)["cache-control"] if there else "no-store"
        self.send_header("Cache-Control", keeping)
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.path.endswith(".js"):  # a worker has that of its own file, not of its page
            self.send_header("Content-Security-Policy", POLICY)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a browser went away in the middle
            super().handle_error(request, client_address)


def server(folder: Path, port: int = PORT) -> ThreadingHTTPServer:
    """A server of a folder, bound and ready for ``serve_forever``; port 0 takes a free one.

    Raises AgeGenderEmoError where the port cannot be had.
    """

    def handler(*given: object) -> _Handler:
        return _Handler(*given, directory=str(folder))  # type: ignore[arg-type]

    try:
        return _Server((HOST, port), handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "no such port"
        raise AgeGenderEmoError(
            f"Port {port} cannot be had ({reason}); give another: --serve PORT."
        ) from error
