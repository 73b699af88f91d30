"""Uploads: streamed into the store, bounded in every way, and gone at once when they end badly."""

import asyncio
import logging
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import anyio.to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from agegenderemo.video.formats import FILM_SUFFIXES
from agegenderemo.web.guard.bodies import Gone, check_stated_length, next_message
from agegenderemo.web.guard.limits import Limits
from agegenderemo.web.guard.progress import Progress
from agegenderemo.web.guard.refusal import Refusal
from agegenderemo.web.guard.shares import Shares
from agegenderemo.web.guard.store import NO_ROOM, Store

# It warns of every form that it cannot read, with which a stranger could fill the log.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

_MAX_HEADER_BYTES = 8192
_FULL = "The server's disk is full; try again later."


class Uploads:
    """Answers ``POST upload`` as gradio does: a JSON list of the files' paths."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        limits = store.limits
        self._under_way = Shares(limits.address_uploads, limits.all_uploads, "uploads")

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, address: str, upload_id: str | None
    ) -> None:
        """Raises Refusal, or Gone; nothing of the upload is left then."""
        self._under_way.take(address)
        form = _Form(self._store, address, self._progress.watched(upload_id))
        try:
            check_stated_length(scope, self._store.limits.request_bytes)
            parser = form.parser(Headers(scope=scope).get("content-type", ""))
            await self._feed(parser, receive)
            if not form.whole:
                raise Refusal(400, "The upload is cut off.")
        except BaseException as error:
            form.discard()
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise Refusal(507, _FULL) from None
            raise
        finally:
            self._progress.finish(upload_id)
            self._under_way.give_back(address)
        await JSONResponse([str(path) for path in form.paths])(scope, receive, send)

    async def _feed(self, parser: MultipartParser, receive: Receive) -> None:
        limits = self._store.limits
        loop = asyncio.get_running_loop()
        end, received, more = loop.time() + limits.upload_seconds, 0, True
        while more:
            seconds = min(limits.idle_seconds, end - loop.time())
            message = await next_message(receive, max(0.0, seconds))
            part = message.get("body", b"")
            received += len(part)
            if received > limits.request_bytes:
                raise Refusal(413, f"An upload may have at most {limits.request_bytes >> 20} MB.")
            if part:
                await _parsed(parser, part)
            more = message.get("more_body", False)


async def _parsed(parser: MultipartParser, part: bytes) -> None:
    """Feed the parser on a thread, for it writes to the disk. A cancelled request waits for that
    write, so that nothing comes after its files are discarded."""
    try:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(parser.write, part)
    except FormParserError:
        raise Refusal(400, "The upload is not a form that can be read.") from None


class _Form:
    """The callbacks of the parser: one file after another goes into the store."""

    def __init__(self, store: Store, address: str, progress: Any) -> None:
        self._store, self._address, self._progress = store, address, progress
        self._limits = store.limits
        self.paths: list[Path] = []
        self.whole = False
        self._file: BinaryIO | None = None
        self._left = 0
        self._parts = 0
        self._field = self._value = b""
        self._disposition = b""

    def parser(self, content_type: str) -> MultipartParser:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 1 <= len(boundary) <= 200:
            raise Refusal(400, "An upload is a multipart form.")
        names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished",
                 "part_data", "part_end", "end")  # fmt: skip
        callbacks: Any = {f"on_{name}": getattr(self, f"_{name}") for name in names}
        return MultipartParser(boundary, callbacks)

    def discard(self) -> None:
        """Delete what was written."""
        self._close()
        for path in self.paths:
            self._store.remove(path)
        self.paths.clear()

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > self._limits.request_files:
            raise Refusal(413, f"At most {self._limits.request_files} files are taken at once.")
        self._field = self._value = self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]
        self._bound_headers()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bound_headers()

    def _bound_headers(self) -> None:
        if len(self._field) + len(self._value) > _MAX_HEADER_BYTES:
            raise Refusal(400, "The upload is not a form that can be read.")

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:  # a field; it counts as bytes of the request
            self._left = 0
            return
        name = options[b"filename"].decode("utf-8", "replace")
        self._left = _most_bytes(name, self._limits)
        path = self._store.new_path(name, self._address)
        self.paths.append(path)
        self._file = self._store.create(path)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            return
        size = end - start
        self._left -= size
        if self._left < 0:
            raise Refusal(413, _too_large(self._limits))
        self._store.add(self.paths[-1], size)
        self._file.write(data[start:end])
        self._progress(self.paths[-1].name, size)

    def _part_end(self) -> None:
        self._close()

    def _end(self) -> None:
        self.whole = True

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()  # flushes, and so finds a full disk
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                raise Refusal(507, _FULL) from None


def _most_bytes(name: str, limits: Limits) -> int:
    suffix = PurePosixPath(name.lower()).suffix
    if suffix == ".zip":
        return limits.zip_bytes
    return limits.film_bytes if suffix in FILM_SUFFIXES else limits.picture_bytes


def _too_large(limits: Limits) -> str:
    picture, film, archive = (
        f"{most >> 20} MB" for most in (limits.picture_bytes, limits.film_bytes, limits.zip_bytes)
    )
    return f"A picture may have at most {picture}, a film {film}, a zip {archive}."


__all__ = ["Gone", "Uploads"]
