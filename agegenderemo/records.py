"""The typed records that the layers hand to each other, validated when built."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agegenderemo.labels import DOUBTS, EMOTIONS, FERPLUS_COLUMNS, GENDERS

Box = tuple[float, float, float, float]
Point = tuple[float, float]
Landmarks = tuple[Point, Point, Point, Point, Point]
"""Left and right eye, nose, left and right mouth corner, as the viewer sees them, (x, y) pixels."""

Split = Literal["train", "val", "test"]

Framing = Literal["face", "ffhq"]
"""How a crop sits round a face: close, or as wide as FFHQ's thumbnails."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a model wants to see: an RGB square of ``size`` pixels, framed round the face as
    ``framing`` says, scaled to [0, 1], then normalised by ``mean`` and ``std`` per channel."""

    size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    framing: Framing = "face"

    def __post_init__(self) -> None:
        if self.size < 32:
            raise ValueError(f"input size must be at least 32 pixels, not {self.size}")
        if min(self.std) <= 0:
            raise ValueError(f"every standard deviation must be positive, not {self.std}")


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where the bytes of one image are: a file, a member of a zip, or a row of ``fer2013.csv``.

    ``name`` is the path inside a folder or zip; ``offset`` the byte where the csv row begins.
    """

    container: Path
    name: str
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image; a label that the set does not have is None.

    ``age`` is years; ``age_range`` a closed interval in years where only a band is known (its end
    may be infinite); ``gender`` 0 female, 1 male; ``emotion`` eight probabilities in the order of
    `EMOTIONS`; ``votes`` the ten raw FER+ votes; ``group`` the race label, used only to
    measure fairness and to choose how often a face is drawn in training.
    """

    image: ImageRef
    split: Split
    age: float | None = None
    age_range: tuple[float, float] | None = None
    gender: int | None = None
    emotion: tuple[float, ...] | None = None
    votes: tuple[int, ...] | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        if self.age is not None and not 0 <= self.age <= 130:
            raise ValueError(f"age must lie in [0, 130] years, not {self.age}")
        if self.age_range is not None and not 0 <= self.age_range[0] <= self.age_range[1]:
            raise ValueError(f"age range must be ordered and not negative, not {self.age_range}")
        if self.gender not in (None, 0, 1):
            raise ValueError(f"gender must be 0 (female), 1 (male) or None, not {self.gender!r}")
        if self.emotion is not None:
            _check_distribution(self.emotion)
        if self.votes is not None and len(self.votes) != len(FERPLUS_COLUMNS):
            raise ValueError(f"{len(FERPLUS_COLUMNS)} votes are wanted, not {len(self.votes)}")


@dataclass(frozen=True, slots=True)
class Skip:
    """An entry of a data set that was left out, and why (a short phrase that groups its kind)."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader made of a data set: samples, what it left out, and what it could restore
    without guessing (``repaired``, such as a spreadsheet-mangled age band)."""

    samples: tuple[Sample, ...]
    skipped: tuple[Skip, ...] = ()
    repaired: tuple[Skip, ...] = ()

    def only(self, split: Split) -> "Reading":
        """The samples of one split, with every other entry as it is."""
        chosen = tuple(sample for sample in self.samples if sample.split == split)
        return Reading(chosen, self.skipped, self.repaired)

    def summary(self) -> str:
        """One line for people: how many samples, what was skipped and repaired, by reason."""
        parts = [f"{len(self.samples):,} samples"]
        for title, entries in (("skipped", self.skipped), ("repaired", self.repaired)):
            counts: dict[str, int] = {}
            for entry in entries:
                counts[entry.reason] = counts.get(entry.reason, 0) + 1
            if counts:
                parts.append(f"{title} " + ", ".join(f"{n:,} ({why})" for why, n in counts.items()))
        return "; ".join(parts)


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
        if len(self.landmarks) != 5:
            raise ValueError(f"five landmarks are wanted, not {len(self.landmarks)}")

    @property
    def area(self) -> float:
        """Box area in square pixels."""
        x1, y1, x2, y2 = self.box
        return (x2 - x1) * (y2 - y1)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the network says of one aligned crop: age in years, probability that the face looks
    male, and eight emotion probabilities that sum to one.

    From a calibrated network also: ``age_interval``, the years that hold the true age of four in
    five such faces; ``age_error``, their mean absolute error in years; and whether the gender and
    the top emotion are more than a guess.
    """

    age: float
    male_probability: float
    emotions: tuple[float, ...]
    age_interval: tuple[float, float] | None = None
    age_error: float | None = None
    gender_sure: bool = True
    emotion_sure: bool = True

    def __post_init__(self) -> None:
        if self.age_interval and not self.age_interval[0] <= self.age <= self.age_interval[1]:
            raise ValueError(f"age_interval must hold the age {self.age}: {self.age_interval}")
        if not math.isfinite(self.age):
            raise ValueError(f"age must be a finite number of years, not {self.age}")
        if not 0 <= self.male_probability <= 1:
            raise ValueError(f"male_probability must lie in [0, 1], not {self.male_probability}")
        _check_distribution(self.emotions)


@dataclass(frozen=True, slots=True)
class Face:
    """One analysed face: where it is, what it looks like, and reasons to distrust that."""

    detection: Detection
    attributes: Attributes
    doubts: tuple[str, ...] = ()
    """Why this answer may be worse than usual, of `DOUBTS`; empty for a face seen well."""

    def __post_init__(self) -> None:
        if not set(self.doubts) <= set(DOUBTS):
            raise ValueError(f"doubts must be of {', '.join(DOUBTS)}, not {self.doubts}")

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
    def age(self) -> float:
        """Apparent age in years."""
        return self.attributes.age

    @property
    def age_interval(self) -> tuple[float, float] | None:
        """Years that hold the true age of four in five such faces; None if not calibrated."""
        return self.attributes.age_interval

    @property
    def gender(self) -> str:
        """``"female"`` or ``"male"``, whichever the face looks more like."""
        return GENDERS[int(self.attributes.male_probability >= 0.5)]

    @property
    def gender_probability(self) -> float:
        """Probability of `gender`, [0.5, 1]."""
        male = self.attributes.male_probability
        return max(male, 1 - male)

    @property
    def emotions(self) -> dict[str, float]:
        """The eight emotions in their fixed order, each with its probability."""
        return dict(zip(EMOTIONS, self.attributes.emotions, strict=True))

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        probabilities = self.attributes.emotions
        return EMOTIONS[probabilities.index(max(probabilities))]

    def to_dict(self) -> dict[str, Any]:
        """The face as plain JSON types, in the documented order of keys."""
        return {
            "box": [round(v, 2) for v in self.box],
            "score": round(self.score, 4),
            "landmarks": [[round(x, 2), round(y, 2)] for x, y in self.landmarks],
            "age": round(self.age, 2),
            "age_interval": self.age_interval and [round(v, 1) for v in self.age_interval],
            "age_error": self.attributes.age_error and round(self.attributes.age_error, 1),
            "gender": self.gender,
            "gender_probability": round(self.gender_probability, 4),
            "gender_sure": self.attributes.gender_sure,
            "emotion": self.emotion,
            "emotions": {name: round(p, 6) for name, p in self.emotions.items()},
            "emotion_sure": self.attributes.emotion_sure,
            "doubts": list(self.doubts),
        }


def _check_distribution(values: tuple[float, ...]) -> None:
    if len(values) != len(EMOTIONS):
        raise ValueError(f"{len(EMOTIONS)} emotion probabilities are wanted, not {len(values)}")
    if not all(0 <= v <= 1 for v in values) or abs(sum(values) - 1) > 1e-3:
        raise ValueError(f"emotion probabilities must lie in [0, 1] and sum to one: {values}")
