"""Two networks on the same faces: paired differences with intervals."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agegenderemo.errors import DatasetError
from agegenderemo.evaluation.bootstrap import paired
from agegenderemo.evaluation.predictions import (
    BOX,
    FACE,
    PROBABILITY,
    TRUE,
    TRUE_ARGMAX,
    TRUE_HIGH,
    TRUE_LOW,
    Row,
)

Scores = dict[str, float]
"""Of one face in one task, by the name of the figure that is their mean over faces."""


def compare_rows(first: Sequence[Row], second: Sequence[Row]) -> list[dict[str, Any]]:
    """A dict for each set, task and figure that both have: ``set``, ``task``, ``figure``, the faces
    ``n`` that both were asked about, the mean of the ``first`` and of the ``second``, their
    ``difference`` (second less first) with its 95 % ``interval``, and the ``share`` of resamples on
    the other side of zero, twice. The faces are resampled, not the two networks apart.

    Rows are those of `agegenderemo.evaluation.predictions`. A face counts in a task where its true
    class is one that both networks know. Raises DatasetError where there is no common face or task,
    or where the labels of a face differ.
    """
    ours, theirs = _by_face(first, second)
    faces = [face for face in ours if face in theirs]
    if not faces:
        raise DatasetError("The two have no face in common: their sets or files have other names.")
    found = []
    sets = dict.fromkeys(face[0] for face in faces)
    for name in sets:
        pairs = [(ours[face], theirs[face]) for face in faces if face[0] == name]
        for task in _tasks(first[0], second[0]):
            for figure, scores in _scores(pairs, task).items():
                own = paired(*zip(*scores, strict=True))
                found.append(
                    {"set": name, "task": task, "figure": figure, **own._asdict()}
                    | {"interval": list(own.interval)}
                )
    if not found:
        raise DatasetError("The two have no task in common that these faces are labelled for.")
    return found


def alone(first: Sequence[Row], second: Sequence[Row]) -> tuple[int, int]:
    """How many faces only the first has, and only the second: they are not compared."""
    ours, theirs = _by_face(first, second)
    return len(ours.keys() - theirs.keys()), len(theirs.keys() - ours.keys())


def _by_face(*sides: Sequence[Row]) -> list[dict[tuple[Any, ...], Row]]:
    """The rows of each side by their face."""
    boxes = all(BOX in rows[0] for rows in sides if rows)
    keys = (*FACE, BOX) if boxes else FACE
    found: list[dict[tuple[Any, ...], Row]] = []
    for rows in sides:
        own: dict[tuple[Any, ...], Row] = {}
        for row in rows:
            face = tuple(row[key] for key in keys)
            if face in own:
                name = "/".join(str(row[key]) for key in FACE)
                raise DatasetError(f"The face {name} stands twice in one file.")
            own[face] = row
        found.append(own)
    return found


def _tasks(first: Row, second: Row) -> Iterator[str]:
    """Names of the tasks that both rows have, in the order of the first."""
    for column in first:
        name = column.removesuffix(TRUE)
        if name != column and {column, name} <= set(first) & set(second):
            yield name


def _scores(pairs: Sequence[tuple[Row, Row]], task: str) -> dict[str, list[tuple[float, float]]]:
    """The scores of both by figure, of the faces that count for both."""
    one, other = pairs[0]
    regression = f"{task}{TRUE_LOW}" in one
    classes = [set(_classes(row, task)) for row in (one, other)]
    known = classes[0] & classes[1]
    binary = all(len(own) == 2 for own in classes)
    score: Callable[[Row], Scores] = (
        (lambda row: _errors(row, task))
        if regression
        else (lambda row: _hits(row, task, known, binary))
    )
    found: dict[str, list[tuple[float, float]]] = {}
    for a, b in pairs:
        for end in (TRUE, TRUE_LOW, TRUE_HIGH, TRUE_ARGMAX):
            if _same_label(a.get(f"{task}{end}"), b.get(f"{task}{end}")):
                continue
            raise DatasetError(
                f"The two name other labels of {task} for {'/'.join(str(a[k]) for k in FACE)}."
            )
        ours, theirs = score(a), score(b)
        for figure in ours.keys() & theirs.keys():
            found.setdefault(figure, []).append((ours[figure], theirs[figure]))
    return dict(sorted(found.items(), key=lambda pair: _ORDER.index(pair[0])))


_ORDER = ("mae", "band_accuracy", "accuracy", "accuracy_majority", "accuracy_argmax")


def _errors(row: Row, task: str) -> Scores:
    value, true, low, high = (
        None if row[f"{task}{end}"] is None else float(row[f"{task}{end}"])
        for end in ("", TRUE, TRUE_LOW, TRUE_HIGH)
    )
    if value is None:
        return {}
    if true is not None:
        return {"mae": abs(value - true)}
    if low is None or high is None:
        return {}
    return {"band_accuracy": float(low <= value < high)}


def _hits(row: Row, task: str, known: set[str], binary: bool) -> Scores:
    majority, argmax, said = (row.get(f"{task}{end}") for end in (TRUE, TRUE_ARGMAX, ""))
    protocols = (
        {"accuracy": majority}
        if binary
        else {"accuracy_majority": majority, "accuracy_argmax": argmax}
    )
    return {
        figure: float(said == true)
        for figure, true in protocols.items()
        if true is not None and true in known
    }


def _classes(row: Mapping[str, Any], task: str) -> Iterator[str]:
    start = f"{task}{PROBABILITY}"
    return (column.removeprefix(start) for column in row if column.startswith(start))


def _same_label(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    try:
        return float(a) == float(b)
    except ValueError:
        return bool(a == b)
