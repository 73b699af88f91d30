"""Reading the body of a request: bounded in bytes, seconds and depth."""

import asyncio
import json
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from agegenderemo.web.guard.limits import Limits
from agegenderemo.web.guard.refusal import Refusal
from agegenderemo.web.guard.shares import Shares

_UNREADABLE = "The body is not JSON that can be read."
_MAX_DIGITS = 20


class Gone(Exception):
    """The client left before its request was whole."""


async def next_message(receive: Receive, seconds: float) -> Message:
    """The next part of a body. Raises Refusal when it does not come in time, Gone when the client
    left."""
    try:
        message = await asyncio.wait_for(receive(), seconds)
    except TimeoutError:
        raise Refusal(408, "The request stopped on its way.") from None
    if message["type"] == "http.disconnect":
        raise Gone
    return message


async def read_json(
    scope: Scope,
    receive: Receive,
    limits: Limits,
    shares: Shares,
    address: str,
    most: int | None = None,
) -> Any:
    """The JSON of a body of at most ``most`` bytes, by default as the limits say. ``shares`` counts
    the bytes that are held while it comes.

    Raises Refusal for one that is too long, too slow, too deep, or no JSON.
    """
    most = limits.body_bytes if most is None else most
    check_stated_length(scope, most)
    held = 0
    body = bytearray()
    end = asyncio.get_running_loop().time() + limits.body_seconds
    try:
        more = True
        while more:
            left = end - asyncio.get_running_loop().time()
            message = await next_message(receive, max(0.0, min(limits.idle_seconds, left)))
            part = message.get("body", b"")
            if len(body) + len(part) > most:
                raise _too_long(most)
            shares.take(address, len(part))
            held += len(part)
            body += part
            more = message.get("more_body", False)
        return parse(bytes(body), limits)
    finally:
        shares.give_back(address, held)


def check_stated_length(scope: Scope, most: int) -> None:
    """Raises Refusal where the header states more bytes than ``most``, or nonsense."""
    stated = Headers(scope=scope).get("content-length", "0")
    if not (stated.isascii() and stated.isdecimal()) or len(stated) > 15 or int(stated) > most:
        raise _too_long(most)


def parse(body: bytes, limits: Limits) -> Any:
    """JSON within the limits; raises Refusal."""
    # A quarter of a second would go into a million brackets or numbers, which no honest call has.
    nests = body.count(b"[") + body.count(b"{")
    if nests > limits.json_nests or body.count(b",") > limits.json_items:
        raise Refusal(400, _UNREADABLE)
    try:
        value = json.loads(body, parse_int=_whole, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refusal(400, _UNREADABLE) from None
    check_depth(value, limits.json_depth)
    return value


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:  # the time goes with their square
        raise ValueError
    return int(digits)


def _no_number(name: str) -> None:
    """NaN and Infinity, which JSON does not know."""
    raise ValueError(name)


def check_depth(value: Any, depth: int) -> None:
    """Raises Refusal for lists and objects within one another beyond ``depth``."""
    level = [value]
    while level:
        if depth < 0:
            raise Refusal(400, _UNREADABLE)
        lists = [item for one in level for item in _children(one)]
        level, depth = lists, depth - 1


def _children(value: Any) -> list[Any]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, dict | list)]


def _too_long(most: int) -> Refusal:
    if most < 10**6:
        return Refusal(413, f"A request may have at most {most // 1000} kB.")
    return Refusal(413, f"A request may have at most {most // 10**6} MB.")


def replayed(scope: Scope, receive: Receive, value: Any) -> tuple[Scope, Receive]:
    """A request that carries ``value`` as its JSON in place of what the client sent."""
    body = json.dumps(value).encode()
    own = (b"content-length", b"transfer-encoding", b"content-type", b"content-encoding")
    headers = [(name, content) for name, content in scope["headers"] if name.lower() not in own]
    headers += [
        (b"content-length", str(len(body)).encode()),
        (b"content-type", b"application/json"),
    ]
    sent = False

    async def receive_again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return {**scope, "headers": headers}, receive_again
