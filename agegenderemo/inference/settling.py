"""Answers for one person that settle over the frames of a video, by the kind of the task.

Times are seconds, weights lie in [0, 1]: a prediction that there is reason to distrust weighs less.
Everything goes by time, so that nothing depends on the rate of frames.
"""

import math
from dataclasses import dataclass
from typing import Any

from agegenderemo.tasks import (
    BinaryPrediction,
    CategoricalPrediction,
    Prediction,
    RegressionPrediction,
    TaskCalibration,
    TaskSpec,
    decode,
)

_JUST_NOT = 0.4999  # shown for the first class where the mean has passed one half
_SURE = 0.99  # a probability counts as no more: one frame must not outweigh all others
_SURE_SIDE = 0.85  # two answers of a binary task contradict each other when both are so sure


@dataclass(frozen=True, slots=True)
class SettlingRates:
    """How fast answers move.

    A regression is averaged over ``regression_memory`` seconds, and one answer pulls it by no more
    than ``regression_outlier``, in the task's unit. The logit of a binary task is averaged over
    ``binary_memory`` seconds, and the class that is shown changes ``binary_margin`` past one half.
    Probabilities of classes are averaged over ``calm_memory`` seconds while they change by less
    than ``small_change`` (total variation, [0, 1]), and over ``quick_memory`` from ``large_change``
    on.
    """

    regression_memory: float = 4.0
    regression_outlier: float = 8.0
    binary_memory: float = 1.0
    binary_margin: float = 0.1
    calm_memory: float = 0.5
    quick_memory: float = 0.06
    small_change: float = 0.15
    large_change: float = 0.45


@dataclass(frozen=True, slots=True)
class SettledNumber:
    """A regression: the mean, and the weight of what it was made of."""

    value: float
    weight: float

    def toward(
        self, new: RegressionPrediction, seconds: float, weight: float, rates: SettlingRates
    ) -> "SettledNumber":
        total = self.weight * math.exp(-seconds / rates.regression_memory) + weight
        limit = rates.regression_outlier
        pull = max(-limit, min(limit, new.value - self.value))
        return SettledNumber(self.value + weight / total * pull, total)

    def shown(self) -> float:
        return self.value

    def contradicts(self, new: RegressionPrediction, rates: SettlingRates) -> bool:
        return abs(new.value - self.value) > rates.regression_outlier


@dataclass(frozen=True, slots=True)
class SettledLogit:
    """A binary task: the mean logit of the second class, and whether that class is shown."""

    logit: float
    second: bool

    def toward(
        self, new: BinaryPrediction, seconds: float, weight: float, rates: SettlingRates
    ) -> "SettledLogit":
        step = weight * (1 - math.exp(-seconds / rates.binary_memory))
        logit = self.logit + step * (_logit(new.positive) - self.logit)
        margin = _logit(0.5 + rates.binary_margin)
        return SettledLogit(logit, logit > (-margin if self.second else margin))

    def shown(self) -> float:
        probability = 1 / (1 + math.exp(-self.logit))
        # Within the margin the class that was shown stays, at one half.
        return max(0.5, probability) if self.second else min(_JUST_NOT, probability)

    def contradicts(self, new: BinaryPrediction, rates: SettlingRates) -> bool:
        del rates
        sure = _logit(_SURE_SIDE)
        logit = _logit(new.positive)
        return self.logit * logit < 0 and min(abs(self.logit), abs(logit)) >= sure


@dataclass(frozen=True, slots=True)
class SettledClasses:
    """A categorical task: mean probabilities. They follow large changes at once, because an
    expression is new and not an error."""

    probabilities: tuple[float, ...]

    def toward(
        self, new: CategoricalPrediction, seconds: float, weight: float, rates: SettlingRates
    ) -> "SettledClasses":
        del weight  # the classes of a face show however it is seen
        pairs = list(zip(self.probabilities, new.probabilities, strict=True))
        change = sum(abs(after - before) for before, after in pairs) / 2
        quickness = (change - rates.small_change) / (rates.large_change - rates.small_change)
        faster = (rates.quick_memory - rates.calm_memory) * max(0.0, min(1.0, quickness))
        step = 1 - math.exp(-seconds / (rates.calm_memory + faster))
        return SettledClasses(tuple(before + step * (after - before) for before, after in pairs))

    def shown(self) -> tuple[float, ...]:
        total = sum(self.probabilities)
        return tuple(p / total for p in self.probabilities)

    def contradicts(self, new: CategoricalPrediction, rates: SettlingRates) -> bool:
        del new, rates  # an expression that changes is no error
        return False


Settled = SettledNumber | SettledLogit | SettledClasses


def start(first: Prediction, weight: float) -> Settled:
    """What is known after one prediction."""
    if isinstance(first, RegressionPrediction):
        return SettledNumber(first.value, weight)
    if isinstance(first, BinaryPrediction):
        logit = _logit(first.positive)
        return SettledLogit(logit, logit >= 0)
    return SettledClasses(first.probabilities)


def settle(
    settled: Settled, new: Prediction, seconds: float, weight: float, rates: SettlingRates
) -> Settled:
    """What is known after one more prediction, ``seconds`` after the last."""
    toward: Any = settled.toward  # the kinds are those of one task
    moved: Settled = toward(new, seconds, weight, rates)
    return moved


def contradicts(settled: Settled, new: Prediction, rates: SettlingRates) -> bool:
    """Whether a prediction can hardly be of the face that the settled answer is of."""
    contradicted: Any = settled.contradicts
    return bool(contradicted(new, rates))


def shown(settled: Settled, spec: TaskSpec, calibration: TaskCalibration | None) -> Prediction:
    """The settled answer as a prediction, with what the calibration says of it; temperatures are in
    the predictions already."""
    prediction = decode(spec, settled.shown())
    return prediction if calibration is None else calibration.judge(prediction)


def _logit(probability: float) -> float:
    p = min(_SURE, max(1 - _SURE, probability))
    return math.log(p / (1 - p))
