"""Threads for live frames, shared fairly: by address first, then by viewer."""

import asyncio
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

_RECENT_SECONDS = 2.0


class Busy(Exception):
    """No turn for this work now; it may be sent again. The message is a sentence for people."""


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Callable[[], T]
    until: float
    future: Future[T] = field(default_factory=Future)


class FairPool(Generic[T]):
    """Runs work on ``threads`` threads of its own. Addresses take turns, and within one its
    sessions; an address has at most ``each`` pieces of work waiting and half of what is left, all
    together ``total``. What waits longer than ``seconds`` is answered Busy.

    A session's work, from wherever it comes, is done in its order: one piece is under way, and the
    next may wait for it where nobody else waits. That hides the time on the line from a quick
    client, and takes nothing from others.

    Where several addresses are active, none of them holds every thread: a free one is there for
    the next.
    """

    def __init__(self, threads: int, each: int, total: int, seconds: float) -> None:
        self._threads, self._each, self._total, self._seconds = threads, each, total, seconds
        self._ready = threading.Condition()
        self._waiting: OrderedDict[str, OrderedDict[str, _Job[T]]] = OrderedDict()
        self._queued: set[str] = set()  # sessions
        self._busy: set[str] = set()
        self._running: Counter[str] = Counter()
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._stopped = False
        for number in range(threads):
            name = f"live-{number}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()

    async def run(self, address: str, session: str, work: Callable[[], T]) -> T:
        """The result of ``work``; raises what it raises, or Busy."""
        job = self._put(address, session, work)
        try:
            return await asyncio.wrap_future(job.future)
        finally:
            self._drop(address, session, job)

    def stop(self) -> None:
        """Let the threads end; what waits is answered Busy."""
        with self._ready:
            self._stopped = True
            for jobs in self._waiting.values():
                for job in jobs.values():
                    _refuse(job)
            self._waiting.clear()
            self._ready.notify_all()

    def _put(self, address: str, session: str, work: Callable[[], T]) -> _Job[T]:
        with self._ready:
            if session in self._queued or (session in self._busy and self._waiting):
                raise Busy("The last frame is still being read.")
            mine = len(self._waiting.get(address, ()))
            left = self._total - self._count()
            # Nor may a few addresses fill the line: see `Shares`.
            if self._stopped or mine >= self._each or left < 1 or (mine and mine >= left / 2):
                raise Busy("The server is busy with other viewers.")
            now = time.monotonic()
            job = _Job(work, now + self._seconds)
            self._queued.add(session)
            self._waiting.setdefault(address, OrderedDict())[session] = job
            self._remember(address, now)
            self._ready.notify()
            return job

    def _drop(self, address: str, session: str, job: _Job[T]) -> None:
        """The caller is gone or has its answer."""
        with self._ready:
            jobs = self._waiting.get(address, OrderedDict())
            if jobs.get(session) is job:
                del jobs[session]
                if not jobs:
                    del self._waiting[address]
                self._queued.discard(session)

    def _count(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _remember(self, address: str, now: float) -> None:
        self._seen[address] = now
        self._seen.move_to_end(address)
        while now - next(iter(self._seen.values())) > _RECENT_SECONDS:
            self._seen.popitem(last=False)

    def _next(self) -> tuple[str, str, _Job[T]] | None:
        """The turn of an address that may have one more thread, and there of its first session of
        which nothing is under way."""
        most = self._threads if len(self._seen) < 2 else max(1, self._threads - 1)
        for address, jobs in self._waiting.items():
            session = next((one for one in jobs if one not in self._busy), None)
            if session is not None and self._running[address] < most:
                job = jobs.pop(session)
                if jobs:
                    self._waiting.move_to_end(address)
                else:
                    del self._waiting[address]
                return address, session, job
        return None

    def _serve(self) -> None:
        while True:
            with self._ready:
                while (turn := self._next()) is None:
                    if self._stopped:
                        return
                    # Not for ever: an address stops being recent without a word.
                    self._ready.wait(_RECENT_SECONDS if self._waiting else None)
                    self._forget_old()
                address, session, job = turn
                self._running[address] += 1
                self._queued.discard(session)
                self._busy.add(session)
            try:
                _carry_out(job)
            finally:
                with self._ready:
                    self._running[address] -= 1
                    if not self._running[address]:
                        del self._running[address]
                    self._busy.discard(session)
                    self._ready.notify()

    def _forget_old(self) -> None:
        now = time.monotonic()
        while self._seen and now - next(iter(self._seen.values())) > _RECENT_SECONDS:
            self._seen.popitem(last=False)


def _refuse(job: _Job[T]) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(Busy("The server is busy with other viewers."))


def _carry_out(job: _Job[T]) -> None:
    if time.monotonic() > job.until:
        _refuse(job)
        return
    if not job.future.set_running_or_notify_cancel():
        return
    try:
        job.future.set_result(job.work())
    except BaseException as error:
        job.future.set_exception(error)
