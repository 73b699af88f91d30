"""Weights and training state on disk: written whole or not at all, read without pickle."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from agegenderemo.errors import CheckpointError
from agegenderemo.files import write_atomically
from agegenderemo.model_info import META_KEY, ModelInfo
from agegenderemo.models.heads import MultiTaskNet
from agegenderemo.models.registry import create_model

# What safetensors, JSON, the records and load_state_dict raise for a file that is not one of ours.
_REFUSALS = (
    SafetensorError, OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError,
    RuntimeError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network in evaluation mode, and what is known of it."""

    model: MultiTaskNet
    info: ModelInfo


def checkpoint_bytes(model: MultiTaskNet, info: ModelInfo) -> bytes:
    """The safetensors file of a network: weights in half precision, and its record.

    Raises CheckpointError when a weight is no number that half precision can hold.
    """
    if info.tasks != model.tasks:
        raise ValueError("the record names other tasks than the network has")
    # Half precision holds weights to three digits; batch counters are integers and stay so.
    tensors = {
        key: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for key, value in model.state_dict().items()
    }
    broken = next((key for key, value in tensors.items() if not _is_finite(value)), None)
    if broken is not None:
        raise CheckpointError(
            f"The network cannot be kept, because {broken} is not a finite half-precision number; "
            "training has diverged."
        )
    return bytes(save(tensors, {META_KEY: json.dumps(with_parameters(info, model).to_dict())}))


def save_checkpoint(path: Path, model: MultiTaskNet, info: ModelInfo) -> None:
    """Write `checkpoint_bytes` atomically, without a graph.

    Raises CheckpointError when the disk refuses or a weight is no finite number.
    """
    write_atomically(path, checkpoint_bytes(model, info))


def with_parameters(info: ModelInfo, model: nn.Module) -> ModelInfo:
    """The record with the count of a network's parameters."""
    return replace(info, parameters=parameter_count(model))


def is_checkpoint(path: Path) -> bool:
    """Whether a readable file says that it is a checkpoint of this package."""
    try:
        with safe_open(path, "pt") as file:
            return META_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint`, or version 0.1, wrote; the weights come back as float32.

    Raises CheckpointError when the file is missing, damaged or of another kind, or when its weights
    are zeros or no numbers.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}; train one with train.py.")
    try:
        with safe_open(path, "pt") as file:
            meta = json.loads((file.metadata() or {})[META_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        info = ModelInfo.from_dict(meta)
        if "tasks" not in meta:
            tensors = _from_version_1(tensors, info)
        model = create_model(info.model, info.tasks, **info.options)
        model.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        )
    except _REFUSALS as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint of this package.") from error
    _check_weights(path, tensors)
    model.eval().requires_grad_(False)
    return Checkpoint(model, with_parameters(info, model))


def _from_version_1(tensors: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """Weights of 0.1, where the heads stood beside the backbone, under today's names."""
    heads = {spec.name for spec in info.tasks}
    return {
        f"heads.{key}" if key.partition(".")[0] in heads else key: value
        for key, value in tensors.items()
    }


def _check_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for key, value in tensors.items():
        if not _is_finite(value):
            raise CheckpointError(
                f"{path} cannot be used: its {key} holds values that are no numbers."
            )
        # A kernel of nothing but zeros is a hole in the file: training leaves none.
        if value.ndim > 1 and not value.any():
            raise CheckpointError(f"{path} cannot be used: its {key} holds nothing but zeros.")


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value).all())


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a training state (tensors and plain values in dicts and lists), atomically."""
    stream = io.BytesIO()
    torch.save(state, stream)
    write_atomically(path, stream.getbuffer())


def load_state(path: Path) -> dict[str, Any]:
    """Read a training state.

    Raises CheckpointError when it is missing or damaged.
    """
    if not path.is_file():
        raise CheckpointError(f"There is nothing to resume at {path}; start without --resume.")
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch.load raises many kinds for a damaged file
        raise CheckpointError(
            f"{path} is damaged and cannot be gone on with; put back a copy, or begin anew by "
            "--overwrite."
        ) from error


def parameter_count(model: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(p.numel() for p in model.parameters())
