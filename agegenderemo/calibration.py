"""What held-out faces say of a network's answers: how sure to be, and within which years.

Plain numbers in and out, so that it holds for any engine. Ages are years, probabilities lie in
[0, 1].
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agegenderemo.labels import AGE_BANDS, age_band
from agegenderemo.records import Attributes

LEVEL = 0.8
"""Share of faces whose true age an interval is meant to hold."""
GENDER_GOAL = 0.97
EMOTION_GOAL = 0.9
"""An answer is "not sure" below the confidence above which this share of answers is right."""

_KNOTS = (0.0, 3.0, 6.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 70.0, 85.0)
_NEIGHBOURS = 200  # faces that speak for one predicted age
_FEWEST = 10  # faces of a band that counts
# Weights of what an interval should be, beside level coverage: right over all, narrow, smooth.
_OVERALL, _NARROW, _SMOOTH = 4.0, 0.0004, 0.003
# A face counts in part within this share of an interval's half width, and years, of either end.
_SOFT_SHARE, _SOFT_YEARS = 0.2, 0.5
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Calibration:
    """Error bars and temperatures from faces that the network was not trained on.

    ``ages`` are predicted ages, rising. ``low`` and ``high`` are the ends of the interval that
    holds the true age of `LEVEL` of such faces, ``error`` their mean absolute error; values between
    are interpolated. A temperature above 1 makes probabilities less sure. Below
    ``gender_threshold`` and ``emotion_threshold`` the top answer is "not sure".
    """

    ages: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    error: tuple[float, ...]
    gender_temperature: float
    emotion_temperature: float
    gender_threshold: float
    emotion_threshold: float

    def __post_init__(self) -> None:
        lengths = {len(v) for v in (self.ages, self.low, self.high, self.error)}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError("ages, low, high and error of a calibration must be equally long")
        if any(a >= b for a, b in zip(self.ages, self.ages[1:], strict=False)):
            raise ValueError(f"the ages of a calibration must rise: {self.ages}")
        if min(self.gender_temperature, self.emotion_temperature) <= 0:
            raise ValueError("temperatures must be positive")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Calibration":
        """What `to_dict` gave; raises KeyError, TypeError or ValueError for anything else."""
        names = [f.name for f in fields(cls)]
        numbers = {
            name: tuple(map(float, v)) if isinstance(v := values[name], list | tuple) else float(v)
            for name in names
        }
        return cls(**numbers)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    def interval(self, age: float) -> tuple[float, float]:
        """The years that hold the true age of `LEVEL` of the faces with this predicted age."""
        low, high = (float(np.interp(age, self.ages, ends)) for ends in (self.low, self.high))
        return max(0.0, min(low, age)), max(high, age)

    def expected_error(self, age: float) -> float:
        """Mean absolute error, in years, of faces with this predicted age."""
        return float(np.interp(age, self.ages, self.error))

    def attributes(self, age: float, male: float, emotions: tuple[float, ...]) -> Attributes:
        """The answer with its error bars; probabilities are after their temperatures."""
        return Attributes(
            age,
            male,
            emotions,
            self.interval(age),
            self.expected_error(age),
            max(male, 1 - male) >= self.gender_threshold,
            max(emotions) >= self.emotion_threshold,
        )

    def male(self, probability: float) -> float:
        """The probability of male after its temperature."""
        return float(_temper_binary(np.array(probability), self.gender_temperature))

    def emotions(self, probabilities: Sequence[float]) -> tuple[float, ...]:
        """Emotion probabilities after their temperature."""
        return tuple(_temper(np.array(probabilities)[None], self.emotion_temperature)[0].tolist())


def fit_calibration(
    predicted_age: ArrayLike,
    true_age: ArrayLike,
    male_probability: ArrayLike,
    is_male: ArrayLike,
    emotions: ArrayLike,
    true_emotion: ArrayLike,
) -> Calibration:
    """Calibrate on held-out faces; the three tasks may come from different ones.

    ``emotions`` is N×K, ``true_emotion`` N indices. Raises ValueError for a task without faces.
    """
    predicted, true = _floats(predicted_age), _floats(true_age)
    male, is_male = _floats(male_probability), _floats(is_male)
    probabilities, labels = _floats(emotions), np.asarray(true_emotion, dtype=np.int64)
    if not (len(predicted) and len(male) and len(labels)):
        raise ValueError("A calibration needs held-out faces with ages, genders and emotions.")

    gender_t = _best_temperature(
        lambda t: _log_loss(np.where(is_male, p := _temper_binary(male, t), 1 - p))
    )
    rows = np.arange(len(labels))
    emotion_t = _best_temperature(lambda t: _log_loss(_temper(probabilities, t)[rows, labels]))
    male = _temper_binary(male, gender_t)
    probabilities = _temper(probabilities, emotion_t)
    low, high, error = _age_bars(predicted, true)
    return Calibration(
        _KNOTS,
        low,
        high,
        error,
        gender_t,
        emotion_t,
        confidence_for(np.maximum(male, 1 - male), (male >= 0.5) == (is_male > 0), GENDER_GOAL),
        confidence_for(
            probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, EMOTION_GOAL
        ),
    )


def confidence_for(confidence: ArrayLike, right: ArrayLike, goal: float) -> float:
    """The lowest confidence such that ``goal`` of the answers at or above it are right.

    1.0 when no confidence does.
    """
    sureness, hits = _floats(confidence), _floats(right)
    order = np.argsort(-sureness, kind="stable")
    accuracy = np.cumsum(hits[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(accuracy >= goal)
    return round(float(sureness[order[enough[-1]]]), 4) if len(enough) else 1.0


def _age_bars(
    predicted: NDArray[np.float64], true: NDArray[np.float64]
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Ends of the interval and mean absolute error at each knot.

    Intervals around a guess hold too few of the people who look younger or older than they are: a
    network draws ages towards the middle. So the reach below and above is chosen to hold `LEVEL`
    of the faces in each band of predicted and also of true age, as nearly as both can be had, and
    then stretched by the one factor of split conformal prediction (Vovk et al. 2005), which gives
    `LEVEL` over all.
    """
    residual = true - predicted
    below, above, error = [], [], []
    for knot in _KNOTS:
        near = residual[np.argsort(np.abs(predicted - knot), kind="stable")[:_NEIGHBOURS]]
        below.append(max(0.5, -float(np.quantile(near, (1 - LEVEL) / 2))))
        above.append(max(0.5, float(np.quantile(near, (1 + LEVEL) / 2))))
        error.append(round(float(np.abs(near).mean()), 2))
    reach = np.exp(_level_reach(np.log([below, above]), predicted, true))
    down, up = (np.interp(predicted, _KNOTS, side) for side in reach)
    scores = np.sort(np.maximum(-residual / down, residual / up))
    rank = min(len(scores), math.ceil(LEVEL * (len(scores) + 1)))
    reach *= scores[rank - 1]
    low = [round(max(0.0, float(k - r)), 2) for k, r in zip(_KNOTS, reach[0], strict=True)]
    high = [round(float(k + r), 2) for k, r in zip(_KNOTS, reach[1], strict=True)]
    return tuple(low), tuple(high), tuple(error)


def _level_reach(
    reach: NDArray[np.float64], predicted: NDArray[np.float64], true: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Logarithms of the reach below and above at each knot, 2×knots, for a level coverage."""
    residual = true - predicted
    groups = []
    for ages in (true, predicted):
        band = np.array([age_band(age) for age in ages])
        groups += [band == index for index in range(len(AGE_BANDS))]
    counted = [g / g.sum() for g in groups if g.sum() >= _FEWEST]
    shares = np.array(counted).reshape(-1, len(true))

    def loss(candidate: NDArray[np.float64]) -> float:
        down, up = (np.exp(np.interp(predicted, _KNOTS, side)) for side in candidate)
        # A face near an end counts in part, or the ends would fit single faces.
        soft = _SOFT_SHARE * (down + up) + 2 * _SOFT_YEARS
        above_low = 0.5 + ((down + residual) / soft).clip(-0.5, 0.5)
        below_high = 0.5 + ((up - residual) / soft).clip(-0.5, 0.5)
        held = above_low * below_high
        return float(
            ((shares @ held - LEVEL) ** 2).sum()
            + _OVERALL * (held.mean() - LEVEL) ** 2
            + _NARROW * (down + up).mean()
            + _SMOOTH * (np.diff(candidate, axis=1) ** 2).sum()
        )

    # Try steps, end by end: few numbers, and the clipped parts have no slope to follow.
    best, step = loss(reach), 0.3
    while step > 0.01:
        before = best
        for side, knot in np.ndindex(*reach.shape):
            for change in (step, -step):
                candidate = reach.copy()
                candidate[side, knot] += change
                if (value := loss(candidate)) < best - 1e-9:
                    reach, best = candidate, value
        if best == before:
            step /= 2
    return reach


def _best_temperature(loss: Callable[[float], float]) -> float:
    """The temperature of the lowest loss, by golden section over its logarithm."""
    low, high = math.log(0.1), math.log(10)
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(math.exp(left)) < loss(math.exp(right)):
            high = right
        else:
            low = left
    return round(math.exp((low + high) / 2), 4)


def _temper_binary(p: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    p = p.clip(_TINY, 1 - _TINY)
    tempered: NDArray[np.float64] = 1 / (1 + ((1 - p) / p) ** (1 / temperature))
    return tempered


def _temper(p: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    logits = np.log(p.clip(min=_TINY)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    tempered: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return tempered


def _log_loss(of_true: NDArray[np.float64]) -> float:
    return float(-np.log(of_true.clip(min=_TINY)).mean())


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
