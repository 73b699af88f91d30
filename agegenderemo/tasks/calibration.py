"""What held-out faces say of a network's answers: error bars, temperatures, and how sure to be.

These hold the numbers and apply them; `agegenderemo.evaluation.calibrate` fits them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agegenderemo.tasks.predictions import (
    BinaryPrediction,
    CategoricalPrediction,
    Prediction,
    RegressionPrediction,
    decode,
)
from agegenderemo.tasks.spec import TaskSpec

TINY = 1e-12


@dataclass(frozen=True, slots=True)
class RegressionCalibration:
    """``values`` are predicted values, rising. ``low`` and ``high`` are the ends of the interval
    that holds the true value of four in five such faces, ``error`` their mean absolute error; in
    between they are interpolated."""

    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    error: tuple[float, ...]

    def __post_init__(self) -> None:
        columns = (self.values, self.low, self.high, self.error)
        if len({len(column) for column in columns}) != 1 or not self.values:
            raise ValueError("the columns of a calibration must be equally long, and not empty")
        if not all(math.isfinite(v) for column in columns for v in column):
            raise ValueError("a calibration must hold finite numbers")
        if any(a >= b for a, b in zip(self.values, self.values[1:], strict=False)):
            raise ValueError(f"the values of a calibration must rise: {self.values}")

    def temper(self, value: Any) -> Any:
        """The value itself: numbers have no temperature."""
        return value

    def judge(self, prediction: Prediction) -> Prediction:
        """The prediction with its interval and expected error."""
        assert isinstance(prediction, RegressionPrediction)
        value = prediction.value
        low, high = (float(np.interp(value, self.values, ends)) for ends in (self.low, self.high))
        if prediction.spec.minimum is not None:
            low = max(prediction.spec.minimum, low)
        error = float(np.interp(value, self.values, self.error))
        return replace(prediction, interval=(min(low, value), max(high, value)), error=error)


@dataclass(frozen=True, slots=True)
class ClassCalibration:
    """A ``temperature`` above 1 makes probabilities less sure. Below the ``threshold`` the top
    answer is not confident."""

    temperature: float
    threshold: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"a temperature must be positive, not {self.temperature}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"a threshold must lie in [0, 1], not {self.threshold}")

    def temper(self, value: Any) -> Any:
        """The probability of the second class, or the probabilities, after the temperature."""
        p = np.asarray(value, dtype=np.float64)
        if p.ndim == 0:
            return float(temper_binary(p, self.temperature))
        return tuple(temper(p[None], self.temperature)[0].tolist())

    def judge(self, prediction: Prediction) -> Prediction:
        """The prediction, with whether it is confident."""
        assert isinstance(prediction, BinaryPrediction | CategoricalPrediction)
        return replace(prediction, confident=prediction.probability >= self.threshold)


TaskCalibration = RegressionCalibration | ClassCalibration
Calibration = Mapping[str, TaskCalibration]
"""By the name of the task; one that is not calibrated is absent."""


def predict(spec: TaskSpec, value: Any, calibration: TaskCalibration | None) -> Prediction:
    """The calibrated prediction of an activated value that no temperature has touched yet."""
    if calibration is None:
        return decode(spec, value)
    return calibration.judge(decode(spec, calibration.temper(value)))


def calibration_from_dict(
    values: Mapping[str, Any] | None, specs: Sequence[TaskSpec]
) -> dict[str, TaskCalibration]:
    """What `calibration_to_dict` gave, or what checkpoints of version 0.1 hold.

    Raises KeyError, TypeError or ValueError for anything else.
    """
    if not values:
        return {}
    names = {spec.name for spec in specs}
    if "gender_temperature" in values:
        values = {name: own for name, own in _from_version_1(values).items() if name in names}
    if set(values) - names:
        raise ValueError(f"a calibration of tasks that the network lacks: {set(values) - names}")
    found: dict[str, TaskCalibration] = {}
    for spec in specs:
        own = values.get(spec.name)
        if own is None:
            continue
        if spec.kind == "regression":
            columns = (tuple(map(float, own[key])) for key in ("values", "low", "high", "error"))
            found[spec.name] = RegressionCalibration(*columns)
        else:
            found[spec.name] = ClassCalibration(float(own["temperature"]), float(own["threshold"]))
    return found


def calibration_to_dict(calibration: Calibration) -> dict[str, Any]:
    """Plain JSON types by the name of the task."""
    return {
        name: {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(own).items()}
        for name, own in calibration.items()
    }


def _from_version_1(old: Mapping[str, Any]) -> dict[str, Any]:
    # 0.1 knew three tasks and wrote all their numbers into one table.
    return {
        "age": {
            "values": old["ages"],
            "low": old["low"],
            "high": old["high"],
            "error": old["error"],
        },
        **{
            name: {
                "temperature": old[f"{name}_temperature"],
                "threshold": old[f"{name}_threshold"],
            }
            for name in ("gender", "emotion")
        },
    }


def temper_binary(p: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Probabilities of the second class, of any shape, after a temperature."""
    p = p.clip(TINY, 1 - TINY)
    tempered: NDArray[np.float64] = 1 / (1 + ((1 - p) / p) ** (1 / temperature))
    return tempered


def temper(p: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Rows of probabilities, N×K, after a temperature."""
    logits = np.log(p.clip(min=TINY)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    tempered: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return tempered
