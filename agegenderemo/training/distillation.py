"""Distillation: one object beside the trainer, which holds what other networks say of the faces and
the loss of not saying it too.

The first teacher is a public face network that stays frozen
(`agegenderemo.models.mobilenet_v1_face`), through a small probe (`agegenderemo.training.probe`).
More teachers are checkpoints of this package, which answer by themselves: once for each crop, or
at every step for the face as it was changed (`agegenderemo.training.teachers.TeacherEnsemble`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.sampler import TrainingSet
from agegenderemo.data.targets import CategoricalTarget, RegressionTarget, Target, Targets
from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.models.heads import Outputs
from agegenderemo.tasks import TaskSpec
from agegenderemo.training.cached import cached_embeddings, cached_predictions
from agegenderemo.training.config import DistillationWeights, TrainConfig
from agegenderemo.training.distributed import DistributedContext, use_bfloat16
from agegenderemo.training.losses import error, kl_divergence, masked_mean, weighted_sum
from agegenderemo.training.probe import probe_targets
from agegenderemo.training.soft_targets import SoftTargets, Values, ensemble, in_vocabulary
from agegenderemo.training.teachers import TeacherEnsemble, Teachers


class Batch(NamedTuple):
    """Faces of a whole batch by their numbers, those of them that are mixed, and so no one's, and
    the part of the batch that is this process's."""

    faces: Tensor  # (B,) int64
    mixed: Tensor  # (B,) bool
    shard: slice

    @property
    def processes(self) -> float:
        """How many share the batch."""
        return len(self.faces) / len(self.faces[self.shard])


class Distillation:
    """What teachers say of the faces of a run.

    ``soft`` is known in advance; ``online`` are the teachers that read each batch.
    """

    def __init__(
        self,
        specs: Sequence[TaskSpec],
        weights: DistillationWeights,
        soft: SoftTargets,
        online: TeacherEnsemble | None = None,
    ) -> None:
        self._specs = tuple(specs)
        self._weights = weights
        self._soft = soft
        self._online = online

    def projection(self, num_features: int) -> nn.Linear | None:
        """A layer from the features of the learning network to those of the public one, None where
        that does not teach. From zero, so that it learns to read the features before it pulls at
        them."""
        if self._soft.features is None:
            return None
        layer = nn.Linear(num_features, self._soft.features.shape[1])
        nn.init.zeros_(layer.weight)
        return layer

    def picture_size(self, size: int) -> int:
        """Side in pixels that faces must be changed at, for a network that wants ``size``."""
        return max(size, self._online.size) if self._online else size

    def predictions(self, pictures: Tensor) -> list[dict[str, Tensor]]:
        """What the online teachers say of N×3×S×S pictures in [0, 1]; nothing without such."""
        return self._online.predictions(pictures) if self._online else []

    def loss(
        self,
        out: Outputs,
        projected: Tensor | None,
        batch: Batch,
        online: Sequence[Values],
        targets: Targets,
        counts: Mapping[str, Tensor],
    ) -> Tensor:
        """The weighted sum of how far N outputs are from what the teachers say.

        ``out``, ``projected``, ``online`` and ``targets`` are of the part of the batch that is this
        process's; ``counts`` are the labels of the whole batch a process.
        """
        device = out.features.device
        soft = self._soft.take(batch.faces[batch.shard]).to(device)
        mixed = batch.mixed[batch.shard].to(device, non_blocking=True)
        plain = (len(batch.faces) - batch.mixed.sum()).to(device, non_blocking=True)
        share = plain / batch.processes
        said = ensemble(soft.values, online, self._specs, mixed)
        # Of a mixed face only those teachers can speak who see it.
        seen = {name for values in online for name in values}
        everyone, all_of_them = torch.ones_like(mixed), plain.new_tensor(len(mixed))
        audience = {
            name: (everyone, all_of_them) if name in seen else (~mixed, share) for name in said
        }
        loss = soft_loss(out.predictions, said, audience, targets, counts, self._weights)
        if projected is None or soft.features is None:
            return loss
        apart = (projected.float() - soft.features).square().mean(dim=1)
        return loss + self._weights.features * masked_mean(apart, ~mixed, share)


def soft_loss(
    predictions: Values,
    said: Values,
    audience: Mapping[str, tuple[Tensor, Tensor]],
    targets: Targets,
    counts: Mapping[str, Tensor],
    weights: DistillationWeights,
) -> Tensor:
    """How far raw outputs for N faces are from what is ``said`` of them, a weighted sum over the
    tasks.

    ``audience`` holds, by task, of which faces it is said, (N,) bool, and how many those are a
    process; ``counts`` how many have a label a process.
    """
    losses = {}
    for name, value in said.items():
        target, (heard, count) = targets[name], audience[name]
        if isinstance(target, CategoricalTarget) and not weights.distil_labelled_faces:
            heard, count = heard & ~target.mask, count - counts[name]
        own = _soft_errors(predictions[name], value, target, weights.distil_labelled_faces)
        losses[name] = masked_mean(own, heard, count)
    if not losses:  # no one says anything of any task: zero, with a gradient of zero
        return next(iter(predictions.values())).sum() * 0
    return weighted_sum(losses, weights.tasks)


def _soft_errors(raw: Tensor, said: Tensor, target: Target, labelled_too: bool) -> Tensor:
    """(N,) how far raw outputs are from what teachers say; numbers are moved into the label, where
    there is one, unless labelled faces are theirs too."""
    if isinstance(target, RegressionTarget):
        if not labelled_too:
            said = torch.where(target.mask, said.clamp(target.low, target.high), said)
        return error(raw, said, said)
    if isinstance(target, CategoricalTarget):
        return kl_divergence(raw, said)
    return F.binary_cross_entropy_with_logits(raw, said, reduction="none")


def build_distillation(
    config: TrainConfig,
    training: TrainingSet,
    prepared: Path,
    teachers: Teachers,
    context: DistributedContext,
) -> Distillation | None:
    """What the teachers say of the training faces, computed once or read from beside the crops;
    None without teachers.

    Raises AgeGenderEmoError for a configuration that does not go with them.
    """
    if config.online_distillation and not teachers.checkpoints:
        raise AgeGenderEmoError(
            "online_distillation wants a checkpoint among the teachers, to read the faces."
        )
    if not teachers.checkpoints and teachers.public is None:
        return None
    specs = config.specs
    online = None
    stored: list[dict[str, Tensor]] = []
    if config.online_distillation:
        bfloat16 = use_bfloat16(config.precision, context.device)
        online = TeacherEnsemble(teachers.checkpoints, specs, context.device, bfloat16)
    else:
        stored = _stored_predictions(teachers, specs, training, prepared, context)
    soft = SoftTargets({}, None)
    if teachers.public is not None:
        embeddings = torch.cat(
            [
                cached_embeddings(one, folder, rows, teachers.public, context)
                for one, folder, rows in _places(training, prepared)
            ]
        )
        if context.is_main:
            start = config.probe_start
            soft = probe_targets(embeddings, training.targets, config.seed, start=start)
        soft = context.broadcast(soft)
    return Distillation(
        specs,
        replace(config.distillation, tasks=config.distilled_weights),
        soft._replace(values=ensemble(soft.values, stored, specs)),
        online,
    )


def _stored_predictions(
    teachers: Teachers,
    specs: Sequence[TaskSpec],
    training: TrainingSet,
    prepared: Path,
    context: DistributedContext,
) -> list[dict[str, Tensor]]:
    """What each checkpoint says of all training faces, in the vocabulary of the network."""
    found = []
    for path, checkpoint in zip(teachers.paths, teachers.checkpoints, strict=True):
        parts = [
            cached_predictions(one, folder, rows, path, checkpoint, context)
            for one, folder, rows in _places(training, prepared)
        ]
        whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        found.append(in_vocabulary(whole, checkpoint.info.tasks, specs))
    return found


def _places(
    training: TrainingSet, prepared: Path
) -> Iterator[tuple[PreparedSet, Path, NDArray[np.int64]]]:
    """Each set of a run, its folder, and the rows of it that are trained on."""
    for index, one in enumerate(training.sets):
        yield one, prepared / one.name, training.row[training.set_index == index]
