"""Training figures of an epoch, summed on the device as the batches pass."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from agegenderemo.data.targets import BinaryTarget, CategoricalTarget, Target, Targets
from agegenderemo.tasks import Kind, TaskSpec
from agegenderemo.training.distributed import DistributedContext

_MEASURED: dict[Kind, str] = {
    "regression": "mae",
    "binary": "accuracy",
    "categorical": "accuracy",
}

_ALONE = DistributedContext()


class Scores:
    """Loss, and mean absolute error or accuracy, of each task; of augmented faces, with weights as
    they change. The sums stay on the device: reading one at every step would make a GPU wait."""

    def __init__(self, specs: Sequence[TaskSpec], device: torch.device) -> None:
        self._specs = tuple(specs)
        self._sums = torch.zeros(2, len(self._specs), dtype=torch.float64, device=device)
        self._losses = torch.zeros_like(self._sums)
        self._distillation = torch.zeros(2, dtype=torch.float64, device=device)

    @torch.no_grad()
    def update(
        self,
        predictions: Mapping[str, Tensor],
        targets: Targets,
        losses: Mapping[str, Tensor],
        counts: Mapping[str, Tensor],
    ) -> None:
        """Add a batch of raw outputs; a face counts for the labels that it has.

        ``losses`` are means of the batch by task over as many faces as ``counts`` say.
        """
        for column, spec in enumerate(self._specs):
            count = counts[spec.name]
            self._losses[0, column] += losses[spec.name] * count
            self._losses[1, column] += count
            mask, values = _measured(predictions[spec.name], targets[spec.name])
            self._sums[0, column] += torch.where(mask, values, 0).sum()
            self._sums[1, column] += mask.sum()

    @torch.no_grad()
    def add_distillation(self, loss: Tensor) -> None:
        """Add what teachers made of a batch, weighted as it is in the loss."""
        self._distillation[0] += loss.detach()
        self._distillation[1] += 1

    def losses(
        self, weights: Mapping[str, float], context: DistributedContext = _ALONE
    ) -> dict[str, float]:
        """The weighted ``total``, and by task the mean over the faces that have its label, 0 where
        none has: what validation calls so too. Where teachers spoke, their ``distillation`` stands
        beside, the mean of the batches."""
        total, count = context.mean(self._losses).tolist()
        means = {
            spec.name: t / n if n else 0.0
            for spec, t, n in zip(self._specs, total, count, strict=True)
        }
        found = {"total": sum(weights.get(n, 1.0) * own for n, own in means.items()), **means}
        said, batches = context.mean(self._distillation).tolist()
        return {**found, "distillation": said / batches} if batches else found

    def over(self, context: DistributedContext) -> dict[str, float]:
        """The figures over all processes, ``train_TASK_mae`` or ``train_TASK_accuracy``."""
        total, count = context.mean(self._sums).tolist()
        return {
            f"train_{spec.name}_{_MEASURED[spec.kind]}": t / n
            for spec, t, n in zip(self._specs, total, count, strict=True)
            if n
        }


def _measured(raw: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Which faces are measured, and their error or whether they are right."""
    if isinstance(target, BinaryTarget):
        return target.mask, (raw >= 0) == target.value.bool()
    if isinstance(target, CategoricalTarget):
        return target.mask, raw.argmax(dim=1) == target.probabilities.argmax(dim=1)
    return target.mask & (target.low == target.high), (raw - target.low).abs()
