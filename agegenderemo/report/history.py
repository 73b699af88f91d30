"""The history of a training run as a table."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from agegenderemo.report.record import SETS, share
from agegenderemo.report.table import Table

_MEASURED = re.compile(r"(?P<data>[a-z0-9]+)_(?P<task>\w+?)_(?P<key>mae|accuracy(?:_majority)?)")
_EVERY = "val"
"""What a network of one set, which has no columns by set, was measured on."""


class _Column(NamedTuple):
    key: str
    head: str
    is_error: bool


def history_table(history: Sequence[Mapping[str, str]]) -> Table:
    """A row an epoch of a ``history.csv``: its loss, and what was measured of each set, or of the
    validation faces where there was one set. A cell that was not measured is blank."""
    columns = _columns(history, lambda data: data not in ("train", _EVERY))
    columns = columns or _columns(history, lambda data: data == _EVERY)
    return Table(
        "Every epoch of its training",
        ("epoch", "pixels", "training loss", *(column.head for column in columns), "minutes"),
        tuple(
            (
                row.get("epoch", ""),
                row.get("size", ""),
                _number(row.get("train_total")),
                *(
                    _number(row.get(key)) if is_error else _share(row.get(key))
                    for key, _, is_error in columns
                ),
                _minutes(row.get("seconds")),
            )
            for row in history
        ),
    )


def _columns(history: Sequence[Mapping[str, str]], wanted: Callable[[str], bool]) -> list[_Column]:
    shown = []
    for key in history[0] if history else ():
        match = _MEASURED.fullmatch(key)
        if match and wanted(match["data"]) and not match["task"].endswith("_band"):
            data = (
                "validation" if match["data"] == _EVERY else SETS.get(match["data"], match["data"])
            )
            how = {"mae": " MAE", "accuracy": ""}.get(match["key"], " majority")
            shown.append(_Column(key, f"{data} {match['task']}{how}", match["key"] == "mae"))
    return shown


def _number(cell: str | None) -> str:
    return f"{float(cell):.2f}" if cell else ""


def _share(cell: str | None) -> str:
    return share(float(cell)) if cell else ""


def _minutes(cell: str | None) -> str:
    if not cell:
        return ""
    seconds = float(cell)
    return f"{seconds / 60:.{0 if seconds >= 60 else 1}f}"
