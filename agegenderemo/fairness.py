"""Whether a network errs more for some people: figures by race, gender and age, with intervals.

Race labels are those of the test sets. No network here predicts race.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agegenderemo.labels import GENDERS, age_band, age_band_name
from agegenderemo.records import Attributes, Sample

_RESAMPLES = 2000
_FEW = 50  # faces: a smaller group says nothing
_ADULT = 20  # years

RACE, ADULT_RACE = "race", f"race, from {_ADULT} years"
"""Groupings that `largest_gap` compares: the test sets hold more small children of some races than
of others, and the gender of small children is mistaken most."""


def group_figures(
    samples: Sequence[Sample], answers: Sequence[Attributes]
) -> list[dict[str, Any]] | None:
    """A dict a group: what it is grouped ``by``, its name and size, and its figures, each with a
    95 % bootstrap interval as ``[value, low, high]``. None for a set without race labels.

    Groups under 50 faces are left out. Repeatable: the resamples are seeded.
    """
    if not any(sample.group for sample in samples):
        return None
    errors = [
        abs(a.age - s.age) if s.age is not None else np.nan
        for s, a in zip(samples, answers, strict=True)
    ]
    right = [
        float((a.male_probability >= 0.5) == bool(s.gender)) if s.gender is not None else np.nan
        for s, a in zip(samples, answers, strict=True)
    ]
    columns = np.array([errors, right], dtype=np.float64)
    names = {
        RACE: [s.group for s in samples],
        ADULT_RACE: [s.group if _youngest(s) >= _ADULT else None for s in samples],
        "gender": [None if s.gender is None else GENDERS[s.gender] for s in samples],
        "age": [_age_name(s) for s in samples],
    }
    table = []
    for by, labels in names.items():
        for name in sorted({label for label in labels if label}, key=_in_order):
            rows = np.array([label == name for label in labels])
            if rows.sum() < _FEW:
                continue
            error, accuracy = (_with_interval(column[rows]) for column in columns)
            table.append(
                {
                    "by": by,
                    "group": name,
                    "n": int(rows.sum()),
                    "age_mae": error,
                    "gender_accuracy": accuracy,
                }
            )
    return table


def largest_gap(groups: Sequence[dict[str, Any]], by: str = RACE) -> dict[str, Any] | None:
    """The best and the worst group by gender accuracy, and the gap between them in [0, 1]."""
    known = [g for g in groups if g["by"] == by and g.get("gender_accuracy")]
    if len(known) < 2:
        return None
    known.sort(key=lambda g: float(g["gender_accuracy"][0]))
    worst, best = known[0], known[-1]
    return {
        "worst": worst["group"],
        "best": best["group"],
        "gap": best["gender_accuracy"][0] - worst["gender_accuracy"][0],
    }


def _youngest(sample: Sample) -> float:
    """The age, or the lower end of its band; -1 if unknown."""
    if sample.age is not None:
        return sample.age
    return -1 if sample.age_range is None else sample.age_range[0]


def _age_name(sample: Sample) -> str | None:
    if sample.age is not None:
        return age_band_name(age_band(sample.age))
    if sample.age_range is None:
        return None
    low, high = sample.age_range
    return f"{low:.0f}-{high:.0f}" if np.isfinite(high) else f"{low:.0f}+"


def _in_order(name: str) -> tuple[int, str]:
    """Age bands by their first number, other names by the alphabet."""
    first = name.split("-")[0].rstrip("+")
    return (int(first) if first.isdigit() else -1, name)


def _with_interval(values: NDArray[np.float64]) -> list[float] | None:
    """Mean and 95 % percentile bootstrap interval; None where nothing is labelled."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    rng = np.random.default_rng(0)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return [float(values.mean()), float(low), float(high)]
