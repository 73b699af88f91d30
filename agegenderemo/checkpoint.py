"""Weights and training state on disk: written whole or not at all, read without pickle."""

import contextlib
import io
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from agegenderemo.calibration import Calibration
from agegenderemo.labels import EMOTIONS, GENDERS
from agegenderemo.models import MultiTaskNet, create_model
from agegenderemo.records import InputSpec

DEFAULT_CHECKPOINT = (
    Path(__file__).resolve().parent.parent / "checkpoints" / "agegendernet.safetensors"
)

_META = "agegenderemo"
_LABELS = {"genders": list(GENDERS), "emotions": list(EMOTIONS)}


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; one sentence says why."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network in evaluation mode with what it wants to see and how it was made."""

    model: MultiTaskNet
    name: str
    input: InputSpec
    recipe: dict[str, Any]
    calibration: Calibration | None = None
    origin: dict[str, Any] = field(default_factory=dict)
    """Where the weights come from: faces of each training set, and the commit of the code."""


def save_checkpoint(
    path: Path,
    model: MultiTaskNet,
    name: str,
    input: InputSpec,
    recipe: dict[str, Any],
    calibration: Calibration | None = None,
    origin: dict[str, Any] | None = None,
) -> None:
    """Write weights in half precision with their metadata, atomically."""
    # Half precision holds weights to three digits; batch counters are integers and stay so.
    tensors = {
        key: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for key, value in model.state_dict().items()
    }
    emotion = model.emotion is not None
    meta = {
        "model": name,
        "emotion": emotion,
        "input": asdict(input),
        "labels": _LABELS,
        "recipe": recipe,
        "calibration": calibration and calibration.to_dict(),
        "origin": origin or {},
    }
    write_atomically(path, save(tensors, {_META: json.dumps(meta)}))


def is_checkpoint(path: Path) -> bool:
    """Whether a readable file says that it is a checkpoint of this package."""
    try:
        with safe_open(path, "pt") as file:
            return _META in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote; the weights come back as float32.

    Raises CheckpointError when the file is missing, damaged or of another kind.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}; train one with train.py.")
    try:
        with safe_open(path, "pt") as file:
            meta = json.loads((file.metadata() or {})[_META])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        model = create_model(meta["model"], emotion=meta["emotion"])
        model.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        )
        spec = meta["input"]
        input = InputSpec(
            spec["size"], tuple(spec["mean"]), tuple(spec["std"]), spec.get("framing", "face")
        )
        if meta.get("labels", _LABELS) != _LABELS:
            raise ValueError("labels in another order")
        stored = meta.get("calibration")
        calibration = Calibration.from_dict(stored) if stored else None
        checkpoint = Checkpoint(
            model, meta["model"], input, meta["recipe"], calibration, meta.get("origin", {})
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint of this package.") from error
    model.eval().requires_grad_(False)
    return checkpoint


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
            f"{path} is damaged and cannot be resumed; put back a copy, or start without --resume."
        ) from error


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """A reader, and a killed writer, sees the old file or the new one, never a part.

    Raises CheckpointError when the disk is full or refuses; the old file stays.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise CheckpointError(
            f"{path} could not be written ({error.strerror}); what was there before is kept."
        ) from error


def parameter_count(model: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(p.numel() for p in model.parameters())


def load_card(path: Path) -> dict[str, Any]:
    """The measured figures that stand beside a checkpoint (``evaluate`` writes them), or none."""
    card = path.with_suffix(".json")
    return dict(json.loads(card.read_text())) if card.is_file() else {}


def update_card(path: Path, data: str, figures: dict[str, Any]) -> None:
    """Set the figures of one data set in the file beside a checkpoint."""
    card = {**load_card(path), data: figures}
    write_atomically(path.with_suffix(".json"), (json.dumps(card, indent=1) + "\n").encode())
