"""Files of the store, as they go out."""

import asyncio
import os
import re
import time
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from agegenderemo.web.guard.bodies import Gone
from agegenderemo.web.guard.refusal import Refusal
from agegenderemo.web.guard.store import Store, StoreError

_SHOWN = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".mp4": "video/mp4",
}
"""What a browser may show by itself; everything else is handed over as a file to keep. No text, no
SVG: they could carry scripts."""

_KEPT = {".json": "application/json", ".csv": "text/csv", ".zip": "application/zip"}
_CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


async def send_file(store: Store, path: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a file of the store; raises Refusal when it is none, and Gone where it is read so
    slowly that it would stay on the disk, for it is open, long after it was deleted."""
    try:
        file = store.open(path)
    except StoreError as error:
        raise Refusal(404, str(error)) from None
    found = os.fstat(file.fileno())
    size, age = found.st_size, time.time() - found.st_mtime
    seconds = max(store.limits.keep_seconds - age, store.limits.sweep_seconds)
    headers, status, left = _headers(path, size), 200, size
    asked = Headers(scope=scope).get("range", "") if scope["method"] == "GET" else ""
    if part := _part(asked, size):  # a player that seeks in a film
        first, last = part
        status, left = 206, last - first + 1
        headers |= {"content-range": f"bytes {first}-{last}/{size}", "content-length": str(left)}
        file.seek(first)
    if scope["method"] == "HEAD":
        file.close()
        await Response(headers=headers)(scope, receive, send)
        return
    try:
        body = StreamingResponse(_chunks(file, left), status, headers)
        async with asyncio.timeout(seconds):
            await body(scope, receive, send)
    except TimeoutError:
        raise Gone from None
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
        "accept-ranges": "bytes",
        # A face must not outlive its file in some cache on the way.
        "cache-control": "private, no-store",
    }


def _part(asked: str, size: int) -> tuple[int, int] | None:
    """First and last byte of the one part that is asked for; None is all, also where the request
    makes no sense, as HTTP allows."""
    match = _RANGE.fullmatch(asked)
    if not match:
        return None
    low, high = match.groups()
    if not low:
        first, last = size - int(high or 0), size - 1
    else:
        first, last = int(low), min(int(high or size), size - 1)
    return (max(0, first), last) if max(0, first) <= last else None


def _chunks(file: BinaryIO, left: int) -> Iterator[bytes]:
    while chunk := file.read(min(_CHUNK, left)):
        left -= len(chunk)
        yield chunk
