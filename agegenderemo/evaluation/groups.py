"""Whether a network errs more for some people: figures by race and by what else is known of a face,
with intervals.

Race labels are those of the test sets. No network here predicts race.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agegenderemo.evaluation.bootstrap import accuracy_range, with_interval
from agegenderemo.evaluation.truth import Classes, Number, Truth, banded_task
from agegenderemo.report import ADULT, ADULT_RACE, RACE
from agegenderemo.tasks import Prediction, RegressionPrediction, TaskSpec

_FEW = 50  # faces: a smaller group says nothing


def group_figures(
    races: Sequence[str | None],
    truths: Sequence[Truth],
    predictions: Sequence[Mapping[str, Prediction]],
    specs: Sequence[TaskSpec],
    set_tasks: Sequence[TaskSpec],
) -> dict[str, Any]:
    """``groups``, a dict a group: what it is grouped ``by``, its name and size, and by task the
    mean absolute error or the accuracy, each with a 95 % bootstrap interval as ``[value, low,
    high]``; and ``disparities``, by race and task how sure the range of accuracies is, as
    `agegenderemo.evaluation.bootstrap.accuracy_range` has it.

    Groups are races, classes of the set's binary tasks, and bands of age. ``specs`` are the tasks
    of the network. Empty for a set without race labels. Groups under 50 faces are left out.
    Repeatable: the resamples are seeded.
    """
    if not any(races):
        return {}
    columns = {
        spec.name: np.array(
            [_miss(truth.get(spec.name), given[spec.name], spec) for truth, given in
             zip(truths, predictions, strict=True)]
        )
        for spec in specs
    }  # fmt: skip
    keys = {spec.name: "mae" if spec.kind == "regression" else "accuracy" for spec in specs}
    table: list[dict[str, Any]] = []
    disparities: list[dict[str, Any]] = []
    for by, labels in _groupings(races, truths, set_tasks).items():
        masks = _masks(labels)
        for name, rows in masks.items():
            found = {task: with_interval(column[rows]) for task, column in columns.items()}
            own = {task: {keys[task]: value} for task, value in found.items() if value}
            table.append({"by": by, "group": name, "n": int(rows.sum()), "tasks": own})
        if by in (RACE, ADULT_RACE):
            disparities += (
                {"by": by, "task": task, **spread}
                for task, column in columns.items()
                if keys[task] == "accuracy" and (spread := _range(column, list(masks.values())))
            )
    return {"groups": table, "disparities": disparities or None}


def _masks(labels: Sequence[str | None]) -> dict[str, NDArray[np.bool_]]:
    """Which faces are in each group that is large enough, in their order."""
    names = sorted({label for label in labels if label}, key=_in_order)
    masks = {name: np.array([label == name for label in labels]) for name in names}
    return {name: rows for name, rows in masks.items() if rows.sum() >= _FEW}


def _range(right: NDArray[np.float64], masks: Sequence[NDArray[np.bool_]]) -> dict[str, Any] | None:
    """How sure the range of a task's accuracies over groups is; None with fewer than two."""
    groups = [values[np.isfinite(values)] for values in (right[rows] for rows in masks)]
    groups = [values for values in groups if len(values)]
    if len(groups) < 2:
        return None
    found = accuracy_range(groups)
    return {**found._asdict(), "interval": list(found.interval)}


def _groupings(
    races: Sequence[str | None], truths: Sequence[Truth], set_tasks: Sequence[TaskSpec]
) -> dict[str, list[str | None]]:
    """The group of each face by what faces are grouped by."""
    by = banded_task(set_tasks)
    ages = [None if by is None else truth.get(by) for truth in truths]
    adult = [isinstance(age, Number) and age.interval[0] >= ADULT for age in ages]
    found: dict[str, list[str | None]] = {
        RACE: list(races),
        ADULT_RACE: [race if old else None for race, old in zip(races, adult, strict=True)],
    }
    for spec in set_tasks:
        if spec.kind == "binary":
            classes = (truth.get(spec.name) for truth in truths)
            found[spec.name] = [c.majority if isinstance(c, Classes) else None for c in classes]
    if by is not None:
        found[by] = [age.band if isinstance(age, Number) else None for age in ages]
    return found


def _miss(truth: Number | Classes | None, prediction: Prediction, spec: TaskSpec) -> float:
    """The absolute error, or whether the class is right; NaN where the truth is not known."""
    if isinstance(prediction, RegressionPrediction):
        if not isinstance(truth, Number) or truth.value is None:
            return np.nan
        return abs(prediction.value - truth.value)
    if not isinstance(truth, Classes) or truth.majority not in spec.classes:
        return np.nan
    return float(prediction.label == truth.majority)


def _in_order(name: str) -> tuple[int, str]:
    """Bands by their first number, other names by the alphabet."""
    first = name.split("-")[0].rstrip("+")
    return (int(first) if first.isdigit() else -1, name)
