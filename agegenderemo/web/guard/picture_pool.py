"""Threads for whole pictures: behind live frames, and with a clock on each."""

import contextlib
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from agegenderemo.errors import ImageError

T = TypeVar("T")

_IDLE_SECONDS = 10.0
_SPARE = 2  # threads that may stand in for others whose picture does not end
_BUSY = "The server is busy with other pictures; try again in a minute."
_TOO_SLOW = "This picture takes too long to read; make it smaller."


class _Job:
    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.started = threading.Event()
        self.future: Future[Any] = Future()
        self.replaced = False

    def carry_out(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        self.started.set()
        try:
            self.future.set_result(self.work())
        except BaseException as error:
            self.future.set_exception(error)


class PicturePool:
    """Runs work for callers who wait: at most ``threads`` pieces at once, ``seconds`` for each.

    Who waits is freed when the time is over. The work itself cannot be stopped: another thread
    takes the place of its own, which ends with it. The threads are ``nice``, for a long batch must
    not take the cores from live frames. They start with the first piece of work, and end when there
    is none for some time.
    """

    def __init__(self, threads: int, seconds: float, nice: int) -> None:
        self._most, self._seconds, self._nice = threads, seconds, nice
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._threads = 0
        self._spare = _SPARE

    def run(self, work: Callable[[], T]) -> T:
        """The result of ``work``; raises what it raises, or ImageError where it takes too long, or
        finds no thread for as long."""
        job = _Job(work)
        self._jobs.put(job)
        self._fill()
        if not job.started.wait(self._seconds) and job.future.cancel():
            raise ImageError(_BUSY)
        try:
            result: T = job.future.result(self._seconds)
        except TimeoutError:
            if job.future.done():  # the work's own error, or its end at this very moment
                return job.future.result()  # type: ignore[no-any-return]
            self._replace(job)
            raise ImageError(_TOO_SLOW) from None
        return result

    def _fill(self) -> None:
        with self._lock:
            while self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._serve, name="picture", daemon=True).start()

    def _replace(self, job: _Job) -> None:
        with self._lock:
            if self._spare == 0 or job.future.done():
                return
            self._spare -= 1
            self._threads -= 1
            job.replaced = True
        self._fill()

    def _may_end(self) -> bool:
        with self._lock:
            if not self._jobs.empty():
                return False
            self._threads -= 1
            return True

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # on Linux each thread has a priority of its own
            own = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + self._nice)
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                if self._may_end():
                    return
                continue
            job.carry_out()
            with self._lock:
                if job.replaced:
                    self._spare += 1
                    return
