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


class Scores:
    """Mean absolute error or accuracy of each task; of augmented faces, with weights as they
    change."""

    def __init__(self, specs: Sequence[TaskSpec], device: torch.device) -> None:
        self._specs = tuple(specs)
        self._sums = torch.zeros(2, len(self._specs), dtype=torch.float64, device=device)

    @torch.no_grad()
    def update(self, predictions: Mapping[str, Tensor], targets: Targets) -> None:
        """Add a batch of raw outputs; a face counts for the labels that it has."""
        for column, spec in enumerate(self._specs):
            mask, values = _measured(predictions[spec.name], targets[spec.name])
            self._sums[0, column] += torch.where(mask, values, 0).sum()
            self._sums[1, column] += mask.sum()

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
