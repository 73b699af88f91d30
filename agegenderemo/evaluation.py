"""Measures a network on a prepared set: overall and by age band."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from agegenderemo.calibration import Calibration, fit_calibration
from agegenderemo.dataset import PreparedSet, make_targets
from agegenderemo.fairness import group_figures
from agegenderemo.labels import (
    AGE_BANDS,
    EMOTIONS,
    age_band,
    age_band_name,
    argmax_emotion,
    majority_emotion,
)
from agegenderemo.losses import LossWeights, Terms, multitask_loss
from agegenderemo.metrics import Accuracy, CalibrationError, Confusion, MeanError
from agegenderemo.models import Outputs
from agegenderemo.predictor import Predictor
from agegenderemo.records import Attributes, Sample

_BATCH = 128
_TINY = 1e-12  # keeps the logarithm of a rounded probability finite


def loss_of_answers(
    samples: Sequence[Sample], answers: Sequence[Attributes], weights: LossWeights
) -> Terms:
    """The training loss of answers, as validation reports it."""
    male = torch.tensor([a.male_probability for a in answers], dtype=torch.float64)
    emotions = torch.tensor([a.emotions for a in answers], dtype=torch.float64)
    outputs = Outputs(
        torch.tensor([a.age for a in answers], dtype=torch.float64),
        male.logit(_TINY),
        emotions.clamp(min=_TINY).log(),
        emotions,
    )
    return multitask_loss(outputs, make_targets(samples), weights)


@dataclass
class _Tally:
    """Metrics over some of the faces. Two emotion protocols, because FER+ figures use both."""

    count: int = 0
    age: MeanError = field(default_factory=MeanError)
    covered: Accuracy = field(default_factory=Accuracy)
    width: MeanError = field(default_factory=MeanError)
    band: Accuracy = field(default_factory=Accuracy)
    gender: Accuracy = field(default_factory=Accuracy)
    majority: Accuracy = field(default_factory=Accuracy)
    argmax: Accuracy = field(default_factory=Accuracy)
    gender_gap: CalibrationError = field(default_factory=CalibrationError)
    emotion_gap: CalibrationError = field(default_factory=CalibrationError)
    sure_gender: Accuracy = field(default_factory=Accuracy)
    sure_emotion: Accuracy = field(default_factory=Accuracy)

    def update(self, sample: Sample, answer: Attributes) -> None:
        self.count += 1
        if sample.age is not None:
            self.age.update(answer.age - sample.age)
            if answer.age_interval is not None:
                low, high = answer.age_interval
                self.covered.update(low <= sample.age <= high)
                self.width.update(high - low)
        elif sample.age_range is not None:
            low, high = sample.age_range
            # The bands are whole years, so 19.9 still is in 10-19.
            self.band.update(low <= answer.age < high + 1)
        if sample.gender is not None:
            right = (answer.male_probability >= 0.5) == bool(sample.gender)
            self.gender.update(right)
            self.gender_gap.update(max(answer.male_probability, 1 - answer.male_probability), right)
            if answer.gender_sure:
                self.sure_gender.update(right)
        predicted = int(np.argmax(answer.emotions))
        majority, argmax = _true_emotions(sample)
        if argmax is not None:
            self.argmax.update(predicted == argmax)
        if majority is not None:
            self.majority.update(predicted == majority)
            self.emotion_gap.update(max(answer.emotions), predicted == majority)
            if answer.emotion_sure:
                self.sure_emotion.update(predicted == majority)

    def sure(self) -> dict[str, float | None]:
        """Share of answers that are more than a guess, and their accuracy."""
        return {
            f"{name}_{key}": value
            for name, sure, every in (
                ("gender", self.sure_gender, self.gender),
                ("emotion", self.sure_emotion, self.majority),
            )
            for key, value in (
                ("sure_share", sure.count / every.count if every.count else None),
                ("sure_accuracy", sure.compute()),
            )
        }


def _true_emotions(sample: Sample) -> tuple[int | None, int | None]:
    """The label under the majority and the argmax protocol; a soft label's top under both."""
    if sample.votes is not None:
        return majority_emotion(sample.votes), argmax_emotion(sample.votes)
    top = None if sample.emotion is None else int(np.argmax(sample.emotion))
    return top, top


def evaluate(
    predictor: Predictor, prepared: PreparedSet, rows: NDArray[np.int64], progress: bool = True
) -> dict[str, Any]:
    """Run the network over rows of a prepared set and `measure` its answers."""
    answers = answer(predictor, prepared, rows, progress=progress)
    return measure([prepared.samples[row] for row in rows], answers)


def calibrate(predictor: Predictor, sets: Sequence[PreparedSet]) -> Calibration:
    """Error bars and temperatures from the validation split of every set.

    ``predictor`` must not be calibrated. Raises ValueError where a task has no held-out faces.
    """
    if predictor.calibration is not None:
        raise ValueError("calibrate wants the network's own answers, not calibrated ones")
    ages, genders, emotions = [], [], []
    for prepared in sets:
        rows = prepared.rows("val")
        for row, given in zip(rows, answer(predictor, prepared, rows, progress=True), strict=True):
            sample = prepared.samples[row]
            majority = _true_emotions(sample)[0]
            if sample.age is not None:
                ages.append((given.age, sample.age))
            if sample.gender is not None:
                genders.append((given.male_probability, sample.gender))
            if majority is not None:
                emotions.append((given.emotions, majority))
    return fit_calibration(
        *(values for pairs in (ages, genders, emotions) for values in _columns(pairs))
    )


def _columns(pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [first for first, _ in pairs], [second for _, second in pairs]


def answer(
    predictor: Predictor,
    prepared: PreparedSet,
    rows: NDArray[np.int64],
    *,
    mirror: bool = True,
    progress: bool = False,
) -> list[Attributes]:
    """What the network says of rows of a prepared set, in their order."""
    answers = []
    starts = range(0, len(rows), _BATCH)
    for start in tqdm(
        starts, desc=f"{prepared.name}: evaluating", unit="batch", disable=not progress
    ):
        crops = torch.from_numpy(prepared.crops[rows[start : start + _BATCH]])
        answers += predictor.predict(crops, mirror=mirror)
    return answers


def measure(samples: Sequence[Sample], answers: Sequence[Attributes]) -> dict[str, Any]:
    """Figures of answers to samples; one without labels is None.

    ``age_mae`` and ``age_sd`` (of the absolute error) are years, accuracies lie in [0, 1],
    ``age_band_accuracy`` is for sets whose ages are bands. ``confusion`` counts majority labels,
    true emotion by row. Calibration errors and ``sure`` figures are against the majority label.
    ``bands`` go by true age; ``age_coverage_predicted`` is of the faces said to be in that band.
    """
    total, bands, said = _Tally(), [_Tally() for _ in AGE_BANDS], [_Tally() for _ in AGE_BANDS]
    adults = _Tally()  # 21 to 60 years: what published figures often are of
    confusion = Confusion(len(EMOTIONS))
    calibrated = any(given.age_interval is not None for given in answers)
    for sample, given in zip(samples, answers, strict=True):
        total.update(sample, given)
        if sample.age is not None:
            if 21 <= sample.age <= 60:
                adults.update(sample, given)
            bands[age_band(sample.age)].update(sample, given)
            said[age_band(given.age)].update(sample, given)
        true = _true_emotions(sample)[0]
        if true is not None:
            confusion.update(true, int(np.argmax(given.emotions)))
    return {
        "n": total.count,
        "age_mae": total.age.mean(),
        "age_sd": total.age.deviation(),
        "age_band_accuracy": total.band.compute(),
        "gender_accuracy": total.gender.compute(),
        "emotion_accuracy_majority": total.majority.compute(),
        "emotion_n_majority": total.majority.count,
        "emotion_accuracy_argmax": total.argmax.compute(),
        "emotion_n_argmax": total.argmax.count,
        "age_coverage": total.covered.compute(),
        "age_width": total.width.mean(),
        "gender_calibration_error": total.gender_gap.compute(),
        "emotion_calibration_error": total.emotion_gap.compute(),
        **(total.sure() if calibrated else {}),
        "adults": {
            "n": adults.count,
            "age_mae": adults.age.mean(),
            "age_sd": adults.age.deviation(),
            "gender_accuracy": adults.gender.compute(),
        }
        if adults.count
        else None,
        "bands": [
            {
                "band": age_band_name(index),
                "n": tally.count,
                "age_mae": tally.age.mean(),
                "age_sd": tally.age.deviation(),
                "gender_accuracy": tally.gender.compute(),
                "emotion_accuracy": tally.majority.compute(),
                "age_coverage": tally.covered.compute(),
                "age_coverage_predicted": said[index].covered.compute(),
                "n_predicted": said[index].count,
            }
            for index, tally in enumerate(bands)
            if total.age.count
        ],
        "groups": group_figures(samples, answers),
        "confusion": confusion.counts if total.majority.count else None,
    }
