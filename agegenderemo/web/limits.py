"""A bound on what a live call may send, enforced before it is read."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REFUSAL = "A live call may not be that large."


class LiveBodyLimit:
    """ASGI middleware that refuses a live call (gradio's ``component_server``) with a body of more
    than ``limit`` bytes. Gradio itself would read and parse any size."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "/component_server" not in scope["path"]:
            await self._app(scope, receive, send)
            return
        stated = Headers(scope=scope).get("content-length", "0")
        if not stated.isdecimal() or int(stated) > self._limit:
            await PlainTextResponse(_REFUSAL, 413)(scope, receive, send)
            return
        received = 0

        async def bounded() -> Message:
            # A chunked body states no length.
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise HTTPException(413, _REFUSAL)
            return message

        await self._app(scope, bounded, send)
