"""Checkpoints as teachers: which files they are, and how they read faces while another network
learns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from agegenderemo.data.transforms import fit_input
from agegenderemo.errors import CheckpointError
from agegenderemo.models.checkpoint import Checkpoint, is_checkpoint, load_checkpoint
from agegenderemo.tasks import TaskSpec
from agegenderemo.training.soft_targets import in_vocabulary, shared_tasks
from agegenderemo.types import Template


@dataclass(frozen=True)
class Teachers:
    """The files that teach: the public face network's weights, if given, and checkpoints."""

    public: Path | None
    paths: tuple[Path, ...]
    checkpoints: tuple[Checkpoint, ...]


def load_teachers(paths: Sequence[Path], tasks: Sequence[TaskSpec], template: Template) -> Teachers:
    """Read every checkpoint of the paths; another file is the public network's.

    Raises CheckpointError for a file that is missing or damaged, for two that are no checkpoints,
    and for a checkpoint that has none of the ``tasks`` or wants faces cut by another template.
    """
    for path in paths:
        if not path.is_file():
            raise CheckpointError(f"There is no teacher at {path}.")
    public = [path for path in paths if not is_checkpoint(path)]
    if len(public) > 1:
        raise CheckpointError(
            f"{public[0]} and {public[1]} are no checkpoints; one of the teachers may be the "
            "public face network."
        )
    own = tuple(path for path in paths if path not in public)
    checkpoints = tuple(map(load_checkpoint, own))
    for path, checkpoint in zip(own, checkpoints, strict=True):
        info = checkpoint.info
        if not shared_tasks(info.tasks, tasks):
            raise CheckpointError(
                f"{path} cannot teach: it has no task of {', '.join(s.name for s in tasks)}."
            )
        if info.input.template != template:
            raise CheckpointError(
                f"{path} reads faces cut by the template {info.input.template!r}; the recipe has "
                f"{template!r}."
            )
    return Teachers(public[0] if public else None, own, checkpoints)


class TeacherEnsemble:
    """Checkpoints that read every face as the learning network gets it, changed and mixed: the
    consistent teacher of Beyer et al. 2022. Their answers cannot be learnt by heart."""

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        tasks: Sequence[TaskSpec],
        device: torch.device,
        bfloat16: bool,
    ) -> None:
        self._members = [(c.model.placed(device).eval(), c.info) for c in checkpoints]
        self._tasks = tuple(tasks)
        self._device = device
        self._bfloat16 = bfloat16
        self.size = max(info.input.size for _, info in self._members)
        """Side in pixels of the largest input."""

    @torch.no_grad()
    def predictions(self, pictures: Tensor) -> list[dict[str, Tensor]]:
        """What each says of N×3×S×S RGB pictures in [0, 1], in the vocabulary of the ``tasks``, by
        the name of the task."""
        given = []
        for model, info in self._members:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
                out = model(fit_input(pictures, info.input))
            raw = out.float().predictions
            values = {spec.name: _activated(spec, raw[spec.name]) for spec in info.tasks}
            given.append(in_vocabulary(values, info.tasks, self._tasks))
        return given


def _activated(spec: TaskSpec, raw: Tensor) -> Tensor:
    """The value that a raw output stands for, as `agegenderemo.tasks.activate` has it."""
    if spec.kind == "binary":
        return raw.sigmoid()
    if spec.kind == "categorical":
        return raw.softmax(dim=1)
    return raw if spec.minimum is None else raw.clamp(min=spec.minimum)
