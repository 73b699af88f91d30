"""The HTTP server around the guarded app, patient with nobody."""

import asyncio
import contextlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from agegenderemo.web.guard.address import TrustedProxies, connection_address

_HEAD_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 5
_STALL_SECONDS = 60.0
"""Within which a client must read what waits for it: about 240 kB, and on Linux any byte."""
_MAX_HEAD_BYTES = 32 * 1024
_MAX_HEAD_LINES = 128
_HEAD_END = re.compile(rb"\n\r?\n")
_MAX_CONNECTIONS = 2048
_ADDRESS_CONNECTIONS = 320
"""Some more than an address may have requests open, so that those are told why."""
_FREE_PIECES, _PIECE_BYTES = 2000, 256
"""Pieces of a body: so many, and one more for so many bytes."""
_SHUTDOWN_SECONDS = 3


class _Connection(h11.Connection):
    """Refuses what h11 would take, at a cost for the one event loop or at odds with a proxy.

    Heads that come at once may be of any length there, and their lines are dear: 7,500 of them
    take 60 ms. So are bodies in pieces of a byte, whether those are chunks or packets.
    """

    _pieces = _bytes = 0

    def next_event(self) -> Any:
        if self.their_state is h11.IDLE:
            _check_head(self.trailing_data[0])
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = self._bytes = 0
            _check_framing(event)
        elif isinstance(event, h11.Data):
            self._pieces += 1
            self._bytes += len(event.data)
            if self._pieces > _FREE_PIECES + self._bytes // _PIECE_BYTES:
                raise h11.RemoteProtocolError("too many small pieces")
        return event


def _check_head(data: bytes) -> None:
    end = _HEAD_END.search(data)
    length = end.start() if end else len(data)
    if length > _MAX_HEAD_BYTES or data.count(b"\n", 0, length) > _MAX_HEAD_LINES:
        raise h11.RemoteProtocolError("too large a head", error_status_hint=431)


def _check_framing(request: h11.Request) -> None:
    """A proxy that believes the length, where h11 believes the chunks, would pass on as a part of
    the body what is the next request here."""
    names = {name for name, _ in request.headers}
    if {b"content-length", b"transfer-encoding"} <= names:
        raise h11.RemoteProtocolError("two lengths")


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose request head does not come, or not wholly, or whose
    client does not read.

    uvicorn itself waits for ever there. The body has its own limits: `bodies.next_message`.
    """

    head_seconds = _HEAD_SECONDS
    stall_seconds = _STALL_SECONDS
    proxies = TrustedProxies()
    opened: ClassVar[Counter[str]] = Counter()
    """Open connections by address; a server has its own."""

    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None
    _address: str | None = None

    def __init__(self, config: uvicorn.Config, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        self.conn = _Connection(h11.SERVER, _MAX_HEAD_BYTES)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._address = connection_address(str(peer[0]) if peer else "", self.proxies)
        if self._address is not None:
            self.opened[self._address] += 1
            left = (_MAX_CONNECTIONS - len(self.connections)) // 2
            if self.opened[self._address] > max(1, min(_ADDRESS_CONNECTIONS, left)):
                transport.abort()
                return
        self._bound_silence(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except h11.LocalProtocolError:  # its answer is under way: there is no other one to give
            self.transport.abort()
        self._watch_head()

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # What is under way is answered no more; the guard sees that its client is gone.
            self.transport.abort()
        else:
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(self.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_stalled()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        self._stop_stalled()
        if self._address is not None:
            self.opened[self._address] -= 1
            if not self.opened[self._address]:
                del self.opened[self._address]
        super().connection_lost(exc)

    def _bound_silence(self, transport: asyncio.Transport) -> None:
        """The same for what the system holds already, also after the connection was closed."""
        own = transport.get_extra_info("socket")
        if own is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(1000 * self.stall_seconds)
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def _watch_head(self) -> None:
        """A timer runs as long as no request is under way; more bytes do not wind it back."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_watching()
        elif self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.head_seconds, self._too_late)

    def _too_late(self) -> None:
        self._head_timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _stop_watching(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stalled(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


class _Announced(uvicorn.Server):
    """Calls ``announce`` with its address once it answers, and ``late`` where it cannot end: it
    waits for every thread that still works for somebody."""

    announce: Callable[[str], None] | None = None
    late: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self.announce is not None:
            self.announce(_url(self.config.host, _bound_port(self)))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.late is not None:
            timer = threading.Timer(2 * _SHUTDOWN_SECONDS, self.late)
            timer.daemon = True
            timer.start()
        await super().shutdown(sockets)


def server(
    app: ASGIApp,
    host: str,
    port: int,
    announce: Callable[[str], None] | None = None,
    late: Callable[[], None] | None = None,
) -> uvicorn.Server:
    """A server that is not started. It believes no header about the client: the guard decides, and
    its trusted proxies may open many connections. ``announce`` is told its address once it
    answers; ``late`` is called where it has been told to end and has not."""

    class Protocol(PatientProtocol):
        proxies = getattr(app, "proxies", TrustedProxies())
        opened: ClassVar[Counter[str]] = Counter()

    made = _Announced(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=Protocol,
            ws="none",
            log_level="error",  # a stranger could fill the disk with warnings of bad requests
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            limit_concurrency=_MAX_CONNECTIONS,
        )
    )
    made.announce, made.late = announce, late
    return made


def first_free_port(host: str, ports: range) -> int:
    """The first port that can be bound; raises OSError where none can."""
    for port in ports:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                return int(probe.getsockname()[1])
    if len(ports) == 1:
        raise OSError(f"Port {ports.start} of {host} is taken or may not be used.")
    raise OSError(f"No free port between {ports.start} and {ports.stop - 1}.")


@contextlib.contextmanager
def running(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """A server on a thread, for tests and notebooks; the context is its URL. Port 0 is any."""
    own = server(app, host, port)
    thread = threading.Thread(target=own.run, name="server", daemon=True)
    thread.start()
    try:
        while not own.started:
            if not thread.is_alive():
                raise OSError(f"The server could not start at {host}:{port}.")
            thread.join(0.02)
        yield _url(host, _bound_port(own))
    finally:
        own.should_exit = True
        thread.join(_SHUTDOWN_SECONDS + 5)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _bound_port(own: Any) -> int:
    return int(own.servers[0].sockets[0].getsockname()[1])
