"""A small reverse proxy, as nginx stands before a server: real sockets, no HTTP library."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_END = b"\r\n\r\n"


@contextmanager
def reverse_proxy(port: int, *, host: str | None = None) -> Iterator[str]:
    """In front of a port of this machine; the context is its URL. It adds the client's address to
    ``X-Forwarded-For``, says that it was asked by HTTPS, and states ``host`` in place of the
    client's where one is given."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(_END)
            answers, requests = await asyncio.open_connection("127.0.0.1", port)
            requests.write(_forwarded(head, writer.get_extra_info("peername")[0], host))
            pipes = [asyncio.create_task(_pipe(reader, requests)),
                     asyncio.create_task(_pipe(answers, writer))]  # fmt: skip
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
            for pipe in pipes:
                pipe.cancel()
            requests.close()
        writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(handle, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


def _forwarded(head: bytes, client: str, host: str | None) -> bytes:
    request, *lines = head.removesuffix(_END).split(b"\r\n")
    pairs = [line.split(b": ", 1) for line in lines]
    chain = [value for name, value in pairs if name.lower() == b"x-forwarded-for"]
    gone = {b"x-forwarded-for", b"x-forwarded-proto", b"connection"} | (
        {b"host"} if host else set()
    )
    kept = [b": ".join(pair) for pair in pairs if pair[0].lower() not in gone]
    own = [b"X-Forwarded-For: " + b", ".join([*chain, client.encode()]),
           b"X-Forwarded-Proto: https", b"Connection: close"]  # fmt: skip
    if host:
        own.append(b"Host: " + host.encode())
    return b"\r\n".join([request, *kept, *own]) + _END


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await reader.read(1 << 16):
            writer.write(part)
            await writer.drain()
