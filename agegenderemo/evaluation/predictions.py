"""What a network said of single faces, as rows: for a file, and to compare two networks face by
face.

A row has ``set``, ``file``, ``split``, ``crop``, how the face was found, and ``box``, where the
data set says that it is: four numbers, x1 y1 x2 y2. A task NAME has
``NAME_true`` and its answer under ``NAME``. Of a regression there are also ``NAME_true_low`` and
``NAME_true_high`` (a label that is a band: from the first up to, not with, the second), and the
predicted ``NAME_low`` and ``NAME_high``; of other tasks ``NAME_true_argmax`` for the second
protocol where there are votes, ``NAME_probability_CLASS`` for each class, and ``NAME_confident``.
What is not known is None, in a file an empty cell.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agegenderemo.data.dataset import CropSource, PreparedSet
from agegenderemo.data.samples import ImageRef
from agegenderemo.errors import DatasetError, MissingExtraError
from agegenderemo.evaluation.truth import YEARS, Classes, Number, truth_of
from agegenderemo.files import write_atomically
from agegenderemo.results import no_formula
from agegenderemo.tasks import BinaryPrediction, Prediction, RegressionPrediction, TaskSpec

Row = Mapping[str, Any]

TRUE = "_true"
TRUE_LOW, TRUE_HIGH, TRUE_ARGMAX = f"{TRUE}_low", f"{TRUE}_high", f"{TRUE}_argmax"
PROBABILITY = "_probability_"
FACE = ("set", "file")
"""The columns that tell one picture from another."""
BOX = "box"
"""The column that tells the faces of one picture from each other; older files have none."""

SUFFIXES = (".csv", ".parquet")
_FIRST = (*FACE, "split", "crop", BOX)


def fields(specs: Sequence[TaskSpec]) -> tuple[str, ...]:
    """The columns for a network with these tasks, in their order."""
    return (*_FIRST, *(f"{spec.name}{end}" for spec in specs for end in _endings(spec)))


def prediction_rows(
    prepared: PreparedSet,
    rows: Sequence[int],
    answers: Sequence[Mapping[str, Prediction]],
    specs: Sequence[TaskSpec],
) -> list[dict[str, Any]]:
    """A row for each of these rows of a prepared set, by `fields`."""
    table = []
    for row, given in zip(rows, answers, strict=True):
        sample = prepared.samples[row]
        truth = truth_of(sample, prepared.tasks)
        source = CropSource(int(prepared.source[row])).name.lower()
        box = None if sample.box is None else " ".join(f"{value:g}" for value in sample.box)
        cells = (prepared.name, no_formula(_file(sample.image)), sample.split, source, box)
        line: dict[str, Any] = dict(zip(_FIRST, cells, strict=True))
        for spec in specs:
            known = _known(spec, truth.get(spec.name)) + _said(spec, given[spec.name])
            line |= zip((f"{spec.name}{end}" for end in _endings(spec)), known, strict=True)
        table.append(line)
    return table


def write_rows(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write a ``.csv``, or a ``.parquet`` where pyarrow is installed, whole or not at all.

    Raises DatasetError for another ending, MissingExtraError without pyarrow.
    """
    check_suffix(path)
    if path.suffix == ".csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(path, text.getvalue().encode())
        return
    arrow, parquet = _pyarrow()
    table = arrow.table({name: [row[name] for row in rows] for name in columns})
    stream = io.BytesIO()
    parquet.write_table(table, stream)
    write_atomically(path, stream.getbuffer())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file that `write_rows` made, or of one with its columns; cells of a CSV are
    text, and None where they are empty.

    Raises DatasetError for a file that is none, MissingExtraError without pyarrow.
    """
    check_suffix(path)
    try:
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                rows = [{k: v or None for k, v in row.items()} for row in csv.DictReader(file)]
        else:
            _, parquet = _pyarrow()
            rows = parquet.read_table(path).to_pylist()
        if not rows or not {*FACE} <= set(rows[0]):
            raise ValueError("it has no columns 'set' and 'file', or no rows")
        if any(None in row for row in rows):  # where csv puts what is too much
            raise ValueError("a row has more cells than there are columns")
    except MissingExtraError:
        raise
    except (OSError, ValueError, AttributeError, TypeError, csv.Error) as error:
        raise DatasetError(
            f"{path} holds no predictions ({error}); write some with "
            "'agegenderemo evaluate --predictions'."
        ) from error
    return rows


def check_suffix(path: Path) -> None:
    """Raises DatasetError for a file that is neither CSV nor Parquet."""
    if path.suffix not in SUFFIXES:
        raise DatasetError(f"Predictions are {' or '.join(SUFFIXES)} files, not {path.name!r}.")


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError("A Parquet file (a .csv does not)", "batch") from error
    return pyarrow, pyarrow.parquet


def _file(ref: ImageRef) -> str:
    if ref.offset is None:
        return ref.name
    return f"{ref.name or ref.container.name}:{ref.offset}"


def _endings(spec: TaskSpec) -> tuple[str, ...]:
    """What follows the name of a task in its columns: what is true, then what was said."""
    if spec.kind == "regression":
        return (TRUE, TRUE_LOW, TRUE_HIGH, "", "_low", "_high")
    classes = (f"{PROBABILITY}{name}" for name in spec.classes)
    return (TRUE, TRUE_ARGMAX, "", *classes, "_confident")


def _known(spec: TaskSpec, truth: Number | Classes | None) -> tuple[Any, ...]:
    if isinstance(truth, Classes):
        return truth.majority, truth.argmax
    if truth is None:
        return (None,) * (3 if spec.kind == "regression" else 2)
    if truth.value is not None:
        return truth.value, None, None
    low, high = truth.interval
    # Bands of years are whole ones: 19.9 still is in 10-19.
    return None, low, high + 1 if spec.unit == YEARS and math.isfinite(high) else high


def _said(spec: TaskSpec, given: Prediction) -> tuple[Any, ...]:
    if isinstance(given, RegressionPrediction):
        return (given.value, *(given.interval or (None, None)))
    shares = (
        (1 - given.positive, given.positive)
        if isinstance(given, BinaryPrediction)
        else given.probabilities
    )
    return (given.label, *shares, given.confident)
