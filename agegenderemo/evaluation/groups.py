"""Whether a network errs more for some people: figures by race and by what else is known of a face,
with intervals.

Race labels are those of the test sets. No network here predicts race.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agegenderemo.evaluation.truth import Classes, Number, Truth, banded_task
from agegenderemo.report import ADULT, ADULT_RACE, RACE
from agegenderemo.tasks import Prediction, RegressionPrediction, TaskSpec

_TIMES, _AT_ONCE = 20, 100  # resamples: 2,000, without a large table of rows
_FEW = 50  # faces: a smaller group says nothing


def group_figures(
    races: Sequence[str | None],
    truths: Sequence[Truth],
    predictions: Sequence[Mapping[str, Prediction]],
    specs: Sequence[TaskSpec],
    set_tasks: Sequence[TaskSpec],
) -> list[dict[str, Any]] | None:
    """A dict a group: what it is grouped ``by``, its name and size, and by task the mean absolute
    error or the accuracy, each with a 95 % bootstrap interval as ``[value, low, high]``.

    Groups are races, classes of the set's binary tasks, and bands of age. ``specs`` are the tasks
    of the network. None for a set without race labels. Groups under 50 faces are left out.
    Repeatable: the resamples are seeded.
    """
    if not any(races):
        return None
    columns = {
        spec.name: np.array(
            [_miss(truth.get(spec.name), given[spec.name], spec) for truth, given in
             zip(truths, predictions, strict=True)]
        )
        for spec in specs
    }  # fmt: skip
    keys = {spec.name: "mae" if spec.kind == "regression" else "accuracy" for spec in specs}
    table = []
    for by, labels in _groupings(races, truths, set_tasks).items():
        for name in sorted({label for label in labels if label}, key=_in_order):
            rows = np.array([label == name for label in labels])
            if rows.sum() < _FEW:
                continue
            found = {task: _with_interval(column[rows]) for task, column in columns.items()}
            own = {task: {keys[task]: value} for task, value in found.items() if value}
            table.append({"by": by, "group": name, "n": int(rows.sum()), "tasks": own})
    return table


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


def _with_interval(values: NDArray[np.float64]) -> list[float] | None:
    """Mean and 95 % percentile bootstrap interval; None where nothing is labelled."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    rng = np.random.default_rng(0)
    size = (_AT_ONCE, len(values))
    means = [values[rng.integers(0, len(values), size)].mean(axis=1) for _ in range(_TIMES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return [float(values.mean()), float(low), float(high)]
