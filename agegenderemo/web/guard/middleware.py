"""The guard itself: one plain ASGI middleware in front of gradio."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agegenderemo.web.guard.address import ADDRESS, TrustedProxies, client_address
from agegenderemo.web.guard.bodies import Gone, read_json, replayed
from agegenderemo.web.guard.events import Events, session_name
from agegenderemo.web.guard.fair import Busy, FairPool
from agegenderemo.web.guard.gradio_parts import functions_of, live_functions_of
from agegenderemo.web.guard.headers import passed_headers, security_headers, with_headers
from agegenderemo.web.guard.hosts import HostRules
from agegenderemo.web.guard.limits import Limits
from agegenderemo.web.guard.names import visible
from agegenderemo.web.guard.pace import COSTS, Pace
from agegenderemo.web.guard.places import QueuePlaces
from agegenderemo.web.guard.progress import Progress
from agegenderemo.web.guard.refusal import Refusal, not_found
from agegenderemo.web.guard.routes import Kind, Route, find_route
from agegenderemo.web.guard.served import send_file
from agegenderemo.web.guard.sessions import Sessions
from agegenderemo.web.guard.shares import Shares
from agegenderemo.web.guard.store import Store
from agegenderemo.web.guard.uploads import Uploads

_log = logging.getLogger(__name__)

_HEALTH = "/healthz"
_NOT_STORED = {"cache-control": "no-store"}

Handler = Callable[["_Request"], Awaitable[None]]


class _Request:
    """One request on its way through the guard."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, address: str) -> None:
        self.scope, self.receive, self.send, self.address = scope, receive, send, address
        self.parts: tuple[str, ...] = ()
        self.query: dict[str, str] = {}

    async def answer(self, value: Any) -> None:
        await JSONResponse(value, headers=_NOT_STORED)(self.scope, self.receive, self.send)


class Guard:
    """ASGI middleware around a gradio app made of ``demo``, a ``Blocks``.

    Knows every open route, checks what goes in, counts what each address holds, and answers
    uploads, files and live frames itself. ``demo`` must be whole before the first request.
    ``tool`` answers assistants, see `agegenderemo.web.mcp_tool`; ``device`` has the files with
    which browsers read frames themselves, see `agegenderemo.web.on_device`.
    """

    def __init__(
        self,
        app: ASGIApp,
        demo: Any,
        store: Store,
        rules: HostRules | None = None,
        proxies: TrustedProxies | None = None,
        tool: ASGIApp | None = None,
        device: ASGIApp | None = None,
    ) -> None:
        self._app, self._demo, self._store = app, demo, store
        self._tool, self._device = tool, device
        self._rules, self.proxies = rules or HostRules(), proxies or TrustedProxies()
        limits = self._limits = store.limits
        self._headers = security_headers(self._rules)
        self._requests = Shares(limits.address_requests, limits.all_requests, "requests")
        self._bodies = Shares(limits.address_body_bytes, limits.all_body_bytes, "bytes")
        self._pace = Pace(limits.address_rate, limits.address_burst, limits.address_patience)
        functions = functions_of(demo)
        self._events = Events(functions, store.has)
        workers = {one.group: one.workers for one in functions}
        self._places = QueuePlaces(
            demo, workers, limits.session_events, limits.address_events, limits.call_seconds
        )
        self._sessions = Sessions(demo, limits.address_sessions)
        self._live = live_functions_of(demo)
        self._frames = _frame_pool(limits)
        self._progress = Progress()
        self._uploads = Uploads(store, self._progress)
        self._handlers: dict[Kind, Handler] = {
            "page": self._page,
            "asset": self._page,
            "open": self._page,
            "stream": self._stream,
            "join": self._join,
            "call": self._call,
            "small": self._small,
            "live": self._live_call,
            "upload": self._upload,
            "progress": self._upload_progress,
            "file": self._file,
            "tool": self._tool_call,
            "device": self._device_file,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, with_headers(send, self._headers))
        # Nothing here speaks WebSocket: the server closes what is not answered.

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _route_path(scope) == _HEALTH and scope["method"] in ("GET", "HEAD"):
            await PlainTextResponse("ok")(scope, receive, send)  # whoever else is counted
            return
        address = client_address(scope, self.proxies)
        request = _Request(scope, receive, send, address)
        try:
            self._requests.take(address)
        except Refusal as refusal:
            await refusal.response()(scope, receive, send)
            return
        try:
            await self._decide(request)
        except Refusal as refusal:
            await refusal.response()(scope, receive, send)
        except (Gone, asyncio.CancelledError):
            # Left, or the server stops: the request ends here, and quietly.
            pass
        finally:
            self._requests.give_back(address)

    async def _decide(self, request: _Request) -> None:
        headers = Headers(scope=request.scope)
        method, path = request.scope["method"], _route_path(request.scope)
        _check_single(request.scope)
        self._rules.check_host(headers.get("host"))
        found = find_route(method, path)
        if found is None:
            raise not_found()
        if method not in ("GET", "HEAD"):
            self._rules.check_origin(headers.get("origin"), headers.get("host"))
        route, request.parts = found
        await self._pace.wait(request.address, COSTS[route.kind])
        request.query = _query(request.scope)
        self._places.forget()
        request.scope = _narrowed(request.scope, route, request.query, self._rules)
        await self._handlers[route.kind](request)

    async def _page(self, request: _Request) -> None:
        await self._app(request.scope, request.receive, request.send)

    async def _stream(self, request: _Request) -> None:
        """Answers of calls: only of sessions that have one under way."""
        if request.parts:
            name, event = request.parts
            session = self._places.session_of(event) if self._events.is_public(name) else None
        else:
            session = session_name(request.query.get("session_hash"))
        if session is None or not self._places.knows_session(session):
            raise Refusal(404, "No answer is under way for that.")
        started = False

        async def send(message: Message) -> None:
            nonlocal started
            started = True
            await request.send(message)

        try:
            async with self._places.watched(session):
                await self._app(request.scope, request.receive, send)
        except Exception as error:
            # gradio raises where a session ends under its stream.
            if not started:
                raise
            _log.warning("A stream of answers ended early: %s", visible(repr(error))[:200])

    async def _join(self, request: _Request) -> None:
        body = await self._json(request)
        checked = await run_in_threadpool(self._events.join, body)
        await self._queued(request, checked, self._events.group_of(checked))

    async def _call(self, request: _Request) -> None:
        (name,) = request.parts
        body = await self._json(request)
        checked = await run_in_threadpool(self._events.call, name, body)
        await self._queued(request, checked, self._events.group_of(checked, name))

    async def _queued(self, request: _Request, checked: dict[str, Any], group: str) -> None:
        """Pass a checked call on in its turn, and remember the place that it gets."""
        answer = bytearray()

        async def send(message: Message) -> None:
            answer.extend(message.get("body", b"")[:1000])
            await request.send(message)

        session = str(checked.get("session_hash", ""))
        async with self._places.turn(request.address, group, session) as turn:
            scope, receive = replayed(_plain(request.scope), request.receive, checked)
            if await Request(scope, request.receive).is_disconnected():
                raise Gone
            try:
                await self._app(scope, receive, send)
            finally:
                turn.event = _event_id(bytes(answer))
                # A call without a session is one of its own.
                self._sessions.seen(request.address, session or turn.event or "")

    async def _small(self, request: _Request) -> None:
        checked = self._events.small(await self._json(request))
        scope, receive = replayed(request.scope, request.receive, checked)
        await self._app(scope, receive, request.send)

    async def _live_call(self, request: _Request) -> None:
        """gradio's ``component_server``, answered here: on threads of its own, in fair turns."""
        body = await self._json(request)
        if not isinstance(body, dict) or "data" not in body:
            raise Refusal(422, "A live call is a JSON object with data.")
        number, name, message = body.get("component_id"), body.get("fn_name"), body["data"]
        if type(number) is not int or not isinstance(name, str):
            raise not_found()
        function = self._live.get((number, name))
        if function is None:
            raise not_found()
        session = _live_session(message)
        try:
            answer = await self._frames.run(request.address, session, lambda: function(message))
        except Busy as busy:
            answer = {"error": str(busy), "busy": True}
        await request.answer(answer)

    async def _upload(self, request: _Request) -> None:
        upload_id = request.query.get("upload_id")
        await self._uploads(
            request.scope, request.receive, request.send, request.address, upload_id
        )

    async def _upload_progress(self, request: _Request) -> None:
        upload_id = request.query.get("upload_id", "")
        await self._progress(request.scope, request.receive, request.send, upload_id)

    async def _file(self, request: _Request) -> None:
        (path,) = request.parts
        await send_file(self._store, path, request.scope, request.receive, request.send)

    async def _tool_call(self, request: _Request) -> None:
        """A message of the Model Context Protocol, where that is offered."""
        if self._tool is None:
            raise not_found()
        if request.scope["method"] != "POST":  # there is no session to listen to, or to end
            raise Refusal(405, "Here messages are posted.")
        body = await self._json(request, self._limits.tool_bytes)
        scope, receive = replayed(request.scope, request.receive, body)
        await self._tool({**scope, ADDRESS: request.address}, receive, request.send)

    async def _device_file(self, request: _Request) -> None:
        """Files with which a browser reads frames itself, where that is offered."""
        if self._device is None:
            raise not_found()
        (path,) = request.parts
        await self._device({**request.scope, "path": f"/{path}"}, request.receive, request.send)

    async def _json(self, request: _Request, most: int | None = None) -> Any:
        return await read_json(
            request.scope, request.receive, self._limits, self._bodies, request.address, most
        )


def _live_session(message: Any) -> str:
    """Whose turn a live message takes. That a viewer leaves is said while the last frame is still
    under way, and must not be answered as busy."""
    viewer = message.get("viewer") if isinstance(message, dict) else None
    if not isinstance(viewer, str):
        return ""
    return viewer[:64] if "frame" in message else f"{viewer[:64]} leaves"


def _frame_pool(limits: Limits) -> FairPool[Any]:
    return FairPool(
        limits.frames_at_once, limits.address_frames, limits.all_frames, limits.frame_seconds
    )


def _route_path(scope: Scope) -> str:
    """The path below the place where the app is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :] or "/"
    return path


def _check_single(scope: Scope) -> None:
    """Two Host or Origin headers could be read differently by what comes after."""
    names = Counter(name.lower() for name, _ in scope["headers"])
    if names[b"host"] > 1 or names[b"origin"] > 1 or names[b"content-length"] > 1:
        raise Refusal(400, "The request states its host or length twice.")


def _query(scope: Scope) -> dict[str, str]:
    try:
        pairs = parse_qsl(scope["query_string"].decode("ascii"), max_num_fields=32)
    except ValueError:
        raise Refusal(400, "The query cannot be read.") from None
    return dict(pairs)


def _narrowed(scope: Scope, route: Route, query: dict[str, str], rules: HostRules) -> Scope:
    """Only the parameters that the route takes (a ``deep_link`` opens files), and few headers."""
    kept = {name: query[name][:200] for name in route.query if name in query}
    headers = passed_headers(scope["headers"], rules)
    return {**scope, "query_string": urlencode(kept).encode(), "headers": headers}


def _plain(scope: Scope) -> Scope:
    """Without ``Accept-Encoding``, so that the short answer of a call can be read here."""
    kept = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
    return {**scope, "headers": kept}


def _event_id(answer: bytes) -> str | None:
    try:
        event = json.loads(answer)["event_id"]
    except (ValueError, KeyError, TypeError):
        return None
    return event if isinstance(event, str) else None
