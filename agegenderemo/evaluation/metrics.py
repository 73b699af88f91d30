"""Running metrics: ``update`` with a face, ``compute`` at the end. Nothing labelled gives None."""

import math
from array import array

import numpy as np

from agegenderemo.evaluation.bootstrap import interval


class MeanError:
    """Mean and population standard deviation of absolute errors."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0.0
        self._squares = 0.0
        self._errors = array("d")

    def update(self, error: float) -> None:
        """Add one error; its sign does not matter."""
        self.count += 1
        self._errors.append(abs(error))
        self._sum += abs(error)
        self._squares += error * error

    def mean(self) -> float | None:
        """Mean absolute error."""
        return self._sum / self.count if self.count else None

    def interval(self) -> list[float] | None:
        """Ends of the 95 % interval of the mean."""
        return interval(self._errors)

    def deviation(self) -> float | None:
        """Standard deviation of the absolute errors around their mean."""
        if not self.count:
            return None
        mean = self._sum / self.count
        return math.sqrt(max(0.0, self._squares / self.count - mean * mean))


class Accuracy:
    """Share of right answers, [0, 1]."""

    def __init__(self) -> None:
        self.count = 0
        self._right = 0
        self._answers = bytearray()

    def update(self, right: bool) -> None:
        """Add one answer."""
        self.count += 1
        self._right += right
        self._answers.append(right)

    def compute(self) -> float | None:
        """Accuracy over what was added."""
        return self._right / self.count if self.count else None

    def interval(self) -> list[float] | None:
        """Ends of its 95 % interval."""
        return interval(np.frombuffer(self._answers, dtype=np.uint8))


class Confusion:
    """Counts of (true class, predicted class)."""

    def __init__(self, classes: int) -> None:
        self.counts = [[0] * classes for _ in range(classes)]

    def update(self, true: int, predicted: int) -> None:
        """Add one answer."""
        self.counts[true][predicted] += 1


class CalibrationError:
    """Expected calibration error: how far confidence is from accuracy, over equal bins of
    confidence weighted by their answers (Guo et al. 2017), [0, 1]."""

    def __init__(self, bins: int = 15) -> None:
        self.count = 0
        self._gaps = [0.0] * bins

    def update(self, confidence: float, right: bool) -> None:
        """Add one answer with its confidence, [0, 1]."""
        bins = len(self._gaps)
        self.count += 1
        self._gaps[min(bins - 1, max(0, math.ceil(confidence * bins) - 1))] += right - confidence

    def compute(self) -> float | None:
        """The error over what was added."""
        return sum(map(abs, self._gaps)) / self.count if self.count else None
