"""Your own pictures, listed in a csv: a row a face, a column a task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agegenderemo.data.readers.registry import register_reader
from agegenderemo.data.readers.source import each_once
from agegenderemo.data.readers.table import BROKEN_ROW, number, read_table
from agegenderemo.data.readers.words import (
    MISSING,
    label_of,
    split_by_hash,
    split_named,
    split_note,
)
from agegenderemo.data.samples import DatasetIndex, ImageRef, Label, Sample, SkippedEntry
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import VOCABULARY, TaskSpec, by_name
from agegenderemo.types import Box

_CORNERS = ("x1", "y1", "x2", "y2")
_DEVIATION = "_deviation"  # after the name of a regression: the column of what guesses spread by
_OTHER = ("file", "split", "box", "race", *_CORNERS)


@dataclass
class _Rows:
    """What is known so far of the rows of one file."""

    columns: tuple[str, ...]
    tasks: dict[str, TaskSpec]  # by the column
    folder: Path
    samples: list[Sample] = field(default_factory=list)
    skipped: list[SkippedEntry] = field(default_factory=list)
    strange: dict[str, str] = field(default_factory=dict)  # by column, its first unknown cell

    def add(self, cells: Mapping[str, str], line: int) -> None:
        """One row; raises ValueError, with the reason, where it cannot be used."""
        name, labels = _file(self.folder, cells["file"]), self._labels(cells, line)
        box = _box(cells)
        split = split_named(cells["split"]) if "split" in self.columns else split_by_hash(name)
        if split is None:
            raise ValueError("no split, or an unknown one")
        if not labels:
            raise ValueError("no label")
        race = cells.get("race") or None
        ref = ImageRef(self.folder, name)
        self.samples.append(Sample(ref, split, labels, race=race, box=box))

    def _labels(self, cells: Mapping[str, str], line: int) -> dict[str, Label]:
        labels: dict[str, Label] = {}
        for column, spec in self.tasks.items():
            cell = cells[column]
            if cell.lower() in MISSING:
                continue
            try:
                labels[spec.name] = label_of(spec, cell, cells.get(column + _DEVIATION, ""))
            except ValueError as error:
                wanted = " or ".join(spec.classes) or "a number or a band"
                self.strange.setdefault(
                    column, f"{column} in row {line} is {cell[:40]!r}, not {wanted}"
                )
                raise ValueError(f"unknown {column}") from error
        return labels


@register_reader("csv", "your own csv", (), own=True)
def read(root: Path) -> DatasetIndex:
    """The faces of a csv with the columns ``file``, a path from the folder of the csv, and one or
    more named as the tasks of the vocabulary are; an empty cell is a label that is not known.

    ``split`` (train, val or test) is made by a hash of the path where there is no such column.
    ``box``, four numbers in pixels, or ``x1``, ``y1``, ``x2``, ``y2`` say where the face is.
    """
    if not root.is_file():
        raise DatasetError(f"{root} is no file; give the csv that lists your pictures.")
    columns, table = read_table(root, ("file",))
    tasks = {name: VOCABULARY[name] for name in columns if name in VOCABULARY}
    if not tasks:
        raise DatasetError(
            f"{root.name} has labels for no task; name a column {', '.join(VOCABULARY)}."
        )
    specs = tuple(by_name(tasks.values()).values())
    rows = _Rows(columns, tasks, root.parent)
    for line, cells in table:
        try:
            if cells is None:
                raise ValueError(BROKEN_ROW)
            rows.add(cells, line)
        except ValueError as error:
            rows.skipped.append(SkippedEntry(f"row {line}", str(error)))
    samples, twice = each_once(rows.samples)
    known = {*_OTHER, *tasks, *(f"{name}{_DEVIATION}" for name in tasks), ""}
    unknown = [name for name in columns if name not in known]
    notes = [f"columns that are no task: {', '.join(unknown)}"] if unknown else []
    notes += [*rows.strange.values(), split_note(samples)]
    return DatasetIndex(tuple(samples), specs, (*rows.skipped, *twice), notes=tuple(notes))


def _file(folder: Path, cell: str) -> str:
    """The path from the folder; raises ValueError where there is no such file."""
    for name in dict.fromkeys((cell, cell.replace("\\", "/"))):
        try:
            if name and (folder / name).is_file():
                return name
        except (OSError, ValueError):  # too long for a name, or a zero byte
            break
    raise ValueError("no image")


def _box(cells: Mapping[str, str]) -> Box | None:
    """The box of a row, None where it has none; raises ValueError for one that is not a box."""
    corners = [cells.get(name, "") for name in _CORNERS]
    if cells.get("box"):
        corners = cells["box"].strip("[]() ").replace(",", " ").replace(";", " ").split()
    if not any(corners):
        return None
    try:
        x1, y1, x2, y2 = map(number, corners)
    except ValueError as error:
        raise ValueError("unknown box") from error
    if not (x1 < x2 and y1 < y2):
        raise ValueError("unknown box")
    return x1, y1, x2, y2
