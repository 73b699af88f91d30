"""What a network says of one face in one task, and how its raw outputs become that."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agegenderemo.tasks.spec import TaskSpec


@dataclass(frozen=True, slots=True)
class RegressionPrediction:
    """A number in the task's unit. From a calibrated network also ``interval``, which holds the
    true value of four in five such faces, and ``error``, their mean absolute error."""

    spec: TaskSpec
    value: float
    interval: tuple[float, float] | None = None
    error: float | None = None

    def __post_init__(self) -> None:
        _check_kind(self.spec, "regression")
        if not math.isfinite(self.value):
            raise ValueError(f"{self.spec.name} must be a finite number, not {self.value}")
        if self.interval and not self.interval[0] <= self.value <= self.interval[1]:
            raise ValueError(
                f"the interval of {self.spec.name} must hold {self.value}: {self.interval}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Its part of a face's record."""
        name = self.spec.name
        return {
            name: round(self.value, 2),
            f"{name}_interval": self.interval and [round(v, 1) for v in self.interval],
            f"{name}_error": None if self.error is None else round(self.error, 1),
        }


@dataclass(frozen=True, slots=True)
class BinaryPrediction:
    """``positive`` is the probability of the second class, [0, 1]; ``confident`` says whether the
    answer is more than a guess, and is None where the network is not calibrated."""

    spec: TaskSpec
    positive: float
    confident: bool | None = None

    def __post_init__(self) -> None:
        _check_kind(self.spec, "binary")
        if not 0 <= self.positive <= 1:
            raise ValueError(f"probabilities must lie in [0, 1], not {self.positive}")

    @property
    def label(self) -> str:
        """The more probable class; the second one at one half."""
        return self.spec.classes[int(self.positive >= 0.5)]

    @property
    def probability(self) -> float:
        """Of `label`, [0.5, 1]."""
        return max(self.positive, 1 - self.positive)

    def to_dict(self) -> dict[str, Any]:
        """Its part of a face's record."""
        name = self.spec.name
        return {
            name: self.label,
            f"{name}_probability": round(self.probability, 4),
            f"{name}_confident": self.confident,
        }


@dataclass(frozen=True, slots=True)
class CategoricalPrediction:
    """``probabilities`` in the order of the task's classes, summing to one; ``confident`` as in
    `BinaryPrediction`."""

    spec: TaskSpec
    probabilities: tuple[float, ...]
    confident: bool | None = None

    def __post_init__(self) -> None:
        _check_kind(self.spec, "categorical")
        check_distribution(self.spec, self.probabilities)

    @property
    def index(self) -> int:
        """Of the most probable class, the earlier one on a tie."""
        return self.probabilities.index(max(self.probabilities))

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.spec.classes[self.index]

    @property
    def probability(self) -> float:
        """Of `label`, [0, 1]."""
        return max(self.probabilities)

    def by_class(self) -> dict[str, float]:
        """Each class in its fixed order with its probability."""
        return dict(zip(self.spec.classes, self.probabilities, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Its part of a face's record."""
        name = self.spec.name
        return {
            name: self.label,
            self.spec.probabilities_key: {k: round(p, 6) for k, p in self.by_class().items()},
            f"{name}_confident": self.confident,
        }


Prediction = RegressionPrediction | BinaryPrediction | CategoricalPrediction
Predictions = Mapping[str, Prediction]
"""What a network says of one face: a prediction by the name of each of its tasks, in their
order."""


def check_distribution(spec: TaskSpec, values: Sequence[float]) -> None:
    """Raises ValueError unless there is a probability for each class and they sum to one."""
    if len(values) != len(spec.classes):
        raise ValueError(
            f"{len(spec.classes)} probabilities are wanted for {spec.name}, not {len(values)}"
        )
    if not all(0 <= v <= 1 for v in values) or abs(sum(values) - 1) > 1e-3:
        raise ValueError(f"probabilities must lie in [0, 1] and sum to one: {tuple(values)}")


def activate(spec: TaskSpec, raw: ArrayLike) -> NDArray[np.float64]:
    """Raw outputs of a head as values in float64, of the same shape: numbers as they are for
    regression (N,), the probability of the second class for binary (N,), probabilities for
    categorical (N, K)."""
    # float64, so that rounded probabilities still sum to one
    values = np.asarray(raw, dtype=np.float64)
    if spec.kind == "binary":
        return _sigmoid(values)
    if spec.kind == "categorical":
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        whole: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
        return whole
    return values


def decode(spec: TaskSpec, value: Any) -> Prediction:
    """The prediction that the activated value of one face stands for: a number, or K of them for a
    categorical task. Raises ValueError where it is not finite."""
    if spec.kind == "regression":
        number = float(value)
        return RegressionPrediction(
            spec, number if spec.minimum is None else max(spec.minimum, number)
        )
    if spec.kind == "binary":
        return BinaryPrediction(spec, float(value))
    return CategoricalPrediction(spec, tuple(float(v) for v in value))


def value_of(prediction: Prediction) -> float | tuple[float, ...]:
    """What `decode` was given: the number, the probability of the second class, or all of them."""
    if isinstance(prediction, RegressionPrediction):
        return prediction.value
    if isinstance(prediction, BinaryPrediction):
        return prediction.positive
    return prediction.probabilities


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    half: NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * x))  # never overflows
    return half


def _check_kind(spec: TaskSpec, kind: str) -> None:
    if spec.kind != kind:
        raise ValueError(f"{spec.name} is a {spec.kind} task, not {kind}")
