"""What may be held at once, by one address and by all."""

import threading
from collections import Counter

from agegenderemo.web.guard.refusal import Refusal


class Shares:
    """Units (requests, bytes, places) that are taken and given back.

    ``each`` bounds one address, ``total`` all of them. Who holds something already may not come to
    hold more than half of what is left, so that a few addresses cannot take it all. Safe between
    threads.
    """

    def __init__(self, each: int, total: int, what: str) -> None:
        self._each, self._total, self._what = each, total, what
        self._held: Counter[str] = Counter()
        self._all = 0
        self._lock = threading.Lock()

    def take(self, address: str, units: int = 1) -> None:
        """Raises Refusal, and takes nothing, where the address (429) or all (503) would hold more
        than they may."""
        with self._lock:
            if self._held[address] + units > self._each:
                self._drop_empty(address)
                raise Refusal(429, f"Too many {self._what} from one address at once; wait a bit.")
            held, left = self._held[address], self._total - self._all
            if units > left or (held and held + units > left / 2):
                self._drop_empty(address)
                raise Refusal(503, "The server is busy with other people; try again in a minute.")
            self._held[address] += units
            self._all += units

    def give_back(self, address: str, units: int = 1) -> None:
        with self._lock:
            self._held[address] -= units
            self._all -= units
            self._drop_empty(address)

    def held(self, address: str | None = None) -> int:
        """By one address, or by all."""
        with self._lock:
            return self._all if address is None else self._held.get(address, 0)

    def _drop_empty(self, address: str) -> None:
        # Addresses that come and go must not grow the table.
        if self._held[address] <= 0:
            del self._held[address]
