"""The people of a film: when each was there, and what was seen of them in all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agegenderemo.model_info import ModelInfo
from agegenderemo.tasks import (
    CategoricalPrediction,
    Prediction,
    RegressionPrediction,
    TaskSpec,
    decode,
    value_of,
)
from agegenderemo.types import TrackedFace

GAP = 0.5
"""Seconds without someone that end a run, at least."""


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds of a film in which someone was there and looked one way: ``label`` is a class of
    `shown_task`, or empty."""

    start: float
    end: float
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Someone in a film. Times are seconds from its first frame.

    ``predictions`` are means over the whole time, by the name of the task; ``shares`` how much of
    that time showed each class, by the name of each categorical task.
    """

    track_id: int
    first: float
    last: float
    seconds: float
    """In which the face was seen."""
    predictions: Mapping[str, Prediction]
    shares: Mapping[str, Mapping[str, float]]
    runs: tuple[Run, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; the runs are left out, rows of frames say more."""
        record: dict[str, Any] = {
            "track_id": self.track_id,
            "first": round(self.first, 3),
            "last": round(self.last, 3),
            "seconds": round(self.seconds, 3),
        }
        for name, prediction in self.predictions.items():
            record |= prediction.to_dict()
            if name in self.shares:
                record[f"{name}_shares"] = {k: round(v, 4) for k, v in self.shares[name].items()}
        return record


def shown_task(tasks: Sequence[TaskSpec]) -> TaskSpec | None:
    """The task whose classes a timeline shows: the first categorical one, else the first binary
    one, as drawings have it."""
    for kind in ("categorical", "binary"):
        for spec in tasks:
            if spec.kind == kind:
                return spec
    return None


@dataclass(slots=True)
class _Sums:
    """What is known of someone so far; every sum is over seconds."""

    first: float
    last: float
    seconds: float = 0.0
    values: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    shares: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)


class People:
    """Takes in a film frame by frame. A frame counts for the time until the next one."""

    def __init__(self, info: ModelInfo) -> None:
        self._info = info
        self._shown = shown_task(info.tasks)
        self._sums: dict[int, _Sums] = {}
        self._before: tuple[float, Sequence[TrackedFace]] | None = None
        self._gap = 0.0

    def add(self, time: float, faces: Sequence[TrackedFace]) -> None:
        """The next frame that was read."""
        if self._before is not None:
            self._count(*self._before, time - self._before[0])
        self._before = (time, faces)

    def finish(self, seconds: float) -> list[Person]:
        """Everyone, in the order of their numbers. ``seconds`` is for how long the last frame is
        shown."""
        if self._before is not None:
            self._count(*self._before, seconds)
            self._before = None
        return list(self._people())

    def _count(self, time: float, faces: Sequence[TrackedFace], seconds: float) -> None:
        for one in faces:
            known = self._sums.setdefault(one.track_id, _Sums(time, time))
            for name, prediction in one.face.predictions.items():
                value = np.asarray(value_of(prediction), np.float64) * seconds
                known.values[name] = known.values.get(name, np.zeros(())) + value
                if isinstance(prediction, CategoricalPrediction):
                    share = np.zeros(len(prediction.probabilities))
                    share[prediction.index] = seconds
                    known.shares[name] = known.shares.get(name, np.zeros(())) + share
            self._extend(known, one, time, seconds)
            known.seconds += seconds
            known.last = time

    def _extend(self, known: _Sums, one: TrackedFace, time: float, seconds: float) -> None:
        label = ""
        if self._shown is not None:
            shown = one.face.predictions[self._shown.name]
            assert not isinstance(shown, RegressionPrediction)
            label = shown.label
        end = time + seconds
        last = known.runs[-1] if known.runs else None
        if last is None or last.label != label or time - last.end > max(GAP, seconds):
            known.runs.append(Run(time, end, label))
        else:
            known.runs[-1] = Run(last.start, end, label)

    def _people(self) -> Iterator[Person]:
        for track_id, known in sorted(self._sums.items()):
            predictions = {
                spec.name: self._mean(spec, known.values[spec.name] / known.seconds)
                for spec in self._info.tasks
            }
            shares = {
                spec.name: dict(zip(spec.classes, (whole / known.seconds).tolist(), strict=True))
                for spec in self._info.tasks
                if (whole := known.shares.get(spec.name)) is not None
            }
            yield Person(track_id, known.first, known.last, known.seconds, predictions, shares,
                         tuple(known.runs))  # fmt: skip

    def _mean(self, spec: TaskSpec, value: NDArray[np.float64]) -> Prediction:
        """With the interval of such faces, as the calibration says it."""
        prediction = decode(spec, value)
        calibration = self._info.calibration.get(spec.name)
        return prediction if calibration is None else calibration.judge(prediction)
