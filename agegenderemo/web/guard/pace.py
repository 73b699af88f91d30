"""How much of the server's one event loop an address may use."""

import asyncio
import time
from collections import OrderedDict

from agegenderemo.web.guard.refusal import Refusal
from agegenderemo.web.guard.routes import Kind

COSTS: dict[Kind, float] = {
    "page": 0.010,
    "asset": 0.004,
    "open": 0.002,
    "stream": 0.002,
    "join": 0.004,
    "call": 0.004,
    "small": 0.002,
    "live": 0.002,
    "upload": 0.005,
    "progress": 0.002,
    "file": 0.005,
    "tool": 0.010,
    "device": 0.004,
}
"""Seconds that a request keeps the loop and the interpreter busy, measured on two cores."""

_MOST_ADDRESSES = 10_000


class Pace:
    """``rate`` seconds of work a second for each address, and ``burst`` seconds at once.

    Who asks for more waits, and is refused where that would take longer than ``patience``.
    """

    def __init__(self, rate: float, burst: float, patience: float) -> None:
        self._rate, self._burst, self._patience = rate, burst, patience
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def wait(self, address: str, cost: float) -> None:
        """Raises Refusal (429) instead of waiting for too long."""
        now = time.monotonic()
        left, since = self._left.get(address, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate) - cost
        delay = -left / self._rate
        if delay > self._patience:
            raise Refusal(429, "Too many requests from one address; wait a minute.")
        self._left[address] = (left, now)
        self._left.move_to_end(address)
        while len(self._left) > _MOST_ADDRESSES:
            self._left.popitem(last=False)
        if delay > 0:
            await asyncio.sleep(delay)
