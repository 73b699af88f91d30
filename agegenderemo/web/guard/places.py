"""Turns in gradio's queue, which itself knows no addresses: first come, first served.

An address has one call of a kind (photos, batches, …) there at a time, so it neither fills the
queue nor holds every worker; its further calls wait here.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agegenderemo.web.guard.refusal import Refusal

_LOOK_SECONDS = 0.05
_UNREAD_SECONDS = 60.0
_FORGET_SECONDS = 2.0


class Turn:
    """A call that may go on to gradio now; ``event`` is set to what gradio named it."""

    event: str | None = None


class QueuePlaces:
    """Who has which calls in the queue of ``demo``, a ``Blocks``. For one event loop."""

    def __init__(self, demo: Any, waiting: int) -> None:
        self._demo = demo
        self._most = waiting
        self._waiting: Counter[str] = Counter()
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._last: dict[tuple[str, str], str] = {}
        self._watched: Counter[str] = Counter()
        self._unread: dict[str, float] = {}
        self._looked = 0.0

    @asynccontextmanager
    async def turn(self, address: str, group: str) -> AsyncIterator[Turn]:
        """Wait until the address has no other call of the group in the queue. Raises Refusal
        where too many of its calls wait already."""
        if self._waiting[address] >= self._most:
            raise Refusal(429, "Too many calls from one address at once; wait for an answer.")
        self._waiting[address] += 1
        key = (address, group)
        try:
            async with self._locks.setdefault(key, asyncio.Lock()):
                while self._last.get(key) in self._queue.event_ids_to_events:
                    await asyncio.sleep(_LOOK_SECONDS)
                self._last.pop(key, None)
                turn = Turn()
                try:
                    yield turn
                finally:
                    if turn.event is not None:
                        self._last[key] = turn.event
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]

    @asynccontextmanager
    async def watched(self, session: str) -> AsyncIterator[None]:
        """While somebody listens to the answers of a session."""
        self._watched[session] += 1
        try:
            yield
        finally:
            self._watched[session] -= 1
            if not self._watched[session]:
                del self._watched[session]

    def knows_session(self, session: str) -> bool:
        """Whether gradio has, or will have, answers for it. It meets others with a traceback."""
        return session in self._queue.pending_messages_per_session

    def session_of(self, event: str) -> str | None:
        """The session of a call whose answer nobody has fetched yet."""
        queue = self._queue
        if event in queue.event_ids_to_events:
            return str(queue.event_ids_to_events[event].session_hash)
        for session, events in list(queue.pending_event_ids_session.items()):
            if event in events:
                return str(session)
        return None

    def forget(self) -> None:
        """Drop the answers that nobody has fetched for a minute (gradio would keep those of 2,000
        sessions), and what is known of addresses that have nothing in the queue."""
        now = time.monotonic()
        if now - self._looked < _FORGET_SECONDS:
            return
        self._looked = now
        queue = self._queue
        living = queue.event_ids_to_events
        self._last = {key: event for key, event in self._last.items() if event in living}
        self._locks = {key: one for key, one in self._locks.items()
                       if one.locked() or key in self._last}  # fmt: skip
        busy = {str(event.session_hash) for event in list(living.values())}
        sessions = set(queue.pending_messages_per_session.keys())
        for session in sessions:
            if session in busy or session in self._watched:
                self._unread.pop(session, None)
            elif now - self._unread.setdefault(session, now) > _UNREAD_SECONDS:
                queue.pending_messages_per_session.pop(session, None)
                queue.pending_event_ids_session.pop(session, None)
        self._unread = {one: since for one, since in self._unread.items() if one in sessions}

    @property
    def _queue(self) -> Any:
        return self._demo._queue
