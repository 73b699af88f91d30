"""Files of the store, as they go out."""

import os
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from agegenderemo.web.guard.refusal import Refusal
from agegenderemo.web.guard.store import Store, StoreError

_SHOWN = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
}
"""What a browser may show by itself; everything else is handed over as a file to keep. No text, no
SVG: they could carry scripts."""

_KEPT = {".json": "application/json", ".csv": "text/csv", ".zip": "application/zip"}
_CHUNK = 1 << 18


async def send_file(store: Store, path: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a file of the store; raises Refusal when it is none."""
    try:
        file = store.open(path)
    except StoreError as error:
        raise Refusal(404, str(error)) from None
    headers = _headers(path, os.fstat(file.fileno()).st_size)
    if scope["method"] == "HEAD":
        file.close()
        await Response(headers=headers)(scope, receive, send)
        return
    try:
        await StreamingResponse(_chunks(file), headers=headers)(scope, receive, send)
    finally:
        file.close()


def _headers(path: str, size: int) -> dict[str, str]:
    name = PurePosixPath(path).name
    suffix = PurePosixPath(name).suffix.lower()
    how = "inline" if suffix in _SHOWN else "attachment"
    return {
        "content-type": _SHOWN.get(suffix) or _KEPT.get(suffix) or "application/octet-stream",
        "content-disposition": f"{how}; filename*=utf-8''{quote(name, safe='')}",
        "content-length": str(size),
        # A face must not outlive its file in some cache on the way.
        "cache-control": "private, no-store",
    }


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
