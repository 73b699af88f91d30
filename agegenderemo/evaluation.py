"""Measures a network on a prepared set: overall and by age band."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from agegenderemo.dataset import PreparedSet, make_targets
from agegenderemo.labels import (
    AGE_BANDS,
    EMOTIONS,
    age_band,
    age_band_name,
    argmax_emotion,
    majority_emotion,
)
from agegenderemo.losses import LossWeights, Terms, multitask_loss
from agegenderemo.metrics import Accuracy, Confusion, MeanError
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
    band: Accuracy = field(default_factory=Accuracy)
    gender: Accuracy = field(default_factory=Accuracy)
    majority: Accuracy = field(default_factory=Accuracy)
    argmax: Accuracy = field(default_factory=Accuracy)

    def update(self, sample: Sample, answer: Attributes) -> None:
        self.count += 1
        if sample.age is not None:
            self.age.update(answer.age - sample.age)
        elif sample.age_range is not None:
            low, high = sample.age_range
            # The bands are whole years, so 19.9 still is in 10-19.
            self.band.update(low <= answer.age < high + 1)
        if sample.gender is not None:
            self.gender.update((answer.male_probability >= 0.5) == bool(sample.gender))
        predicted = int(np.argmax(answer.emotions))
        for true, accuracy in zip(
            _true_emotions(sample), (self.majority, self.argmax), strict=True
        ):
            if true is not None:
                accuracy.update(predicted == true)


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
    true emotion by row.
    """
    total, bands = _Tally(), [_Tally() for _ in AGE_BANDS]
    confusion = Confusion(len(EMOTIONS))
    for sample, given in zip(samples, answers, strict=True):
        total.update(sample, given)
        if sample.age is not None:
            bands[age_band(sample.age)].update(sample, given)
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
        "bands": [
            {
                "band": age_band_name(index),
                "n": tally.count,
                "age_mae": tally.age.mean(),
                "age_sd": tally.age.deviation(),
                "gender_accuracy": tally.gender.compute(),
                "emotion_accuracy": tally.majority.compute(),
            }
            for index, tally in enumerate(bands)
            if total.age.count
        ],
        "confusion": confusion.counts if total.majority.count else None,
    }
