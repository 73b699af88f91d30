"""The HTTP server around the guarded app, patient with nobody."""

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from agegenderemo.web.guard.address import TrustedProxies, connection_address

_HEAD_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 5
_MAX_HEAD_BYTES = 32 * 1024
_MAX_CONNECTIONS = 2048
_ADDRESS_CONNECTIONS = 320
"""Some more than an address may have requests open, so that those are told why."""
_FREE_LINES, _LINE_BYTES = 2000, 256
"""Ends of lines of a connection that sends chunks: so many, and one more for so many bytes."""
_SHUTDOWN_SECONDS = 3


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose request head does not come, or not wholly.

    uvicorn itself waits for ever there. The body has its own limits: `bodies.next_message`.
    """

    head_seconds = _HEAD_SECONDS
    proxies = TrustedProxies()
    opened: ClassVar[Counter[str]] = Counter()
    """Open connections by address; a server has its own."""

    _head_timer: asyncio.TimerHandle | None = None
    _address: str | None = None
    _bytes = _lines = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._address = connection_address(str(peer[0]) if peer else "", self.proxies)
        if self._address is not None:
            self.opened[self._address] += 1
            if self.opened[self._address] > _ADDRESS_CONNECTIONS:
                transport.abort()
                return
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        # A body of chunks of one byte each would keep the loop busy for seconds a megabyte.
        if b"transfer-encoding" in data.lower() or self._lines:
            self._bytes += len(data)
            self._lines += 1 + data.count(b"\r\n")
            if self._lines > _FREE_LINES + self._bytes // _LINE_BYTES:
                self.transport.abort()
                return
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        if self._address is not None:
            self.opened[self._address] -= 1
            if not self.opened[self._address]:
                del self.opened[self._address]
        super().connection_lost(exc)

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


class _Announced(uvicorn.Server):
    """Calls ``announce`` with its address once it answers."""

    announce: Callable[[str], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self.announce is not None:
            self.announce(_url(self.config.host, _bound_port(self)))


def server(
    app: ASGIApp, host: str, port: int, announce: Callable[[str], None] | None = None
) -> uvicorn.Server:
    """A server that is not started. It believes no header about the client: the guard decides, and
    its trusted proxies may open many connections. ``announce`` is told its address once it
    answers."""

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
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
            limit_concurrency=_MAX_CONNECTIONS,
        )
    )
    made.announce = announce
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
