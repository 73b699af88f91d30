"""Calls a function of many items on the machines of a Ray cluster, by Ray Data.

The items go out in chunks, and what becomes of a chunk is finished where it was made (written to a
file that is named by the chunk's number), so only a word about it comes back. A chunk whose worker
or machine is lost is done again, and its file written over: nothing is there twice. Within a worker
the items are read as on one machine, by `map_ordered`: one that kills a process costs itself.
"""

import logging
import math
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from agegenderemo.batch.pool import map_ordered
from agegenderemo.errors import AgeGenderEmoError, MissingExtraError

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK_SIZE = 200
"""Items that go out together: some seconds of work."""

# Of a core, for one worker: workers that take whole cores leave none for Ray's own tasks, which
# feed them, and the job hangs.
_SHARE = 0.9


def map_chunks(
    start: Callable[[], Callable[[Item], Result]],
    items: Sequence[Item],
    lost: Callable[[Item], Result],
    finish: Callable[[int, list[Result]], Any],
    *,
    address: str | None = None,
) -> Iterator[Any]:
    """What ``finish`` returns for the number and the results of each chunk, as they are done.

    ``start``, ``lost`` and the items are as in `map_ordered`, and all must pickle; ``finish`` may
    be called more than once for a chunk, always with the same results. ``address`` is that of a
    cluster (``HOST:PORT``, ``ray://HOST:PORT``, ``auto``); without one a cluster is started on this
    machine alone, unless this process is part of one.

    Raises MissingExtraError without Ray, and AgeGenderEmoError for a cluster that cannot be
    reached.
    """
    ray = _ray()
    mine = not ray.is_initialized()
    if mine:
        try:
            ray.init(address=address or "local", log_to_driver=False, include_dashboard=False,
                     logging_level=logging.ERROR)  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise AgeGenderEmoError(f"There is no Ray cluster at {address}: {error}") from error
    try:
        yield from _results(ray, start, items, lost, finish)
    finally:
        if mine:
            ray.shutdown()


def _results(
    ray: Any,
    start: Callable[[], Callable[[Item], Result]],
    items: Sequence[Item],
    lost: Callable[[Item], Result],
    finish: Callable[[int, list[Result]], Any],
) -> Iterator[Any]:
    chunks = [
        {"number": number, "items": pickle.dumps(items[first : first + CHUNK_SIZE])}
        for number, first in enumerate(range(0, len(items), CHUNK_SIZE))
    ]
    if not chunks:
        return
    workers = math.floor(ray.cluster_resources().get("CPU", 1) / _SHARE)
    options = ray.data.DataContext.get_current()
    options.enable_progress_bars = False
    options.print_on_execution_start = False
    done = ray.data.from_items(chunks, override_num_blocks=len(chunks)).map(
        _Chunk,
        fn_constructor_args=(start, lost, finish),
        concurrency=(1, max(1, min(workers, len(chunks)))),
        num_cpus=_SHARE,
    )
    for row in done.iter_rows():
        yield pickle.loads(row["done"])


class _Chunk:
    """A worker: it lives as long as the job, or its machine."""

    def __init__(
        self,
        start: Callable[[], Callable[[Any], Any]],
        lost: Callable[[Any], Any],
        finish: Callable[[int, list[Any]], Any],
    ) -> None:
        self._start, self._lost, self._finish = start, lost, finish

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        items = pickle.loads(row["items"])
        results = list(map_ordered(self._start, items, 1, self._lost))
        return {"done": pickle.dumps(self._finish(int(row["number"]), results))}


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("--engine ray", "batch") from error
    return ray
