"""Fits what `agegenderemo.tasks` applies: error bars, temperatures, and how sure to be, from faces
that a network was not trained on. Plain numbers in, so that it holds for any engine."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.errors import DatasetError
from agegenderemo.evaluation.evaluate import answer
from agegenderemo.evaluation.intervals import fit_regression
from agegenderemo.evaluation.predict import Predicts
from agegenderemo.evaluation.truth import Classes, Number, Truth, check_kinds, truth_of
from agegenderemo.tasks import (
    ClassCalibration,
    Prediction,
    TaskCalibration,
    TaskSpec,
    value_of,
)
from agegenderemo.tasks.calibration import TINY, temper, temper_binary

FEWEST_FACES = 50
"""Held-out faces below which a task is left uncalibrated."""

BINARY_GOAL, CATEGORICAL_GOAL = 0.97, 0.9
"""An answer is not confident below the confidence above which this share of answers is right."""


def calibrate(
    predictor: Predicts, sets: Sequence[PreparedSet], progress: bool = True
) -> dict[str, TaskCalibration]:
    """The calibration of each task from the validation split of every set that has labels for it.

    A task with fewer than `FEWEST_FACES` such faces is absent. ``predictor`` must not be calibrated
    itself. Raises DatasetError when no task can be calibrated.
    """
    if getattr(predictor, "calibration", None):
        raise ValueError("calibrate wants the network's own answers, not calibrated ones")
    faces: list[tuple[Truth, Mapping[str, Prediction]]] = []
    for prepared in sets:
        check_kinds(prepared.tasks, predictor.tasks)
        rows = prepared.rows("val")
        answers = answer(predictor, prepared, rows, progress=progress)
        truths = (truth_of(prepared.samples[row], prepared.tasks) for row in rows)
        faces += zip(truths, answers, strict=True)
    fitted = {spec.name: fit_task(spec, faces) for spec in predictor.tasks}
    known = {
        spec.name: sum(_label(spec, truth.get(spec.name)) is not None for truth, _ in faces)
        for spec in predictor.tasks
    }
    found = {name: own for name, own in fitted.items() if own is not None}
    if not found:
        raise DatasetError(
            f"A calibration needs {FEWEST_FACES} validation faces with labels for a task; there "
            f"are {', '.join(f'{count} for {name}' for name, count in known.items())}. Prepare "
            "larger sets, or give more of their faces to validation."
        )
    return found


def fit_task(
    spec: TaskSpec, faces: Sequence[tuple[Truth, Mapping[str, Prediction]]]
) -> TaskCalibration | None:
    """The calibration of one task on faces with what is known of them and what was predicted; None
    where too few are labelled for it."""
    values, labels = [], []
    for truth, given in faces:
        label = _label(spec, truth.get(spec.name))
        if label is not None:
            values.append(value_of(given[spec.name]))
            labels.append(label)
    if len(labels) < FEWEST_FACES:
        return None
    if spec.kind == "regression":
        return fit_regression(spec, values, labels)
    fit = fit_binary if spec.kind == "binary" else fit_categorical
    return fit(values, labels)


def _label(spec: TaskSpec, truth: Number | Classes | None) -> float | None:
    """The true number, or the index of the true class in the network's own order."""
    if isinstance(truth, Number):
        return truth.value
    if truth is None or truth.majority not in spec.classes:
        return None
    return spec.classes.index(truth.majority)


def fit_binary(positive: ArrayLike, is_second: ArrayLike) -> ClassCalibration:
    """Temperature and threshold from N probabilities of the second class, and N labels 0 or 1."""
    p, second = _floats(positive), _floats(is_second) > 0
    temperature = _best_temperature(
        lambda t: _log_loss(np.where(second, q := temper_binary(p, t), 1 - q))
    )
    p = temper_binary(p, temperature)
    right = (p >= 0.5) == second
    return ClassCalibration(temperature, confidence_for(np.maximum(p, 1 - p), right, BINARY_GOAL))


def fit_categorical(probabilities: ArrayLike, labels: ArrayLike) -> ClassCalibration:
    """Temperature and threshold from N×K probabilities, and N indices of the true class."""
    p, true = _floats(probabilities), np.asarray(labels, dtype=np.int64)
    rows = np.arange(len(true))
    temperature = _best_temperature(lambda t: _log_loss(temper(p, t)[rows, true]))
    p = temper(p, temperature)
    return ClassCalibration(
        temperature, confidence_for(p.max(axis=1), p.argmax(axis=1) == true, CATEGORICAL_GOAL)
    )


def confidence_for(confidence: ArrayLike, right: ArrayLike, goal: float) -> float:
    """The lowest confidence such that ``goal`` of the answers at or above it are right.

    1.0 when no confidence does.

    >>> confidence_for([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 0.75)
    0.6
    """
    confidences, hits = _floats(confidence), _floats(right)
    order = np.argsort(-confidences, kind="stable")
    accuracy = np.cumsum(hits[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(accuracy >= goal)
    return round(float(confidences[order[enough[-1]]]), 4) if len(enough) else 1.0


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


def _log_loss(of_true: NDArray[np.float64]) -> float:
    return float(-np.log(of_true.clip(min=TINY)).mean())


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
