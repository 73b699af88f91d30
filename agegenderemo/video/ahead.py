"""Work that is done ahead on a thread of its own."""

import queue
import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_LOOK_SECONDS, _NO_TIME = 0.1, 1e-4


def ahead(items: Iterable[T], most: int, *, newest: bool = False) -> Generator[T, None, None]:
    """The same items in the same order, made on another thread, at most ``most`` of them ahead.
    Where only the ``newest`` matter, the oldest one that waits is dropped for another, so that the
    thread never waits.

    What ``items`` raises is raised here, after the items before it. Closing this generator stops
    the thread and closes ``items``; it has ended then.
    """
    ready: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(most)
    stopped = threading.Event()

    def put(one: tuple[T] | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(one, timeout=_NO_TIME if newest else _LOOK_SECONDS)
                return True
            except queue.Full:
                if newest:
                    with suppress(queue.Empty):
                        ready.get_nowait()
        return False

    def make() -> None:
        last: BaseException | None = None
        try:
            for one in items:
                if not put((one,)):
                    break
        except BaseException as error:
            last = error
        if isinstance(items, Generator):
            items.close()
        put(last)

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while (one := ready.get()) is not None:
            if isinstance(one, BaseException):
                raise one
            yield one[0]
    finally:
        stopped.set()
        thread.join()
