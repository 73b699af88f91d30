"""Model Context Protocol: assistants have pictures read by a tool, where the demo offers it.

By the protocol's own SDK. gradio's server for it calls the page over again, as a client on this
machine: all assistants would share one address and its limits, a dict in place of a picture could
name any file of the server, and pictures would lie where no sweep looks.
"""

import base64
import binascii
import io
import json
import logging
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from starlette.types import ASGIApp, Receive, Scope, Send

from agegenderemo import __version__
from agegenderemo.errors import ImageError, MissingExtraError
from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.tasks import TaskSpec
from agegenderemo.web.guard import Store, StoreError
from agegenderemo.web.guard.address import ADDRESS
from agegenderemo.web.guard.fair import Busy, FairPool
from agegenderemo.web.guard.picture_pool import PicturePool
from agegenderemo.web.reading import read_photo
from agegenderemo.web.words import names_of

if TYPE_CHECKING:
    from mcp import types

TOOL = "analyze"
_AT_ONCE, _EACH, _TOTAL = 2, 8, 64  # pictures that are read; that wait, of an address and in all
_PICTURE = (
    "The picture as a data URL (data:image/jpeg;base64,…), or the path that "
    "POST /gradio_api/upload answered for it."
)


class _ToolError(Exception):
    """A sentence for whoever calls the tool."""


def mcp_app(analyzer: Analyzer, store: Store) -> ASGIApp:
    """An ASGI app that answers the POSTs of MCP's streamable HTTP, one at a time and without a
    session. Their bodies must be bounded by then, and `ADDRESS` stand in their scope.

    Raises MissingExtraError where the SDK is not installed.
    """
    try:
        from mcp import types
        from mcp.server.lowlevel import Server
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    except ImportError as error:
        raise MissingExtraError("The server for assistants (MCP)", "mcp") from error

    # It tells of every request, at a level that some hosts print.
    logging.getLogger("mcp").setLevel(logging.WARNING)
    turns: FairPool[dict[str, Any]] = FairPool(_AT_ONCE, _EACH, _TOTAL, store.limits.call_seconds)
    pictures = PicturePool(_AT_ONCE, store.limits.picture_seconds, nice=5)
    tools = [_tool(analyzer.tasks)]

    async def list_tools(_: Any, __: Any) -> "types.ListToolsResult":
        return types.ListToolsResult(tools=tools)

    async def call_tool(
        context: Any, call: "types.CallToolRequestParams"
    ) -> "types.CallToolResult":
        try:
            if call.name != TOOL:
                raise _ToolError(f"There is no tool of that name; the one tool is {TOOL}.")
            name, opened = _picture(store, call.arguments or {})

            def read() -> dict[str, Any]:
                with opened() as file:
                    return read_photo(analyzer, file, name).record

            address: str = context.request.scope[ADDRESS]
            record = await turns.run(address, uuid.uuid4().hex, lambda: pictures.run(read))
        except (_ToolError, ImageError, StoreError, Busy) as error:
            said = types.TextContent(text=str(error))
            return types.CallToolResult(content=[said], is_error=True)
        text = types.TextContent(text=json.dumps(record, ensure_ascii=False))
        return types.CallToolResult(content=[text], structured_content=record)

    server = Server(
        "AgeGenderEmo", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool
    )

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        # One for each request: nothing lives between two, and nothing has to be ended.
        manager = StreamableHTTPSessionManager(
            server,
            json_response=True,
            stateless=True,
            max_request_body_size=store.limits.tool_bytes,
        )
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    return answer


def _tool(tasks: Sequence[TaskSpec]) -> "types.Tool":
    from mcp import types

    return types.Tool(
        name=TOOL,
        description=(
            f"{names_of(tasks)} of every face of a picture, the largest face first, guessed by a "
            "small network. Ranges and doubts stand in the answer."
        ),
        input_schema={
            "type": "object",
            "properties": {"picture": {"type": "string", "description": _PICTURE}},
            "required": ["picture"],
            "additionalProperties": False,
        },
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )


def _picture(store: Store, arguments: dict[str, Any]) -> tuple[str, Callable[[], BinaryIO]]:
    """Name of the picture of a call, and what opens it. Raises _ToolError."""
    picture = arguments.get("picture")
    if not isinstance(picture, str) or len(arguments) != 1:
        raise _ToolError(f"This tool takes one text, picture. {_PICTURE}")
    if not picture.startswith("data:"):
        return picture.rpartition("/")[2], lambda: store.open(picture)
    head, _, content = picture.partition(",")
    if not head.endswith(";base64"):
        raise _ToolError("A data URL of a picture must be in base64: data:image/jpeg;base64,…")
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise _ToolError("The picture is no base64.") from None
    if len(data) > store.limits.picture_bytes:
        raise _ToolError("The picture is too large; upload it and give the path of the upload.")
    return "picture", lambda: io.BytesIO(data)
