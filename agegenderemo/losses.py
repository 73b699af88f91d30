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


def multitask_loss(outputs: Outputs, targets: Targets, weights: LossWeights) -> Terms:
    """Age as distance to its interval in years, gender as binary cross-entropy, emotion as
    KL divergence to the soft label; each the mean over the faces that have the label."""
    miss = interval_distance(outputs.age, targets.age_low, targets.age_high)
    age = masked_mean(miss if weights.age_loss == "l1" else miss**2, targets.age_mask)
    gender = masked_mean(
        F.binary_cross_entropy_with_logits(outputs.gender, targets.gender, reduction="none"),
        targets.gender_mask,
    )
    emotion = outputs.age.new_zeros(())
    if outputs.emotion is not None:
        emotion = masked_mean(divergence(outputs.emotion, targets.emotion), targets.emotion_mask)
    total = weights.age * age + weights.gender * gender + weights.emotion * emotion
    return Terms(total, age, gender, emotion)


def interval_distance(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """How far each value is outside its closed interval; 0 inside."""
    return F.relu(low - value) + F.relu(value - high)


def divergence(logits: Tensor, target: Tensor) -> Tensor:
    """KL(target ‖ softmax(logits)) of each row, N×K to N; zero probabilities are allowed."""
    return F.kl_div(F.log_softmax(logits, dim=1), target, reduction="none").sum(dim=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values whose mask is True, zero (with zero gradient) when there is none."""
    # where, not a product: NaN times zero is NaN.
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)
