"""What is known of a face, by the names of classes: whatever vocabulary a network has, it can be
measured against this."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agegenderemo.data.hard_labels import hard_label
from agegenderemo.data.samples import Interval, Sample
from agegenderemo.errors import TaskError
from agegenderemo.tasks import TaskSpec, age_band, age_band_name

YEARS = "years"


@dataclass(frozen=True, slots=True)
class Number:
    """A regression's true value, or the closed interval that holds it."""

    value: float | None
    interval: Interval

    @property
    def band(self) -> str:
        """Of a number of years the band that holds it, of an interval its own ends."""
        if self.value is not None:
            return age_band_name(age_band(self.value))
        low, high = self.interval
        return f"{low:.0f}+" if math.isinf(high) else f"{low:.0f}-{high:.0f}"


@dataclass(frozen=True, slots=True)
class Classes:
    """The true class by the two protocols of FER+; None where the annotators do not agree."""

    majority: str | None
    argmax: str | None


Truth = Mapping[str, Number | Classes]
"""By the name of the task; one that is not known is absent."""


def truth_of(sample: Sample, specs: Sequence[TaskSpec]) -> Truth:
    """What the labels of a sample say; ``specs`` are the tasks of its data set."""
    found: dict[str, Number | Classes] = {}
    for spec in specs:
        if spec.kind != "regression":
            majority, argmax = (hard_label(sample, spec, p) for p in ("majority", "argmax"))
            if majority is not None or argmax is not None:
                found[spec.name] = Classes(majority, argmax)
        elif (label := sample.labels.get(spec.name)) is not None:
            if isinstance(label, tuple):
                low, high = label
                found[spec.name] = Number(None, (float(low), float(high)))
            else:
                found[spec.name] = Number(float(label), (float(label), float(label)))
    return found


def banded_task(specs: Sequence[TaskSpec]) -> str | None:
    """The name of the task by which faces are banded: the first whose unit is years."""
    found = (spec.name for spec in specs if spec.kind == "regression" and spec.unit == YEARS)
    return next(found, None)


def check_kinds(set_tasks: Sequence[TaskSpec], specs: Sequence[TaskSpec]) -> None:
    """Raises TaskError where a data set and a network mean different things by a name."""
    kinds = {spec.name: spec.kind for spec in specs}
    for own in set_tasks:
        if kinds.get(own.name, own.kind) != own.kind:
            raise TaskError(
                f"What the data set calls {own.name!r} is {own.kind}, but the network's task of "
                f"this name is {kinds[own.name]}, so it cannot be measured."
            )
