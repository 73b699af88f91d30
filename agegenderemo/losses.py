"""The masked multi-task loss: a task without labels in a batch adds exactly zero."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from agegenderemo.dataset import Targets
from agegenderemo.models import Outputs


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weight of each term. Age errors are years, so they are large beside the other two."""

    age: float = 1.0
    gender: float = 10.0
    emotion: float = 5.0
    age_loss: Literal["l1", "mse"] = "l1"


class Terms(NamedTuple):
    """Unweighted means over the labelled faces of a batch, and the weighted total."""

    total: Tensor
    age: Tensor
    gender: Tensor
    emotion: Tensor


class Counts(NamedTuple):
    """How many faces of a batch have each label: what the sums of the loss are divided by."""

    age: Tensor
    gender: Tensor
    emotion: Tensor

    @classmethod
    def of(cls, targets: Targets, processes: int = 1) -> "Counts":
        """Of a whole batch, over the processes that share it: the mean of their losses, each with
        these counts, is the loss of the batch, however unevenly its labels fell."""
        masks = (targets.age_mask, targets.gender_mask, targets.emotion_mask)
        return cls(*(mask.sum() / processes for mask in masks))


def multitask_loss(
    outputs: Outputs, targets: Targets, weights: LossWeights, counts: Counts | None = None
) -> Terms:
    """Age as distance to its interval in years, gender as binary cross-entropy, emotion as
    KL divergence to the soft label; each the mean over the faces that have the label.

    ``counts`` are given where ``targets`` are a part of a larger batch.
    """
    counts = counts or Counts.of(targets)
    miss = interval_distance(outputs.age, targets.age_low, targets.age_high)
    age = masked_mean(miss if weights.age_loss == "l1" else miss**2, targets.age_mask, counts.age)
    gender = masked_mean(
        F.binary_cross_entropy_with_logits(outputs.gender, targets.gender, reduction="none"),
        targets.gender_mask,
        counts.gender,
    )
    emotion = outputs.age.new_zeros(())
    if outputs.emotion is not None:
        kl = divergence(outputs.emotion, targets.emotion)
        emotion = masked_mean(kl, targets.emotion_mask, counts.emotion)
    total = weights.age * age + weights.gender * gender + weights.emotion * emotion
    return Terms(total, age, gender, emotion)


def interval_distance(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """How far each value is outside its closed interval; 0 inside."""
    return F.relu(low - value) + F.relu(value - high)


def divergence(logits: Tensor, target: Tensor) -> Tensor:
    """KL(target ‖ softmax(logits)) of each row, N×K to N; zero probabilities are allowed."""
    return F.kl_div(F.log_softmax(logits, dim=1), target, reduction="none").sum(dim=1)


def masked_mean(values: Tensor, mask: Tensor, count: Tensor) -> Tensor:
    """Sum of the values whose mask is True over ``count``; zero (with zero gradient) for none."""
    # where, not a product: NaN times zero is NaN.
    return torch.where(mask, values, 0.0).sum() / torch.where(count > 0, count, 1)
