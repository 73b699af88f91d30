"""Running figures of one task over some of the faces, in the shape that `Report` holds."""

from collections import Counter
from typing import Any

from agegenderemo.evaluation.metrics import Accuracy, CalibrationError, Confusion, MeanError
from agegenderemo.evaluation.truth import YEARS, Classes, Number, Truth
from agegenderemo.tasks import (
    BinaryPrediction,
    CategoricalPrediction,
    Prediction,
    Predictions,
    RegressionPrediction,
    TaskSpec,
)


class RegressionTally:
    """Errors of a regression, and how its intervals hold."""

    def __init__(self, spec: TaskSpec) -> None:
        self._spec = spec
        self._error = MeanError()
        self.covered = Accuracy()
        self._width = MeanError()
        self._band = Accuracy()

    def update(self, truth: Number | Classes, prediction: Prediction) -> None:
        """Add one face."""
        assert isinstance(truth, Number)
        assert isinstance(prediction, RegressionPrediction)
        if truth.value is None:
            low, high = truth.interval
            # Bands of years are whole ones, so 19.9 still is in 10-19.
            end = high + 1 if self._spec.unit == YEARS else high
            self._band.update(low <= prediction.value < end)
            return
        self._error.update(prediction.value - truth.value)
        if prediction.interval is not None:
            low, high = prediction.interval
            self.covered.update(low <= truth.value <= high)
            self._width.update(high - low)

    def headline(self) -> dict[str, Any]:
        """The figures that a slice of the faces has too."""
        return {
            "mae": self._error.mean(),
            "sd": self._error.deviation(),
            "band_accuracy": self._band.compute(),
            "coverage": self.covered.compute(),
            "intervals": {
                "mae": self._error.interval(),
                "band_accuracy": self._band.interval(),
                "coverage": self.covered.interval(),
            },
        }

    def figures(self) -> dict[str, Any]:
        """All of them; what nothing is known of is None."""
        unit = self._spec.unit or None
        return {
            "kind": self._spec.kind,
            "unit": unit,
            **self.headline(),
            "width": self._width.mean(),
        }


class ClassTally:
    """Accuracy of a binary or categorical task; calibration is against the majority label.

    A true class that the network does not know is not counted, only how many faces are left out
    for it: a network of fewer classes is measured on the faces of those.
    """

    def __init__(self, spec: TaskSpec) -> None:
        self._spec = spec
        self._majority = Accuracy()
        self._argmax = Accuracy()
        self._gap = CalibrationError()
        self._confident = Accuracy()
        self._judged = 0
        self._left_out: Counter[str] = Counter()
        self._confusion = Confusion(len(spec.classes))

    def update(self, truth: Number | Classes, prediction: Prediction) -> None:
        """Add one face."""
        assert isinstance(truth, Classes)
        assert isinstance(prediction, BinaryPrediction | CategoricalPrediction)
        classes = self._spec.classes
        if truth.argmax in classes:
            self._argmax.update(prediction.label == truth.argmax)
        if truth.majority is None:
            return
        if truth.majority not in classes:
            self._left_out[truth.majority] += 1
            return
        right = prediction.label == truth.majority
        self._majority.update(right)
        self._gap.update(prediction.probability, right)
        self._confusion.update(classes.index(truth.majority), classes.index(prediction.label))
        self._judged += prediction.confident is not None
        if prediction.confident:
            self._confident.update(right)

    def headline(self) -> dict[str, Any]:
        """The figure that a slice of the faces has too."""
        return {
            "accuracy": self._majority.compute(),
            "intervals": {"accuracy": self._majority.interval()},
        }

    def _protocols(self) -> dict[str, Any]:
        if self._spec.kind == "binary":
            return {"n": self._majority.count, "accuracy": self._majority.compute()}
        return {
            "accuracy_majority": self._majority.compute(),
            "n_majority": self._majority.count,
            "accuracy_argmax": self._argmax.compute(),
            "n_argmax": self._argmax.count,
        }

    def _intervals(self) -> dict[str, Any]:
        majority = self._majority.interval()
        own = (
            {"accuracy": majority}
            if self._spec.kind == "binary"
            else {"accuracy_majority": majority, "accuracy_argmax": self._argmax.interval()}
        )
        return own | {"selective_accuracy": self._confident.interval() if self._judged else None}

    def figures(self) -> dict[str, Any]:
        """All of them; what nothing is known of is None."""
        judged, every = self._judged, self._majority.count
        shown = self._spec.kind == "categorical" and every
        return {
            "kind": self._spec.kind,
            "classes": list(self._spec.classes),
            **self._protocols(),
            "left_out": dict(sorted(self._left_out.items())) or None,
            "calibration_error": self._gap.compute(),
            "confident_share": self._confident.count / judged if judged else None,
            "selective_accuracy": self._confident.compute() if judged else None,
            "confusion": self._confusion.counts if shown else None,
            "intervals": self._intervals(),
        }


class Tally:
    """The tallies of every task of a network over some of the faces."""

    def __init__(self, specs: tuple[TaskSpec, ...]) -> None:
        self.count = 0
        self.labelled: set[str] = set()
        """Tasks that a face had a label for."""
        self.tasks: dict[str, RegressionTally | ClassTally] = {
            spec.name: (RegressionTally if spec.kind == "regression" else ClassTally)(spec)
            for spec in specs
        }

    def update(self, truth: Truth, predictions: Predictions) -> None:
        """Add one face."""
        self.count += 1
        for name, tally in self.tasks.items():
            if name in truth:
                self.labelled.add(name)
                tally.update(truth[name], predictions[name])

    def figures(self) -> dict[str, Any]:
        """All figures by task, of those that a face had a label for."""
        return {n: t.figures() for n, t in self.tasks.items() if n in self.labelled}

    def headlines(self) -> dict[str, Any]:
        """The figures of a slice by task, of those that a face had a label for."""
        return {n: t.headline() for n, t in self.tasks.items() if n in self.labelled}
