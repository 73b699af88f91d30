"""The typed records that the rooms hand to each other, validated when built.

Images are RGB uint8 H×W×3, boxes (x1, y1, x2, y2) in pixels of the original picture.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from agegenderemo.errors import TaskError
from agegenderemo.tasks import (
    BinaryPrediction,
    CategoricalPrediction,
    Prediction,
    RegressionPrediction,
)

RGBImage = NDArray[np.uint8]
Box = tuple[float, float, float, float]
Point = tuple[float, float]
Landmarks = tuple[Point, Point, Point, Point, Point]
"""Left and right eye, nose, left and right mouth corner, as the viewer of the upright face sees
them, (x, y) pixels."""

Template = Literal["face", "ffhq"]
"""The alignment template: how a crop sits round a face, close, or as wide as FFHQ's thumbnails."""

CROP_SIZE = 128
"""Side of aligned crops in pixels: a little more than the largest input, for jitter in training."""

QUALITY_FLAGS = ("small", "blurred", "dark", "turned", "cut off", "perhaps no face")
"""Reasons to distrust the answer for a face."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a model wants to see: an RGB square of ``size`` pixels, cut by the alignment
    ``template``, scaled to [0, 1], then normalised by ``mean`` and ``std`` per channel."""

    size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    template: Template = "face"

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 1024:
            raise ValueError(f"input size must lie in 32 to 1024 pixels, not {self.size}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not np.isfinite(values).all():
                raise ValueError(f"{name} must be three finite numbers, not {values}")
        if min(self.std) <= 0:
            raise ValueError(f"every standard deviation must be positive, not {self.std}")
        if self.template not in get_args(Template):
            raise ValueError(f"unknown alignment template {self.template!r}")


@dataclass(frozen=True, slots=True)
class Detection:
    """A face found in a picture: box and landmarks in its pixels, score in [0, 1]."""

    box: Box
    score: float
    landmarks: Landmarks

    def __post_init__(self) -> None:
        x1, y1, x2, y2 = self.box
        if not (x1 < x2 and y1 < y2):
            raise ValueError(f"box must be (x1, y1, x2, y2) with x1 < x2 and y1 < y2: {self.box}")
        if len(self.landmarks) != 5 or any(len(point) != 2 for point in self.landmarks):
            raise ValueError(f"five landmarks (x, y) are wanted, not {self.landmarks}")
        numbers = (*self.box, *(v for point in self.landmarks for v in point))
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"box and landmarks must be finite: {self.box}, {self.landmarks}")
        if not 0 <= self.score <= 1:
            raise ValueError(f"score must lie in [0, 1], not {self.score}")

    @property
    def area(self) -> float:
        """Box area in square pixels."""
        x1, y1, x2, y2 = self.box
        return (x2 - x1) * (y2 - y1)

    @property
    def roll(self) -> float:
        """How far the face is turned clockwise in the picture, degrees in (-180, 180]: 0 is
        upright, 180 on its head."""
        left, right, _, mouth_left, mouth_right = self.landmarks
        x, y = (right[i] - left[i] + mouth_right[i] - mouth_left[i] for i in (0, 1))
        return math.degrees(math.atan2(y, x))


class Detector(Protocol):
    """Finds faces in RGB uint8 pictures; holds no state, so that threads may share it."""

    def detect(
        self, image: RGBImage, *, min_face_size: int | None = None, max_side: int | None = None
    ) -> list[Detection]:
        """Faces of one picture, the largest first; empty when there is none. Both options, in
        pixels, stand in for the detector's own."""
        ...

    def refine(self, image: RGBImage, boxes: Sequence[Box]) -> list[Detection | None]:
        """The face near each box, at a small part of the cost of a search; None where none is."""
        ...


@dataclass(frozen=True, slots=True)
class Face:
    """One analysed face: where it is, what it looks like, and reasons to distrust that.

    ``predictions`` are by the name of the task, in the order of the network's tasks.
    """

    detection: Detection
    predictions: Mapping[str, Prediction] = field(hash=False)
    quality_flags: tuple[str, ...] = ()
    """Why this answer may be worse than usual, of `QUALITY_FLAGS`; empty for a face seen well."""

    def __post_init__(self) -> None:
        if not set(self.quality_flags) <= set(QUALITY_FLAGS):
            raise ValueError(
                f"quality flags must be of {', '.join(QUALITY_FLAGS)}, not {self.quality_flags}"
            )
        for name, prediction in self.predictions.items():
            if prediction.spec.name != name:
                raise ValueError(
                    f"the prediction of {prediction.spec.name!r} stands under {name!r}"
                )

    @property
    def box(self) -> Box:
        """(x1, y1, x2, y2) in pixels of the original picture."""
        return self.detection.box

    @property
    def score(self) -> float:
        """How sure the detector is that this is a face, [0, 1]."""
        return self.detection.score

    @property
    def landmarks(self) -> Landmarks:
        """Eyes, nose and mouth corners in pixels of the original picture."""
        return self.detection.landmarks

    @property
    def roll(self) -> float:
        """How far the face is turned clockwise in the picture, degrees in (-180, 180]."""
        return self.detection.roll

    # Conveniences for the tasks that the shipped networks have. Each raises TaskError, one
    # sentence, where the network has no such task.

    @property
    def age(self) -> float:
        """Apparent age in years."""
        return self._regression("age").value

    @property
    def age_interval(self) -> tuple[float, float] | None:
        """Years that hold the true age of four in five such faces; None if not calibrated."""
        return self._regression("age").interval

    @property
    def gender(self) -> str:
        """``"female"`` or ``"male"``, whichever the face looks more like."""
        return self._binary("gender").label

    @property
    def gender_probability(self) -> float:
        """Probability of `gender`, [0.5, 1]."""
        return self._binary("gender").probability

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return self._categorical("emotion").label

    @property
    def emotions(self) -> dict[str, float]:
        """Each emotion of the network in its fixed order, with its probability."""
        return self._categorical("emotion").by_class()

    def _prediction(self, name: str) -> Prediction:
        if name not in self.predictions:
            known = ", ".join(self.predictions) or "none"
            raise TaskError(f"This network has no task {name!r}; its tasks are: {known}.")
        return self.predictions[name]

    def _regression(self, name: str) -> RegressionPrediction:
        prediction = self._prediction(name)
        if not isinstance(prediction, RegressionPrediction):
            raise _other_kind(prediction, "regression")
        return prediction

    def _binary(self, name: str) -> BinaryPrediction:
        prediction = self._prediction(name)
        if not isinstance(prediction, BinaryPrediction):
            raise _other_kind(prediction, "binary")
        return prediction

    def _categorical(self, name: str) -> CategoricalPrediction:
        prediction = self._prediction(name)
        if not isinstance(prediction, CategoricalPrediction):
            raise _other_kind(prediction, "categorical")
        return prediction

    def to_dict(self) -> dict[str, Any]:
        """The face as plain JSON types, in the order of `agegenderemo.results.json_schema`."""
        record: dict[str, Any] = {
            "box": [round(v, 2) for v in self.box],
            "score": round(self.score, 4),
            "landmarks": [[round(x, 2), round(y, 2)] for x, y in self.landmarks],
            "roll": round(self.roll, 1),
        }
        for prediction in self.predictions.values():
            record |= prediction.to_dict()
        record["quality_flags"] = list(self.quality_flags)
        return record


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """A face of a video frame and the person whom it belongs to, a number from 1 that stays."""

    track_id: int
    face: Face
    settled: bool = True
    """Whether enough readings agree for the answers to stand; until then they are first guesses."""


def _other_kind(prediction: Prediction, wanted: str) -> TaskError:
    spec = prediction.spec
    return TaskError(
        f"The task {spec.name!r} of this network is {spec.kind}, not {wanted}; "
        f"read face.predictions[{spec.name!r}]."
    )
