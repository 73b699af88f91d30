"""The masked multi-task loss: a task without labels in a batch adds exactly zero."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from agegenderemo.data.targets import (
    BinaryTarget,
    CategoricalTarget,
    RegressionTarget,
    Target,
    Targets,
)
from agegenderemo.training.config import RegressionLoss


@dataclass(frozen=True, slots=True)
class LossSettings:
    """``weights`` of each task, 1 for one that is not there, and whether the error of a regression
    counts as it is (``l1``, unless ``regression`` says otherwise) or squared."""

    weights: Mapping[str, float] = field(default_factory=dict)
    regression: Mapping[str, RegressionLoss] = field(default_factory=dict)


class Losses(NamedTuple):
    """The weighted total, and the unweighted mean of each task over its labelled faces, by name."""

    total: Tensor
    tasks: dict[str, Tensor]


def label_counts(targets: Targets, processes: int = 1) -> dict[str, Tensor]:
    """How many faces of a whole batch have each label: what the sums of the losses are divided by.

    Over the ``processes`` that share the batch: the mean of their losses, each with these counts,
    is the loss of the batch, however unevenly its labels fell.
    """
    return {name: target.mask.sum() / processes for name, target in targets.items()}


def multitask_loss(
    predictions: Mapping[str, Tensor],
    targets: Targets,
    settings: LossSettings,
    counts: Mapping[str, Tensor] | None = None,
) -> Losses:
    """Of raw outputs, by the name of the task: a regression by its distance to the interval of the
    label, a binary task by cross-entropy, a categorical one by the KL divergence to the soft label;
    each the mean over the faces that have the label.

    ``counts`` are given where ``targets`` are a part of a larger batch.
    """
    counts = counts or label_counts(targets)
    tasks = {}
    for name, target in targets.items():
        squared = settings.regression.get(name) == "mse"
        if squared and isinstance(target, RegressionTarget):
            own = error(predictions[name], *_zeroed(target)[:2]) ** 2
        else:
            own = errors(predictions[name], _zeroed(target))
        tasks[name] = masked_mean(own, target.mask, counts[name])
    return Losses(weighted_sum(tasks, settings.weights), tasks)


def _zeroed(target: Target) -> Target:
    """Zeros where there is no label: whatever stood there would reach the gradient, were it NaN."""
    mask = target.mask
    if isinstance(target, RegressionTarget):
        low, high, deviation = (
            torch.where(mask, own, 0.0) for own in (target.low, target.high, target.deviation)
        )
        return RegressionTarget(low, high, mask, deviation)
    if isinstance(target, BinaryTarget):
        return BinaryTarget(torch.where(mask, target.value, 0.0), mask)
    return CategoricalTarget(torch.where(mask[:, None], target.probabilities, 0.0), mask)


def weighted_sum(values: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The sum of numbers by task, each by its weight, 1 for one that is not there."""
    return reduce(torch.add, (weights.get(name, 1.0) * own for name, own in values.items()))


def errors(raw: Tensor, target: Target) -> Tensor:
    """(N,) how far each raw output is from its target, where the mask says that there is one."""
    if isinstance(target, RegressionTarget):
        return guess_error(error(raw, target.low, target.high), target.deviation)
    if isinstance(target, BinaryTarget):
        return F.binary_cross_entropy_with_logits(raw, target.value, reduction="none")
    return kl_divergence(raw, target.probabilities)


def error(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """How far each value is outside its closed interval; 0 inside."""
    return F.relu(low - value) + F.relu(value - high)


def guess_error(distance: Tensor, deviation: Tensor) -> Tensor:
    """What a distance from the mean of normally spread guesses costs: the mean absolute error
    against a guess, less what the mean itself has. Where the deviation is 0, the distance.
    """
    spread = torch.where(deviation > 0, deviation, 1.0)
    ratio = distance / spread
    least = spread * math.sqrt(2 / math.pi)
    cost = least * torch.expm1(-(ratio**2) / 2) + distance * torch.erf(ratio / math.sqrt(2))
    return torch.where(deviation > 0, cost, distance)


def kl_divergence(logits: Tensor, target: Tensor) -> Tensor:
    """KL(target ‖ softmax(logits)) of each row, N×K to N; zero probabilities are allowed."""
    return F.kl_div(F.log_softmax(logits, dim=1), target, reduction="none").sum(dim=1)


def masked_mean(values: Tensor, mask: Tensor, count: Tensor) -> Tensor:
    """Sum of the values whose mask is True over ``count``; zero (with zero gradient) for none."""
    # where, not a product: NaN times zero is NaN.
    return torch.where(mask, values, 0.0).sum() / torch.where(count > 0, count, 1)
