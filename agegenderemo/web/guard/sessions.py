"""Whose sessions gradio remembers. It keeps the states of so many of them, whoever they belong to:
one address with ever new names would push out what all others have chosen."""

from collections import OrderedDict
from typing import Any


class Sessions:
    """The sessions of ``demo``, a ``Blocks``, by address: of each at most ``each``, of which the
    one unseen for longest makes room. For one event loop."""

    def __init__(self, demo: Any, each: int) -> None:
        self._demo, self._each = demo, each
        self._of: dict[str, OrderedDict[str, None]] = {}

    def seen(self, address: str, session: str) -> None:
        """A call of a session came from an address."""
        mine = self._of.setdefault(address, OrderedDict())
        mine[session] = None
        mine.move_to_end(session)
        holder = self._demo.state_holder
        if len(mine) > self._each:
            oldest, _ = mine.popitem(last=False)
            with holder.lock:
                holder.session_data.pop(oldest, None)
                holder.time_last_used.pop(oldest, None)
        if len(self._of) > holder.capacity:
            self._forget(holder.session_data)

    def _forget(self, kept: Any) -> None:
        """Of addresses that gradio knows nothing of."""
        self._of = {address: mine for address, mine in self._of.items()
                    if any(session in kept for session in mine)}  # fmt: skip
