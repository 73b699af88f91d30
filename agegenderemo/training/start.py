"""What a network begins with: checkpoints, published weights, and the mean of the labels."""

import inspect
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from agegenderemo.data.targets import RegressionTarget, Targets
from agegenderemo.errors import AgeGenderEmoError, CheckpointError
from agegenderemo.export.onnx import check_export
from agegenderemo.models.checkpoint import Checkpoint, is_checkpoint, load_checkpoint
from agegenderemo.models.heads import MultiTaskNet, set_regression_start
from agegenderemo.models.registry import check_size, create_model, folded, get_spec
from agegenderemo.training.config import TrainConfig

_OWN = ("tasks", "dropout_scale")  # settings of their own


def check_model(config: TrainConfig) -> None:
    """Raises AgeGenderEmoError for a network that is not known, or an option that its family does
    not have."""
    options = [name for name in _parameters(config.model) if name not in _OWN]
    for name in config.model_options:
        if name not in options:
            raise AgeGenderEmoError(
                f"model_options names {name!r}; {config.model} has "
                f"{', '.join(options) or 'no options'}."
            )


def _parameters(model: str) -> list[str]:
    """Names that the builder of a family takes; those of ``**options`` by their type."""
    build = get_spec(model).build
    hints = typing.get_type_hints(build)
    names: list[str] = []
    for name, own in inspect.signature(build).parameters.items():
        if own.kind is own.VAR_KEYWORD:
            (record,) = typing.get_args(hints[name])
            names += record.__annotations__
        else:
            names.append(name)
    return names


def fresh_network(config: TrainConfig) -> MultiTaskNet:
    """The network of a configuration, its weights drawn by the seed, in training mode.

    Raises AgeGenderEmoError for what its family does not know, pixels that it cannot read, and a
    network of which no graph could be written after the first epoch.
    """
    check_model(config)
    torch.manual_seed(config.seed)
    try:
        net = create_model(
            config.model, config.specs, dropout_scale=config.dropout_scale, **config.model_options
        )
    except (TypeError, ValueError) as error:
        if isinstance(error, AgeGenderEmoError):
            raise
        raise AgeGenderEmoError(
            f"model_options {config.model_options} do not make a {config.model}: {error}."
        ) from error
    for size in sorted({stage.size for stage in config.stages}):
        check_size(net, config.model, size)
        check_export(folded(net.eval(), config.model, config.model_options)[0], size)
    return net.train()


def begin(net: MultiTaskNet, paths: Sequence[Path], config: TrainConfig, targets: Targets) -> None:
    """Give a fresh network its first weights: those of ``paths``, and, where the recipe says so, a
    start at the mean of the labels for regressions whose head is still fresh.

    Raises CheckpointError for weights of another network.
    """
    known = _begin_with(net, paths, config)
    for spec in net.tasks:
        if config.start_at_mean and spec.kind == "regression" and spec.name not in known:
            target = targets[spec.name]
            assert isinstance(target, RegressionTarget)
            exact = target.mask & (target.low == target.high)
            mean = float(target.low[exact].mean()) if exact.any() else None
            set_regression_start(net, spec.name, mean, config.regression_unit)


def _begin_with(net: MultiTaskNet, paths: Sequence[Path], config: TrainConfig) -> set[str]:
    """Load the mean of the checkpoints (a soup: Wortsman et al. 2022), or the published weights of
    the family; the tasks whose heads came too."""
    model = config.model
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
    whole = config.begin_part == "network"
    known = {s.name for s in net.tasks if whole and all(s in c.info.tasks for c in checkpoints)}
    states = [_usable(checkpoint, known, whole) for checkpoint in checkpoints]
    mean = {
        key: torch.stack([state[key].float() for state in states]).mean(dim=0) for key in states[0]
    }
    fresh = {f"heads.{spec.name}." for spec in net.tasks if spec.name not in known}
    fresh |= set() if whole else {"neck."}
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


def _usable(checkpoint: Checkpoint, known: set[str], neck: bool) -> Mapping[str, Tensor]:
    """Weights of a checkpoint, without heads of tasks that the network does not have, and without
    the neck where that is not wanted."""
    state = checkpoint.model.state_dict()
    heads = {key for key in state if key.startswith("heads.") and key.split(".")[1] not in known}
    necks = {key for key in state if key.startswith("neck.") and not neck}
    return {key: value for key, value in state.items() if key not in heads | necks}
