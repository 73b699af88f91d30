"""How far an upload is, for the bar that gradio's page shows."""

import asyncio
import json
import re
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_MOST = 256  # uploads that are told about; others show no bar
_STEP_BYTES = 1 << 20
_LOOK_SECONDS, _START_SECONDS = 0.2, 3.0


class Progress:
    """Uploads by the name that the page gave them, each with the messages that are not sent yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: OrderedDict[str, deque[dict[str, object]]] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()

    def watched(self, upload_id: str | None) -> Callable[[str, int], None]:
        """A function to tell about bytes of a file; it does nothing without a fair name."""
        if upload_id is None or not _ID.fullmatch(upload_id):
            return lambda name, size: None
        messages: deque[dict[str, object]] = deque(maxlen=2000)
        with self._lock:
            self._messages[upload_id] = messages
            _trim(self._messages)
        waiting = 0

        def told(name: str, size: int) -> None:
            nonlocal waiting
            waiting += size
            if waiting >= _STEP_BYTES or size == 0:
                messages.append({"msg": "update", "orig_name": name, "chunk_size": waiting})
                waiting = 0

        return told

    def finish(self, upload_id: str | None) -> None:
        """The upload ended, well or badly."""
        if upload_id is None or not _ID.fullmatch(upload_id):
            return
        with self._lock:
            self._messages.pop(upload_id, None)
            self._done[upload_id] = None
            _trim(self._done)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, upload_id: str) -> None:
        """Answers ``GET upload_progress`` with server-sent events until the upload is done."""
        await StreamingResponse(
            self._events(upload_id), media_type="text/event-stream",
            headers={"cache-control": "no-store"},
        )(scope, receive, send)  # fmt: skip

    async def _events(self, upload_id: str) -> AsyncIterator[str]:
        waited = 0.0
        while upload_id not in self._done and waited < _START_SECONDS:
            messages = self._messages.get(upload_id)
            while messages:
                yield f"data: {json.dumps(messages.popleft())}\n\n"
            # An upload may be asked about before it begins.
            waited += _LOOK_SECONDS if messages is None else 0.0
            await asyncio.sleep(_LOOK_SECONDS)
        yield 'data: {"msg": "done"}\n\n'


def _trim(table: OrderedDict[str, Any]) -> None:
    while len(table) > _MOST:
        table.popitem(last=False)
