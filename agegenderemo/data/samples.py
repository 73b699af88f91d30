"""The typed records of a data set: labelled images, and what a reader made of the whole. They know
neither pixels nor torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from agegenderemo.tasks import TaskSpec, by_name, check_distribution
from agegenderemo.types import Box

Split = Literal["train", "val", "test"]

Interval = tuple[float, float]


class Estimate(float):
    """A number that people guessed: the mean of their guesses, and their standard deviation in the
    same unit. Where a plain number is wanted it is the mean."""

    deviation: float

    def __new__(cls, mean: float, deviation: float) -> "Estimate":
        """Raises ValueError for a deviation that is none."""
        if not (math.isfinite(deviation) and deviation >= 0):
            raise ValueError(f"a deviation is zero or more, not {deviation}")
        estimate = super().__new__(cls, mean)
        estimate.deviation = float(deviation)
        return estimate

    def __getnewargs__(self) -> tuple[float, float]:  # type: ignore[override]
        return float(self), self.deviation

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) is True and self.deviation == getattr(other, "deviation", 0.0)

    def __ne__(self, other: object) -> bool:  # float has one of its own
        return not self == other

    __hash__ = float.__hash__

    def __repr__(self) -> str:
        return f"{float(self)} ± {self.deviation}"


Label = float | int | Interval | tuple[float, ...]
"""What is known of a face in one task.

Of a regression the number (an `Estimate` where it is the mean of guesses), or the closed interval
that holds it, whose end may be infinite; of a binary task 0 or 1, the index of its class; of a
categorical one a probability for each class.
"""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where the bytes of one image are: a file, a member of a zip or tar, or a row of
    ``fer2013.csv``.

    ``name`` is the path inside a folder or archive; ``offset`` the byte where the csv row begins.
    """

    container: Path
    name: str
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image.

    ``labels`` are by the name of the task, in the vocabulary of the data set's own tasks; one that
    is not known is absent. ``votes`` are the raw counts of annotators, where the set has them;
    ``race`` is used only to measure fairness and to choose how often a face is drawn in training.
    ``box`` says where the face is, (x1, y1, x2, y2) in pixels of the picture, or in fractions of
    its sides where no number is above one; without it the face is searched for.
    """

    image: ImageRef
    split: Split
    labels: Mapping[str, Label] = field(default_factory=dict, hash=False)
    votes: tuple[int, ...] | None = None
    race: str | None = None
    box: Box | None = None

    def __post_init__(self) -> None:
        if self.split not in get_args(Split):
            raise ValueError(f"a split is one of {', '.join(get_args(Split))}, not {self.split!r}")
        if self.votes is not None and (not self.votes or min(self.votes) < 0):
            raise ValueError(f"votes are counts, none below zero, not {self.votes}")
        if self.box is not None:
            x1, y1, x2, y2 = self.box
            if not (all(map(math.isfinite, self.box)) and x1 < x2 and y1 < y2):
                raise ValueError(f"a box is (x1, y1, x2, y2) with x1 < x2, y1 < y2, not {self.box}")


@dataclass(frozen=True, slots=True)
class SkippedEntry:
    """An entry of a data set that was left out, and why (a short phrase that groups its kind)."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class DatasetIndex:
    """What a reader made of a data set: samples with the ``tasks`` that they are labelled for, what
    was left out, and what it could restore without guessing (``repaired``, such as a
    spreadsheet-mangled band). ``notes`` say what was not understood, or stands for the whole set.

    Raises ValueError for a label that its task cannot have.
    """

    samples: tuple[Sample, ...]
    tasks: tuple[TaskSpec, ...]
    skipped: tuple[SkippedEntry, ...] = ()
    repaired: tuple[SkippedEntry, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_labels(self.samples, self.tasks)

    def only(self, split: Split) -> "DatasetIndex":
        """The samples of one split, with every other entry as it is."""
        chosen = tuple(sample for sample in self.samples if sample.split == split)
        return replace(self, samples=chosen)

    def summary(self) -> str:
        """One line for people: how many samples, what was skipped and repaired, by reason."""
        parts = [f"{len(self.samples):,} samples"]
        for title, entries in (("skipped", self.skipped), ("repaired", self.repaired)):
            counts: dict[str, int] = {}
            for entry in entries:
                counts[entry.reason] = counts.get(entry.reason, 0) + 1
            if counts:
                parts.append(f"{title} " + ", ".join(f"{n:,} ({why})" for why, n in counts.items()))
        return "; ".join([*parts, *self.notes])


def check_labels(samples: tuple[Sample, ...], tasks: tuple[TaskSpec, ...]) -> None:
    """Raises ValueError where a sample has a label of no task, or one that its task cannot have."""
    specs = by_name(tasks)
    for sample in samples:
        for name, label in sample.labels.items():
            if name not in specs:
                raise ValueError(
                    f"{sample.image.name} is labelled for {name!r}, no task of the set"
                )
            check_label(specs[name], label)


def check_label(spec: TaskSpec, label: Label) -> None:
    """Raises ValueError for a label that the task cannot have."""
    if spec.kind == "regression":
        low, high = interval(label)
        bounded = spec.minimum is None or low >= spec.minimum
        if not (math.isfinite(low) and low <= high and bounded):
            raise ValueError(f"{spec.name} cannot be {label!r}")
    elif spec.kind == "binary":
        if isinstance(label, tuple) or label not in (0, 1):
            raise ValueError(f"{spec.name} must be 0 or 1, not {label!r}")
    elif isinstance(label, tuple):
        check_distribution(spec, label)
    else:
        raise ValueError(f"{spec.name} must have a probability for each class, not {label!r}")


def interval(label: Label) -> Interval:
    """The closed interval that the label of a regression stands for; both ends are the number where
    it is known. Raises ValueError for what is neither."""
    if not isinstance(label, tuple):
        return float(label), float(label)
    if len(label) != 2:
        raise ValueError(f"an interval has two ends, not {len(label)}")
    return label[0], label[1]
