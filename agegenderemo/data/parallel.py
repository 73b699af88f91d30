"""Rows of a prepared set on every core, in chunks."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agegenderemo.errors import DatasetError

T = TypeVar("T")

_CHUNK = 32


def map_rows(
    work: Callable[[NDArray[np.int64]], T],
    rows: NDArray[np.int64],
    start: Callable[..., None],
    arguments: tuple[Any, ...],
    processes: int | None,
    title: str,
) -> Iterator[T]:
    """What ``work`` gives for chunks of rows, in any order; each process calls ``start`` with the
    ``arguments`` first. By default there is a process for each core.

    Raises DatasetError where a process dies.
    """
    if not len(rows):
        return
    chunks = [rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)]
    count = min(processes or os.cpu_count() or 1, len(chunks))
    with tqdm(total=len(rows), desc=title, unit="image") as bar, contextlib.ExitStack() as stack:
        if count == 1:
            start(*arguments)
            results: Iterable[T] = map(work, chunks)
        else:
            # Spawned, not forked: the threads of a runtime do not survive a fork.
            pool = ProcessPoolExecutor(
                count, multiprocessing.get_context("spawn"), _start, (start, *arguments)
            )
            stack.callback(pool.shutdown, cancel_futures=True)
            futures = [pool.submit(work, chunk) for chunk in chunks]
            results = (future.result() for future in as_completed(futures))
        try:
            for result in results:
                bar.update(min(_CHUNK, len(rows) - bar.n))
                yield result
        except BrokenProcessPool as error:
            raise DatasetError(
                f"A process was killed in the midst of {title}, perhaps for want of memory; the "
                "same command goes on where it was, with --processes 1 in less memory."
            ) from error


def _start(start: Callable[..., None], *arguments: Any) -> None:
    # An interrupt goes to every process of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    start(*arguments)
