"""What a network begins with: checkpoints, published weights, and the mean of the labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from agegenderemo.data.targets import RegressionTarget, Targets
from agegenderemo.errors import CheckpointError
from agegenderemo.models.checkpoint import Checkpoint, is_checkpoint, load_checkpoint
from agegenderemo.models.heads import MultiTaskNet, set_regression_start
from agegenderemo.models.registry import get_spec
from agegenderemo.training.config import TrainConfig


def begin(net: MultiTaskNet, paths: Sequence[Path], config: TrainConfig, targets: Targets) -> None:
    """Give a fresh network its first weights: those of ``paths``, and, where the recipe says so, a
    start at the mean of the labels for regressions whose head is still fresh.

    Raises CheckpointError for weights of another network.
    """
    known = _begin_with(net, paths, config.model)
    for spec in net.tasks:
        if config.start_at_mean and spec.kind == "regression" and spec.name not in known:
            target = targets[spec.name]
            assert isinstance(target, RegressionTarget)
            exact = target.mask & (target.low == target.high)
            mean = float(target.low[exact].mean()) if exact.any() else None
            set_regression_start(net, spec.name, mean, config.regression_unit)


def _begin_with(net: MultiTaskNet, paths: Sequence[Path], model: str) -> set[str]:
    """Load the mean of the checkpoints (a soup: Wortsman et al. 2022), or the published weights of
    the family; the tasks whose heads came too."""
    load_public = get_spec(model).load_public
    if load_public is not None and len(paths) == 1 and not is_checkpoint(paths[0]):
        load_public(net, paths[0])
        return set()
    if not paths:
        return set()
    checkpoints = [load_checkpoint(path) for path in paths]
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        if checkpoint.info.model != model:
            raise CheckpointError(
                f"{path} holds a network of the family {checkpoint.info.model!r}; the recipe "
                f"trains {model!r}."
            )
    known = {spec.name for spec in net.tasks if all(spec in c.info.tasks for c in checkpoints)}
    states = [_usable(checkpoint, known) for checkpoint in checkpoints]
    mean = {
        key: torch.stack([state[key].float() for state in states]).mean(dim=0) for key in states[0]
    }
    fresh = {f"heads.{spec.name}." for spec in net.tasks if spec.name not in known}
    try:
        # Batch counters become whole numbers again.
        missing, unexpected = net.load_state_dict(mean, strict=False)
    except RuntimeError as error:
        raise _of_another(paths) from error
    if unexpected or not all(key.startswith(tuple(fresh)) for key in missing):
        raise _of_another(paths)
    return known


def _of_another(paths: Sequence[Path]) -> CheckpointError:
    return CheckpointError(
        f"{', '.join(map(str, paths))} cannot be begun with: the network has other layers."
    )


def _usable(checkpoint: Checkpoint, known: set[str]) -> Mapping[str, Tensor]:
    """Weights of a checkpoint, heads of tasks that the network does not have left out."""
    return {
        key: value
        for key, value in checkpoint.model.state_dict().items()
        if not key.startswith("heads.") or key.split(".")[1] in known
    }
