"""One run: a network, its moving average, what moves its weights, and an epoch of it."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from agegenderemo.data.sampler import TrainingSet
from agegenderemo.data.transforms import augment, fit_input, sample_parameters
from agegenderemo.errors import DatasetError
from agegenderemo.models.heads import MultiTaskNet, Outputs
from agegenderemo.training.config import TrainConfig
from agegenderemo.training.distillation import Batch, Distillation
from agegenderemo.training.distributed import DistributedContext, sync_batch_norm, use_bfloat16
from agegenderemo.training.losses import Losses, LossSettings, label_counts, multitask_loss
from agegenderemo.training.optim import build_optimisers
from agegenderemo.training.scores import Scores
from agegenderemo.training.start import begin, fresh_network
from agegenderemo.types import InputSpec

_SHOWN = 20  # steps between two looks at the loss, for which a GPU has to wait


class Student(nn.Module):
    """A network and, where the public face network teaches, the projection of its features to that
    one's."""

    def __init__(self, net: MultiTaskNet, projection: nn.Linear | None) -> None:
        super().__init__()
        self.net = net
        self.project = projection

    def forward(self, x: Tensor) -> tuple[Outputs, Tensor | None]:
        """N×3×S×S normalised faces to outputs, and to projected features where there are such."""
        out = self.net(x)
        return out, None if self.project is None else self.project(out.features)


class Trainer:
    """Model, its moving average, optimisers and schedule."""

    def __init__(
        self,
        config: TrainConfig,
        training: TrainingSet,
        context: DistributedContext,
        weights: Sequence[Path] = (),
        distillation: Distillation | None = None,
    ) -> None:
        self.config = config
        self.training = training
        self.context = context
        self.distillation = distillation
        self.losses = LossSettings(config.loss_weights, config.regression_loss)
        device = context.device
        self._crops = training.crops_on(device)
        self.model = fresh_network(config).placed(device)
        begin(self.model, weights, config, training.targets)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        if config.freeze_backbone:
            self.model.backbone.requires_grad_(False)
        self.projection: nn.Linear | None = None
        if distillation is not None:
            self.projection = distillation.projection(self.model.num_features)
        self.student: nn.Module = Student(self.model, self.projection).to(device)
        if config.sync_batch_norm and context.size > 1:
            self.student = sync_batch_norm(self.student)
        self.parameters = [p for p in self.student.parameters() if p.requires_grad]
        if context.size > 1:
            self.student = DistributedDataParallel(self.student, gradient_as_bucket_view=True)
        self.bfloat16 = use_bfloat16(config.precision, device)
        self.optimisers = build_optimisers(self.model, self.parameters, config, self.bfloat16)
        self.plateaus = [
            torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimiser, factor=config.plateau_factor, patience=config.plateau_patience, eps=0
            )
            for optimiser in self.optimisers
        ]
        self.fractions = _fractions(config, training)
        self.steps = len(training.epoch(self.fractions, config.batch, 0))
        if not self.steps:
            raise DatasetError(
                f"{len(training)} training faces do not fill one batch of {config.batch}."
            )

    def rate(self, epoch: int) -> float:
        """The learning rate at the beginning of an epoch, counted from 0."""
        if self.config.schedule == "plateau":
            return float(self.optimisers[0].param_groups[0]["lr"])
        return self.config.learning_rate * self._cosine(epoch * self.steps)

    def end_epoch(self, loss: float | None) -> None:
        """Let the plateau schedule see the validation loss."""
        if self.config.schedule == "plateau" and loss is not None:
            for plateau in self.plateaus:
                plateau.step(loss)

    def train_epoch(self, epoch: int, spec: InputSpec) -> dict[str, float]:
        """One pass over faces as ``spec`` wants them; the losses (``train_total``, ``train_TASK``)
        and figures of the `Scores`."""
        config = self.config
        seed = config.seed * 10_000 + epoch
        # All randomness of an epoch follows from its number, so a resumed run repeats it.
        # Dropout differs between processes.
        torch.manual_seed(seed + 1_000_003 * self.context.rank)
        generator = torch.Generator().manual_seed(seed)
        batches = self.training.epoch(self.fractions, config.batch, seed)
        self.model.train()
        if config.freeze_backbone:
            self.model.backbone.eval()  # or its batch norm would go on taking statistics
        scores = Scores(self.model.tasks, self.context.device)
        bar = tqdm(
            batches,
            desc=f"epoch {epoch + 1}/{config.epochs}, {spec.size} px",
            unit="batch",
            leave=False,
            disable=None if self.context.is_main else True,
        )
        for index, faces in enumerate(bar):
            step = epoch * self.steps + index
            self._set_rate(step)
            self._step(torch.from_numpy(faces), spec, generator, scores)
            if config.ema:
                # The average starts short, or it would remember the first random weights for long.
                self._average(min(config.ema, (1 + step) / (10 + step)))
            if index % _SHOWN == 0 or index == len(batches) - 1:
                means = scores.losses(self.losses.weights)
                _check_finite(means["total"] + means.get("distillation", 0.0))
                bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()})
        if not config.ema:
            self._average(0.0)
        means = scores.losses(self.losses.weights, self.context)
        line = {f"train_{name}": value for name, value in means.items()}
        return line | scores.over(self.context)

    def _step(self, faces: Tensor, spec: InputSpec, generator: Generator, scores: Scores) -> Losses:
        """One step on a batch, whose ``faces`` are numbers of the training set."""
        config, context, distillation = self.config, self.context, self.distillation
        device, shard = context.device, context.shard(len(faces))
        parameters = sample_parameters(len(faces), config.augmentation, generator)
        batch = Batch(faces, parameters.mixup > 0, shard)
        size = distillation.picture_size(spec.size) if distillation else spec.size
        pictures = augment(self._crops(faces[shard].numpy()), size, parameters.take(shard))
        online = distillation.predictions(pictures) if distillation else []
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            out, projected = self.student(fit_input(pictures, spec))
        out = out.float()

        whole = self.training.targets.take(faces).without(batch.mixed)
        targets = whole.take(shard).to(device)
        counts = {
            name: count.to(device, non_blocking=True)
            for name, count in label_counts(whole, context.size).items()
        }
        losses = multitask_loss(out.predictions, targets, self.losses, counts)
        scores.update(out.predictions, targets, losses.tasks, counts)
        loss = losses.total
        if distillation is not None:
            said = distillation.loss(out, projected, batch, online, targets, counts)
            scores.add_distillation(said)
            loss = loss + said
        self._descend(loss)
        return Losses(loss.detach(), {name: own.detach() for name, own in losses.tasks.items()})

    def _descend(self, loss: Tensor) -> None:
        """Move the weights, the gradient no longer than the recipe allows."""
        self.student.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        for optimiser in self.optimisers:
            optimiser.step()

    def _set_rate(self, step: int) -> None:
        if self.config.schedule != "cosine":
            return
        rate = self.config.learning_rate * self._cosine(step)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * group["scale"]

    def _cosine(self, step: int) -> float:
        total = self.steps * self.config.epochs
        warmup = max(1, round(total * self.config.warmup))
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        """Let the moving average take up the weights."""
        mine = self.model.state_dict()
        for key, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(mine[key], 1 - decay)
            else:
                value.copy_(mine[key])

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "plateaus": [plateau.state_dict() for plateau in self.plateaus],
            "projection": None if self.projection is None else self.projection.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for name in ("optimisers", "plateaus"):
            for own, saved in zip(getattr(self, name), state[name], strict=True):
                own.load_state_dict(saved)
        if self.projection is not None:
            self.projection.load_state_dict(state["projection"])


def _fractions(config: TrainConfig, training: TrainingSet) -> dict[str, float]:
    """What part of each set an epoch draws."""
    fractions, counts = config.epoch_fractions, training.counts()
    if not config.match_largest:
        return fractions
    largest = max(counts[name] for name, part in fractions.items() if part)
    return {n: part * largest / max(1, counts[n]) for n, part in fractions.items()}


def _check_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            "The loss is no longer finite; start again with a lower learning_rate."
        )
