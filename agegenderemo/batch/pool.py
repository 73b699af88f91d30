"""Calls a function of many items in processes of their own, with results in the order of the items.

Processes and not threads: between the networks there is much NumPy, which holds Python's lock. What
is waiting is bounded, however many items there are. A process that dies (killed by the system for
memory, or by a decoder that crashes) costs one more try of the item that it had: another takes its
place, and an item that two processes died of is given up, by name. So is one that takes too long,
where there is a clock.
"""

import contextlib
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from agegenderemo.errors import AgeGenderEmoError

Item = TypeVar("Item")
Result = TypeVar("Result")

_IN_HAND = 2
"""Items that a process has: the next is there when it is done with one."""

_AHEAD = 8
"""Items a process that may be done or under way before the oldest one is."""

_TRIES = 2
_LOOK_SECONDS = 0.2

# A spawned process shares no locks and no threads with this one, so it may start from a server too.
_SPAWN = multiprocessing.get_context("spawn")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(slots=True)
class _Task(Generic[Item]):
    index: int
    item: Item
    tries: int = 0


@dataclass(slots=True, eq=False)
class _Worker(Generic[Item]):
    process: BaseProcess
    connection: Connection
    tasks: deque[_Task[Item]] = field(default_factory=deque)
    """In the order in which it does them."""
    ready: bool = False
    since: float = 0.0
    """When it began with the first of them."""


def map_ordered(
    start: Callable[[], Callable[[Item], Result]],
    items: Iterable[Item],
    workers: int,
    lost: Callable[[Item], Result],
    seconds: float | None = None,
) -> Iterator[Result]:
    """The result of each item, in their order, by ``workers`` processes.

    Each process calls ``start`` once, and what that returns for every item; ``start``, items and
    results must pickle. ``lost`` makes the result of an item that processes died of, or that took
    longer than ``seconds``.

    Raises whatever ``start`` or the function raises in a process, and AgeGenderEmoError where
    processes end before they are ready; all are ended then, as they are when the caller stops.
    """
    pool = _Pool(start, workers, lost, seconds)
    try:
        yield from pool.results(iter(items))
    finally:
        pool.close()


class _Pool(Generic[Item, Result]):
    def __init__(
        self,
        start: Callable[[], Callable[[Item], Result]],
        workers: int,
        lost: Callable[[Item], Result],
        seconds: float | None,
    ) -> None:
        self._start = start
        self._seconds = seconds
        self._lost = lost
        self._again: deque[_Task[Item]] = deque()
        self._done: dict[int, Result] = {}
        self._stillborn = 0
        self._workers = [self._new_worker() for _ in range(max(1, workers))]

    def results(self, items: Iterator[Item]) -> Iterator[Result]:
        most = len(self._workers) * _AHEAD
        given = yielded = 0
        exhausted = False
        while True:
            while not exhausted and given - yielded < most and self._idle() is not None:
                try:
                    task = _Task(given, next(items))
                except StopIteration:
                    exhausted = True
                    break
                given += 1
                self._give(task)
            while yielded in self._done:
                yield self._done.pop(yielded)
                yielded += 1
            if exhausted and yielded == given:
                return
            self._listen()

    def close(self) -> None:
        """End every process, at once."""
        for worker in self._workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()

    def _new_worker(self) -> _Worker[Item]:
        ours, theirs = _SPAWN.Pipe()
        # With this process they end too, whatever ends it: their end of the pipe closes.
        process = _SPAWN.Process(target=_serve, args=(theirs, self._start), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _idle(self) -> _Worker[Item] | None:
        """The one with the fewest items, if it may have another."""
        worker = min(self._workers, key=lambda one: len(one.tasks))
        return worker if len(worker.tasks) < _IN_HAND else None

    def _give(self, task: _Task[Item]) -> None:
        worker = self._idle() or self._workers[0]
        if not worker.tasks:
            worker.since = time.monotonic()
        worker.tasks.append(task)
        with contextlib.suppress(OSError):  # it has died, which `_listen` will see
            worker.connection.send((task.index, task.item))

    def _listen(self) -> None:
        """Take what processes have to say: results, errors, or that they are no more."""
        self._end_late()
        connections = [worker.connection for worker in self._workers]
        for connection in wait(connections, None if self._seconds is None else _LOOK_SECONDS):
            worker = next(one for one in self._workers if one.connection is connection)
            try:
                index, result, error = worker.connection.recv()
            except (EOFError, OSError):
                self._replace(worker)
                continue
            if error is not None:
                raise error
            worker.since = time.monotonic()
            if not worker.ready:
                worker.ready = True
                continue
            worker.tasks.popleft()
            self._done[index] = result
        while self._again and self._idle() is not None:
            self._give(self._again.popleft())

    def _end_late(self) -> None:
        """End processes that are too long at one item, which is given up at once."""
        for worker in self._workers:
            late = self._seconds and time.monotonic() - worker.since > self._seconds
            if late and worker.ready and worker.tasks:
                worker.tasks[0].tries = _TRIES
                worker.process.kill()

    def _replace(self, worker: _Worker[Item]) -> None:
        """Start another in the place of one that died, and try its items again."""
        worker.connection.close()
        worker.process.join()
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn >= _TRIES * len(self._workers):
                raise AgeGenderEmoError(
                    "Processes that read pictures end before they begin, as where there is too "
                    "little memory; use fewer, with --workers 1."
                )
        elif worker.tasks:
            first = worker.tasks[0]  # the one that it was at
            first.tries += 1
            if first.tries >= _TRIES:
                self._done[first.index] = self._lost(worker.tasks.popleft().item)
        self._again.extend(worker.tasks)
        self._workers[self._workers.index(worker)] = self._new_worker()


def _serve(connection: Connection, start: Callable[[], Callable[[Any], Any]]) -> None:
    """The life of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    items: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_take, args=(connection, items), daemon=True).start()
    try:
        call = start()
        connection.send((0, None, None))  # ready
        while (task := items.get()) is not None:
            index, item = pickle.loads(task)
            connection.send((index, call(item), None))
    except BrokenPipeError:
        return
    except Exception as error:
        connection.send((0, None, error))


def _take(connection: Connection, items: "queue.SimpleQueue[bytes | None]") -> None:
    """Take what comes at any time: who gives a large item would wait for this process, and this one
    for him to take a large result."""
    try:
        while True:
            items.put(connection.recv_bytes())
    except (EOFError, OSError):
        items.put(None)
