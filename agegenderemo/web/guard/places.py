"""Turns in gradio's queue, which itself knows no addresses: first come, first served.

An address has half as many calls of a kind (photos, batches, …) there as gradio has workers for
them, so it neither fills the queue nor holds every worker; its further calls wait here, in their
order, and are refused before a proxy would cut them off.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agegenderemo.web.guard.refusal import Refusal

_LOOK_SECONDS = 0.05
_UNREAD_SECONDS = 60.0
_FORGET_SECONDS = 2.0
_TOO_LONG = "Your network has other calls under way that take long; try again in a minute."


class Turn:
    """A call that may go on to gradio now; ``event`` is set to what gradio named it."""

    event: str | None = None


@dataclass(slots=True)
class _Line:
    """The calls of one kind of one address: who goes on next, and which are in gradio's queue."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    events: set[str] = field(default_factory=set)


class QueuePlaces:
    """Who has which calls in the queue of ``demo``, a ``Blocks``. For one event loop.

    ``workers`` is how many calls of each group gradio answers at once. Of a session at most
    ``each`` calls wait, of an address ``waiting``, each ``patience`` seconds at most.
    """

    def __init__(
        self, demo: Any, workers: Mapping[str, int], each: int, waiting: int, patience: float
    ) -> None:
        self._demo, self._workers = demo, workers
        self._each, self._most, self._patience = each, waiting, patience
        self._waiting: Counter[str] = Counter()
        self._sessions: Counter[tuple[str, str]] = Counter()
        self._lines: dict[tuple[str, str], _Line] = {}
        self._watched: Counter[str] = Counter()
        self._unread: dict[str, float] = {}
        self._looked = 0.0

    @asynccontextmanager
    async def turn(self, address: str, group: str, session: str = "") -> AsyncIterator[Turn]:
        """Wait until the address has a place in the queue for another call of the group. Raises
        Refusal (429) where too many calls of the session, or of all of the address, wait already,
        or this one waited too long."""
        person = address, session
        if self._sessions[person] >= self._each or self._waiting[address] >= self._most:
            raise Refusal(429, "Too many calls from one address at once; wait for an answer.")
        self._waiting[address] += 1
        self._sessions[person] += 1
        line = self._lines.setdefault((address, group), _Line())
        line.waiting += 1
        most = max(1, self._workers[group] // 2)
        try:
            try:
                async with asyncio.timeout(self._patience):
                    await self._reach_end(line, most)
            except TimeoutError:
                raise Refusal(429, _TOO_LONG) from None
            turn = Turn()
            try:
                yield turn
            finally:
                if turn.event is not None:
                    line.events.add(turn.event)
                line.lock.release()
        finally:
            line.waiting -= 1
            _give_back(self._waiting, address)
            _give_back(self._sessions, person)

    async def _reach_end(self, line: _Line, most: int) -> None:
        """Hold the lock of a line whose next call may go on."""
        await line.lock.acquire()
        try:
            while len(self._living(line)) >= most:
                await asyncio.sleep(_LOOK_SECONDS)
        except BaseException:
            line.lock.release()
            raise

    def _living(self, line: _Line) -> set[str]:
        line.events &= self._queue.event_ids_to_events.keys()
        return line.events

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
        self._lines = {key: one for key, one in self._lines.items()
                       if one.waiting or self._living(one)}  # fmt: skip
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


def _give_back(held: Counter[Any], key: Any) -> None:
    """One unit; what holds none must not stay in the table."""
    held[key] -= 1
    if not held[key]:
        del held[key]
