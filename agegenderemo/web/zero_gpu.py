"""The graphics card that a ZeroGPU Space lends, call by call, to the Many page.

Hugging Face lends a card to functions that its package ``spaces`` has marked, for as long as a call
takes: it runs in a forked process, where alone CUDA is, and what goes in and comes out is pickled.
Anywhere else there is no `card_of`, and nothing of this is imported.
"""

import importlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import lru_cache, partial
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

from agegenderemo.errors import ImageError
from agegenderemo.inference.analyzer import Analyzer, Origin
from agegenderemo.web.batch import Item, Outcome, failed, read_item
from agegenderemo.web.guard.hosts import is_zero_gpu
from agegenderemo.web.guard.picture_pool import PicturePool

_log = logging.getLogger(__name__)

_CALL_SECONDS = 60
"""For which the card is asked for; what takes longer is ended by the Space."""

_WORK_SECONDS = 40.0
"""After which a call begins with no further picture, and the next call goes on."""

_PICTURES, _BYTES = 32, 64 * 2**20  # of a call

ReadOnCard = Callable[[Origin, list[Item], float], Generator[Outcome, None, None]]


def card_of(analyzer: Analyzer, seconds: float) -> "Card | None":
    """What reads with a lent card, each picture within ``seconds``; None where there is none, or
    PyTorch is missing, or the analyzer is one that PyTorch does not repeat (int8, own parts).

    On a ZeroGPU Space the function is marked in any case: a Space without one is not started.
    """
    if not is_zero_gpu(os.environ):
        return None
    if find_spec("spaces") is None:
        _log.warning("This is a ZeroGPU Space without the package 'spaces': no card is used.")
        return None
    read: ReadOnCard = importlib.import_module("spaces").GPU(duration=_CALL_SECONDS)(read_on_card)
    if find_spec("torch") is None:
        _log.warning("This is a ZeroGPU Space without PyTorch: no card is used.")
        return None
    if analyzer.origin is None or analyzer.origin.precision != "float":
        return None
    return Card(read, analyzer.origin._replace(engine="torch", device="cuda"), seconds)


def report_start(demo: Any, port: int) -> None:
    """Tell a ZeroGPU Space that the app is up, and which functions want a card: ``launch()`` would,
    but this page is mounted. Elsewhere nothing. Where the Space does not listen, no card is lent.

    A process that is forked closes the connections of ``port``, which ``demo`` must name.
    """
    if not is_zero_gpu(os.environ) or find_spec("spaces") is None:
        return
    demo.server = SimpleNamespace(config=SimpleNamespace(port=port))
    try:
        importlib.import_module("spaces.zero").startup()
    except Exception:  # it has no errors of its own
        _log.exception("The ZeroGPU Space does not listen: no card will be lent.")


class Card:
    """Reads pictures with the lent card, some in a call."""

    def __init__(self, read: ReadOnCard, origin: Origin, seconds: float) -> None:
        self._read, self._origin, self._seconds = read, origin, seconds

    def outcomes(self, items: Iterator[Item]) -> Generator[Outcome, None, list[Item]]:
        """The outcome of each item, in their order, until the card is not lent any more (a visitor
        has a quota) or fails: its value are then those that were taken and not read."""
        waiting: deque[Item] = deque()
        while True:
            _fill(waiting, items)
            before = len(waiting)
            if not before:
                return []
            try:
                with closing(self._read(self._origin, list(waiting), self._seconds)) as results:
                    for outcome in results:
                        waiting.popleft()
                        yield outcome
            except Exception as error:  # of the quota, of the Space or of the card
                _log.warning("Without a card from here on: %s", error)
                return list(waiting)
            if len(waiting) == before:
                return list(waiting)


def _fill(waiting: deque[Item], items: Iterator[Item]) -> None:
    size = sum(len(one.content or b"") for one in waiting)
    while len(waiting) < _PICTURES and size < _BYTES:
        item = next(items, None)
        if item is None:
            return
        waiting.append(item)
        size += len(item.content or b"")


def read_on_card(
    origin: Origin, items: list[Item], seconds: float
) -> Generator[Outcome, None, None]:
    """What a call with a card does: outcomes of the items in their order, as many as its time
    allows."""
    end = time.monotonic() + _WORK_SECONDS
    analyzer = _opened(origin)
    pool = PicturePool(1, seconds, nice=0)
    for item in items:
        if time.monotonic() > end:
            return
        try:
            yield pool.run(partial(read_item, analyzer, item))
        except ImageError as error:
            yield failed(item, error)


@lru_cache(1)  # the process may be there for the next call
def _opened(origin: Origin) -> Analyzer:
    return origin.open()
