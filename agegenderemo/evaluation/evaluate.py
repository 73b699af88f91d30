"""Measures a network on a prepared set: overall, by band of true age, and by group."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.samples import Sample
from agegenderemo.evaluation.groups import group_figures
from agegenderemo.evaluation.predict import Answers, Predicts
from agegenderemo.evaluation.tallies import RegressionTally, Tally
from agegenderemo.evaluation.truth import Number, Truth, banded_task, check_kinds, truth_of
from agegenderemo.tasks import (
    AGE_BANDS,
    Prediction,
    RegressionPrediction,
    TaskSpec,
    age_band,
    age_band_name,
)

_BATCH = 128
_INTERVALS = "intervals"
_ADULTS = (21, 60)  # years: what published figures often are of


class Measurement:
    """Figures of what a network with the tasks ``specs`` says of faces, of one set or several."""

    def __init__(self, specs: Sequence[TaskSpec]) -> None:
        self._specs = tuple(specs)
        self._set_tasks: dict[str, TaskSpec] = {}
        self._truths: list[Truth] = []
        self._races: list[str | None] = []
        self._predictions: list[Mapping[str, Prediction]] = []

    def add(
        self,
        samples: Sequence[Sample],
        set_tasks: Sequence[TaskSpec],
        predictions: Sequence[Mapping[str, Prediction]],
    ) -> None:
        """Add faces of a set that is labelled for ``set_tasks``.

        Raises TaskError where the set and the network mean different things by a name.
        """
        check_kinds(set_tasks, self._specs)
        for spec in set_tasks:
            self._set_tasks.setdefault(spec.name, spec)
        for sample, given in zip(samples, predictions, strict=True):
            self._truths.append(truth_of(sample, set_tasks))
            self._races.append(sample.race)
            self._predictions.append(given)

    def figures(self) -> dict[str, Any]:
        """What `agegenderemo.report.Report` holds, less ``data`` and ``split``."""
        total = Tally(self._specs)
        for truth, given in zip(self._truths, self._predictions, strict=True):
            total.update(truth, given)
        set_tasks = tuple(self._set_tasks.values())
        by = banded_task((*self._specs, *set_tasks))
        figures = {
            "n": total.count,
            "tasks": total.figures(),
            **({} if by is None else self._slices(by)),
            **group_figures(self._races, self._truths, self._predictions, self._specs, set_tasks),
        }
        return dict(_without_none(figures))

    def _slices(self, by: str) -> dict[str, Any]:
        """The adults, and every band, by true age."""
        adults = Tally(self._specs)
        bands, said = ([Tally(self._specs) for _ in AGE_BANDS] for _ in range(2))
        for truth, given in zip(self._truths, self._predictions, strict=True):
            known = truth.get(by)
            if not isinstance(known, Number) or known.value is None:
                continue
            if _ADULTS[0] <= known.value <= _ADULTS[1]:
                adults.update(truth, given)
            bands[age_band(known.value)].update(truth, given)
            prediction = given.get(by)
            if isinstance(prediction, RegressionPrediction):
                said[age_band(prediction.value)].update(truth, given)
        if not any(band.count for band in bands):
            return {}
        whole = {"by": by, "n": adults.count, "tasks": adults.headlines()}
        return {
            "adults": whole if adults.count else None,
            "bands": [
                {
                    "by": by,
                    "band": age_band_name(index),
                    "n": band.count,
                    "n_predicted": said[index].count,
                    "tasks": _with_said(band.headlines(), by, said[index]),
                }
                for index, band in enumerate(bands)
            ],
        }


def _with_said(tasks: dict[str, Any], by: str, said: Tally) -> dict[str, Any]:
    """Figures of the faces of a band, and how often the interval holds for those said to be in
    it."""
    tally = said.tasks.get(by)
    if isinstance(tally, RegressionTally):
        tasks.setdefault(by, {})["coverage_predicted"] = tally.covered.compute()
    return tasks


def measure(
    samples: Sequence[Sample],
    set_tasks: Sequence[TaskSpec],
    predictions: Sequence[Mapping[str, Prediction]],
    specs: Sequence[TaskSpec],
) -> dict[str, Any]:
    """Figures of predictions for samples of a set that is labelled for ``set_tasks``; ``specs`` are
    the tasks of the network.

    Tasks are measured that both have, classes are matched by name. Bands go by true age;
    ``coverage_predicted`` is of the faces said to be in that band.
    """
    measurement = Measurement(specs)
    measurement.add(samples, set_tasks, predictions)
    return measurement.figures()


def evaluate(
    predictor: Predicts, prepared: PreparedSet, rows: NDArray[np.int64], progress: bool = True
) -> dict[str, Any]:
    """Run the network over rows of a prepared set and `measure` its answers."""
    answers = answer(predictor, prepared, rows, progress=progress)
    samples = [prepared.samples[row] for row in rows]
    return measure(samples, prepared.tasks, answers, predictor.tasks)


def answer(
    predictor: Answers,
    prepared: PreparedSet,
    rows: NDArray[np.int64],
    *,
    mirror: bool = True,
    progress: bool = False,
) -> list[Mapping[str, Prediction]]:
    """What the network says of rows of a prepared set, in their order."""
    answers: list[Mapping[str, Prediction]] = []
    starts = range(0, len(rows), _BATCH)
    for start in tqdm(
        starts, desc=f"{prepared.name}: evaluating", unit="batch", disable=not progress
    ):
        answers += predictor.predict(prepared.crops[rows[start : start + _BATCH]], mirror=mirror)
    return answers


def _without_none(value: Any) -> Any:
    """Figures of labels that the set does not have are left out."""
    if isinstance(value, dict):
        kept = {k: _without_none(v) for k, v in value.items() if v is not None}
        return {k: v for k, v in kept.items() if k != _INTERVALS or v}
    return [_without_none(v) for v in value] if isinstance(value, list) else value
