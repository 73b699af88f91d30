"""What a browser loads to read the camera's frames itself: the files of the static site, served by
the app, so that its Live page can do without it."""

import asyncio
import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.web.networks import Place
from agegenderemo.web.static_site.build import DATA, build_site, usual_precision
from agegenderemo.web.static_site.runtime import Runtime, cached_runtime, find_runtime
from agegenderemo.web.static_site.serve import headers_of

_log = logging.getLogger(__name__)

FETCH = ""
"""Given to `find_for_app`: the runtime is fetched, if it is not there yet."""


_PIECE = 1 << 18  # bytes
_SECONDS = 600.0
"""That one file may take: who reads more slowly would hold a connection for nothing."""


def address_of(place: Place) -> str:
    """Where the page of a network finds what there is of it, from its own address."""
    return f"device/{place.slug}/{DATA}"


class DeviceFiles:
    """An ASGI app with the modules, graphs and runtime of each checkpoint, below the slug of its
    `Place`, which are made when they are first asked for.

    In int8, which is half as much to load, where the checkpoint has it. Only what a current browser
    asks for is kept, in memory: of a file that exists gzipped too, that alone.
    """

    def __init__(self, checkpoints: Mapping[str, Path], runtime: Runtime) -> None:
        self._checkpoints, self._runtime = dict(checkpoints), runtime
        self._lock = threading.Lock()
        self._files: dict[str, dict[str, bytes]] = {}
        self._contents: dict[bytes, bytes] = {}  # networks have the runtime and much else in common

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"]).removeprefix("/")
        data = await run_in_threadpool(self.get, path)
        if data is None:
            await PlainTextResponse("There is no such file.", 404)(scope, receive, send)
            return
        headers = {**headers_of("/" + path.partition("/")[2]), "content-length": str(len(data))}
        pieces = (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))
        body = () if scope["method"] == "HEAD" else pieces
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS):
                await StreamingResponse(body, headers=headers)(scope, receive, send)

    def get(self, path: str) -> bytes | None:
        """The content of a file by its slug and its path in the site; None for one that is not
        among them."""
        slug, _, own = path.partition("/")
        checkpoint = self._checkpoints.get(slug)
        if checkpoint is None:
            return None
        with self._lock:
            if slug not in self._files:
                self._files[slug] = self._made(checkpoint)
            return self._files[slug].get(own)

    def _made(self, checkpoint: Path) -> dict[str, bytes]:
        try:
            site = build_site(checkpoint, usual_precision(checkpoint), self._runtime).files
        except AgeGenderEmoError as error:
            _log.warning("Live cannot be offered on the visitor's device: %s", error)
            return {}
        return {
            path: self._contents.setdefault(data, data)
            for path, data in site.items()
            if (path == DATA or path.startswith(("app-", "files/"))) and f"{path}.gz" not in site
        }


def find_for_app(given: str | None) -> Runtime | None:
    """The runtime for an app that may offer this: from a file or folder that is ``given``, fetched
    where that is `FETCH`, or by default what has been fetched before, if anything.

    Raises AgeGenderEmoError where what was asked for cannot be had.
    """
    if given is None:
        return cached_runtime()
    return find_runtime(Path(given) if given else None)
