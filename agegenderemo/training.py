"""Trains a network on several prepared sets at once; a killed run resumes to the same weights."""

import copy
import csv
import ctypes
import io
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from agegenderemo.checkpoint import (
    CheckpointError,
    is_checkpoint,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
    write_atomically,
)
from agegenderemo.dataset import PreparedSet, Targets
from agegenderemo.distributed import Team, has_bfloat16, sync_batch_norm
from agegenderemo.evaluation import answer, loss_of_answers, measure
from agegenderemo.losses import (
    Counts,
    Terms,
    divergence,
    interval_distance,
    masked_mean,
    multitask_loss,
)
from agegenderemo.models import MultiTaskNet, Outputs, create_model, get_spec
from agegenderemo.muon import KernelMuon, kernels_of
from agegenderemo.pool import Pool, build_pool
from agegenderemo.predictor import Predictor
from agegenderemo.readers import DatasetError
from agegenderemo.recipes import TeacherWeights, TrainConfig
from agegenderemo.records import Attributes, InputSpec, Sample
from agegenderemo.teacher import Lessons, Panel, joined
from agegenderemo.transforms import augment, draw_changes, fit_input

STATE = "state.pt"
WEIGHTS = "model.safetensors"
HISTORY = "history.csv"
CONFIG = "config.json"

History = list[dict[str, Any]]
"""A line an epoch, oldest first: the columns of ``history.csv``."""


def fit(
    config: TrainConfig,
    prepared: Path,
    out: Path,
    *,
    teachers: Sequence[Path] = (),
    weights: Sequence[Path] = (),
    resume: bool = False,
    stop_after: int | None = None,
    team: Team = Team(),  # noqa: B008  frozen
    watch: Callable[[History, bool], None] | None = None,
) -> Path:
    """Train and return the path of the weights that the recipe keeps.

    ``prepared`` holds one folder a set. The network begins with ``weights``, if given: a
    checkpoint, the mean of several, or the published weights of its family; ``teachers`` are the
    public descriptor, then any checkpoints. After every epoch ``out`` has the weights, the history
    and a state; with ``resume`` the run continues from the state, and its weights end up the same,
    bit for bit, as if it had not stopped. ``stop_after`` ends the run early, for tests of just
    that.
    ``watch`` is called after every epoch with the history and whether the run is over, on the
    process that leads the ``team``.

    Raises DatasetError for missing crops and CheckpointError for a state of another recipe or
    weights of another network.
    """
    _keep_memory()
    torch.set_flush_denormal(True)  # Adam's moments decay into numbers that CPUs are slow at
    if config.batch % team.size:
        raise ValueError(f"batch={config.batch} does not divide among {team.size} processes.")
    panel, once = None, teachers
    if config.live_teachers:
        if not teachers[1:]:
            raise ValueError("live_teachers wants a checkpoint after --teacher, to read the faces.")
        bfloat16 = use_bfloat16(config, team.device)
        panel = Panel(teachers[1:], config.framing, team.device, bfloat16)
        once = teachers[:1]
    elif config.augmentation.mix:
        raise ValueError(
            "augmentation.mix wants live_teachers: no label says what a mixed face looks like."
        )
    sets = tuple(PreparedSet.open(prepared / name) for name in config.shares)
    for one in sets:
        if one.framing != config.framing:
            raise DatasetError(
                f"{prepared / one.name} holds crops framed as {one.framing!r}; the recipe wants "
                f"{config.framing!r}."
            )
    pool = build_pool(sets, prepared, config, once, team)
    validation = [
        (s, rows) for s in sets if len(rows := s.rows("val", copies=not config.drop_copies))
    ]
    if not validation and (config.keep == "best" or config.schedule == "plateau"):
        raise DatasetError("The recipe steers by a validation loss, but no set has such samples.")
    run = Run(config, pool, team, weights, panel)
    settings = json.loads(
        json.dumps({**config.to_dict(), "teachers": [path.name for path in teachers]})
    )
    origin = {"training_faces": pool.counts(), "commit": _commit()}
    history: History = []
    start = 0
    if resume:
        # One process reads it: other machines may not see this disk.
        state: dict[str, Any] = team.share(load_state(out / STATE) if team.leads else {})
        if state["config"] != settings:
            raise CheckpointError(
                f"{out} was trained with another recipe; resume with that one, or choose another "
                "--out."
            )
        run.restore(state["run"])
        start, history = state["epoch"], state["history"]
    if team.leads:
        write_atomically(out / CONFIG, json.dumps(settings, indent=1).encode())

    for epoch in range(start, min(config.epochs, stop_after or config.epochs)):
        if _is_over(config, history):
            break
        began = time.monotonic()
        spec = _input_spec(config, config.size_at(epoch))
        line: dict[str, Any] = {"epoch": epoch + 1, "size": spec.size, "rate": run.rate(epoch)}
        line |= run.train_epoch(epoch, spec)
        team.align(run.average.buffers())
        line |= _validate(Predictor(run.average, spec), validation, config, team)
        line["seconds"] = round(time.monotonic() - began, 1)
        history.append(line)
        run.end_epoch(line.get("val_total"))
        if not team.leads:
            continue
        if config.keep == "last" or _best(history) == len(history) - 1:
            save_checkpoint(out / WEIGHTS, run.average, config.model, spec, settings, origin=origin)
        _write_history(out / HISTORY, history)
        # The state last: what it says is done has been written.
        save_state(
            out / STATE,
            {"config": settings, "epoch": epoch + 1, "history": history, "run": run.state()},
        )
        if watch:
            watch(history, False)
    if watch and team.leads and history:
        watch(history, True)
    team.wait()  # until the files are written
    return out / WEIGHTS


def _keep_memory() -> None:
    """Let glibc keep what a step frees. It gives large blocks back to the system, and getting them
    anew, cleaned, took up to a third of the time."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other libraries have none
        if mallopt:
            mallopt(-4, 0)  # M_MMAP_MAX: no block of its own mapping
            mallopt(-1, -1)  # M_TRIM_THRESHOLD: never trim


def _best(history: History) -> int:
    """Index of the epoch with the lowest validation loss, the earlier one of two."""
    losses = [line.get("val_total", math.inf) for line in history]
    return losses.index(min(losses))


def _is_over(config: TrainConfig, history: History) -> bool:
    if not config.early_stopping or not history:
        return False
    return len(history) - 1 - _best(history) >= config.early_stopping


def _validate(
    predictor: Predictor,
    validation: Sequence[tuple[PreparedSet, NDArray[np.int64]]],
    config: TrainConfig,
    team: Team,
) -> dict[str, float]:
    """The loss and figures over all held-out rows, and figures of each set where there are several.

    Read without the mirror image: half the work.
    """
    line: dict[str, float] = {}
    every: list[tuple[Sample, Attributes]] = []
    for held_out, rows in validation:
        own = answer(predictor, held_out, rows[team.rank :: team.size], mirror=False)
        answers: list[Attributes | None] = [None] * len(rows)
        for rank, given in enumerate(team.gather(own)):
            answers[rank :: team.size] = given
        pairs = list(
            zip(
                [held_out.samples[row] for row in rows],
                cast(list[Attributes], answers),
                strict=True,
            )
        )
        every += pairs
        if len(validation) > 1:
            line |= _figures(f"{held_out.name}_", pairs)
    if not every:
        return {}
    terms = loss_of_answers([s for s, _ in every], [given for _, given in every], config.weights)
    line |= {f"val_{k}": float(v) for k, v in terms._asdict().items()}
    return line | _figures("val_", every)


def _figures(prefix: str, pairs: Sequence[tuple[Sample, Attributes]]) -> dict[str, float]:
    measured = measure([sample for sample, _ in pairs], [given for _, given in pairs])
    return {
        f"{prefix}{key}": value
        for key, value in measured.items()
        if key.startswith(("age_", "gender_", "emotion_acc")) and value is not None
    }


class _Student(nn.Module):
    """A network and, with a teacher, the projection of its features to the teacher's."""

    def __init__(self, net: MultiTaskNet, project: nn.Linear | None) -> None:
        super().__init__()
        self.net = net
        self.project = project

    def forward(self, x: Tensor) -> tuple[Outputs, Tensor | None]:
        out = self.net(x)
        return out, None if self.project is None else self.project(out.features)


class Run:
    """Model, its moving average, optimiser and schedule."""

    def __init__(
        self,
        config: TrainConfig,
        pool: Pool,
        team: Team,
        weights: Sequence[Path] = (),
        panel: Panel | None = None,
    ) -> None:
        self.config = config
        self.pool = pool
        self.panel = panel
        self.team = team
        device = team.device
        self.crops = pool.crops_on(device)
        torch.manual_seed(config.seed)
        self.model = create_model(config.model, dropout_scale=config.dropout_scale)
        self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        whole = bool(weights) and _begin_with(weights, self.model, config.model)
        if config.start_at_mean_age and not whole:
            _start_ages(self.model, pool.targets, config.age_unit)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.project: nn.Linear | None = None
        if pool.lessons is not None:
            width = self.model.neck[0].in_features  # type: ignore[index]
            self.project = nn.Linear(width, pool.lessons.features.shape[1]).to(device)
            # From zero, so that it learns to read the features before it pulls at them.
            nn.init.zeros_(self.project.weight)
        self.student: nn.Module = _Student(self.model, self.project)
        if config.sync_batch_norm and team.size > 1:
            self.student = sync_batch_norm(self.student)
        self.parameters = list(self.student.parameters())
        if team.size > 1:
            self.student = DistributedDataParallel(self.student, gradient_as_bucket_view=True)
        self.bfloat16 = use_bfloat16(config, device)
        # Norms and biases are not decayed: pulling them to zero regularises nothing.
        age_output = list(self.model.age[-1].parameters())  # type: ignore[index]
        own = {id(p) for p in age_output}
        rest = [p for p in self.parameters if id(p) not in own]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in rest if p.ndim > 1]},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
            {"params": age_output, "weight_decay": 0.0},
        ]
        for group, scale in zip(groups, (1.0, 1.0, config.age_unit), strict=True):
            group |= {"lr": config.learning_rate * scale, "scale": scale}
        kernels: list[Tensor] = []
        if config.optimiser == "muon":
            kernels = kernels_of(self.model)
            own = {id(p) for p in kernels}
            groups[0]["params"] = [p for p in groups[0]["params"] if id(p) not in own]
        kind = torch.optim.Adam if config.optimiser == "adam" else torch.optim.AdamW
        if config.optimiser == "adam":
            # Decay is part of Adam's gradient, and the report's was on every weight.
            for group in groups:
                group["weight_decay"] = config.weight_decay
        self.optimisers: list[torch.optim.Optimizer] = [
            kind(groups, weight_decay=config.weight_decay, fused=True)
        ]
        if kernels:
            muon = KernelMuon(
                kernels,
                config.learning_rate,
                config.weight_decay,
                precision=torch.bfloat16 if self.bfloat16 else torch.float32,
            )
            muon.param_groups[0]["scale"] = 1.0
            self.optimisers.append(muon)
        self.plateaus = [
            torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimiser, factor=config.plateau_factor, patience=config.plateau_patience, eps=0
            )
            for optimiser in self.optimisers
        ]
        self.steps = len(pool.epoch(config.shares, config.batch, 0))
        if not self.steps:
            raise DatasetError(
                f"{len(pool.row)} training faces do not fill one batch of {config.batch}."
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
        """One pass; returns the means of the loss and its terms over the epoch."""
        config = self.config
        seed = config.seed * 10_000 + epoch
        # All randomness of an epoch follows from its number, so a resumed run repeats it.
        torch.manual_seed(seed + 1_000_003 * self.team.rank)  # dropout differs between processes
        generator = torch.Generator().manual_seed(seed)
        batches = self.pool.epoch(config.shares, config.batch, seed)
        self.model.train()
        # Sums stay on the device: reading one at every step would make a GPU wait for us.
        sums = torch.zeros(len(Terms._fields), dtype=torch.float64, device=self.team.device)
        scores = Scores(self.team.device)
        bar = tqdm(
            batches,
            desc=f"epoch {epoch + 1}/{config.epochs}, {spec.size} px",
            unit="batch",
            disable=not self.team.leads,
        )
        for index, faces in enumerate(bar):
            step = epoch * self.steps + index
            if config.schedule == "cosine":
                rate = config.learning_rate * self._cosine(step)
                for optimiser in self.optimisers:
                    for group in optimiser.param_groups:
                        group["lr"] = rate * group["scale"]
            changes = draw_changes(len(faces), config.augmentation, generator)
            own = self.team.part(len(faces))
            crops = self.crops(faces[own])
            size = max(spec.size, self.panel.size) if self.panel else spec.size
            pictures = augment(crops, size, changes.take(own))
            answers = self.panel.answers(pictures) if self.panel else []
            x = fit_input(pictures, spec)
            mixed = changes.mixed > 0
            sums += torch.stack(self._step(x, torch.from_numpy(faces), mixed, answers, scores))
            if config.ema:
                # The average starts short, or it would remember the first random weights for long.
                self._average(min(config.ema, (1 + step) / (10 + step)))
            if index % 20 == 0 or index == len(batches) - 1:
                mean = (sums / (index + 1)).tolist()
                if not math.isfinite(mean[0]):
                    raise FloatingPointError(
                        "The loss is no longer finite; start again with a lower learning_rate."
                    )
                bar.set_postfix({k: f"{v:.3f}" for k, v in zip(Terms._fields, mean, strict=True)})
        if not config.ema:
            self._average(0.0)
        means = self.team.mean(sums / len(batches)).tolist()
        line = {f"train_{k}": v for k, v in zip(Terms._fields, means, strict=True)}
        return line | scores.over(self.team)

    def _step(
        self, x: Tensor, faces: Tensor, mixed: Tensor, answers: list[Tensor], scores: "Scores"
    ) -> Terms:
        """One step on a batch: ``faces`` are all of it, and ``mixed`` those that are no one's;
        ``x`` and the ``answers`` of live teachers the share of this process."""
        team, device = self.team, self.team.device
        part = team.part(len(faces))
        whole = self.pool.targets.take(faces).without(mixed)
        targets = Targets(*(t.to(device, non_blocking=True) for t in whole.take(part)))
        counts = Counts(*(c.to(device, non_blocking=True) for c in Counts.of(whole, team.size)))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            out, projected = self.student(x)
        out = out.float()
        terms = multitask_loss(out, targets, self.config.weights, counts)
        scores.update(out, targets)
        loss = terms.total
        if self.pool.lessons is not None:
            own = self.pool.lessons.take(faces[part])
            unclear = mixed[part].to(device, non_blocking=True)
            taught = Lessons(*(t.to(device, non_blocking=True) for t in own))
            taught = joined(taught, answers, unclear)
            unlabelled = len(faces) / team.size - counts.emotion
            loss = loss + teacher_loss(out, taught, targets, unlabelled, self.config.teacher)
            apart = (projected.float() - taught.features).square().mean(dim=1)
            plain = (len(faces) - mixed.sum()).to(device, non_blocking=True) / team.size
            loss = loss + self.config.teacher.features * masked_mean(apart, ~unclear, plain)
        self.student.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        for optimiser in self.optimisers:
            optimiser.step()
        return Terms(*(t.detach() for t in terms._replace(total=loss)))

    def _cosine(self, step: int) -> float:
        total = self.steps * self.config.epochs
        warmup = max(1, round(total * self.config.warmup))
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

    @torch.no_grad()
    def _average(self, decay: float) -> None:
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
            "project": None if self.project is None else self.project.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for name in ("optimisers", "plateaus"):
            for own, saved in zip(getattr(self, name), state[name], strict=True):
                own.load_state_dict(saved)
        if self.project is not None:
            self.project.load_state_dict(state["project"])


class Scores:
    """Sums behind the training figures of an epoch; augmented faces, weights as they change."""

    NAMES = ("age_mae", "gender_accuracy", "emotion_accuracy")

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(2, len(self.NAMES), dtype=torch.float64, device=device)

    @torch.no_grad()
    def update(self, out: Outputs, targets: Targets) -> None:
        """Add a batch; a face counts for the labels that it has."""
        exact = targets.age_mask & (targets.age_low == targets.age_high)
        right = [
            (exact, (out.age - targets.age_low).abs()),
            (targets.gender_mask, (out.gender >= 0) == targets.gender.bool()),
        ]
        if out.emotion is not None:
            same = out.emotion.argmax(dim=1) == targets.emotion.argmax(dim=1)
            right.append((targets.emotion_mask, same))
        for column, (mask, values) in enumerate(right):
            self.sums[0, column] += torch.where(mask, values, 0).sum()
            self.sums[1, column] += mask.sum()

    def over(self, team: Team) -> dict[str, float]:
        """The figures over all processes."""
        total, count = team.mean(self.sums).tolist()
        return {
            f"train_{name}": t / n for name, t, n in zip(self.NAMES, total, count, strict=True) if n
        }


def teacher_loss(
    out: Outputs,
    taught: Lessons,
    targets: Targets,
    unlabelled: Tensor,
    weights: TeacherWeights,
) -> Tensor:
    """How far N answers are from the teacher's, a weighted sum; ``unlabelled`` of the N have no
    emotion, on average over the processes."""
    age = taught.age
    if not weights.over_labels:
        age = torch.where(targets.age_mask, age.clamp(targets.age_low, targets.age_high), age)
    loss = weights.age * interval_distance(out.age, age, age).mean()
    loss = loss + weights.gender * F.binary_cross_entropy_with_logits(out.gender, taught.male)
    if out.emotion is not None:
        kl = divergence(out.emotion, taught.emotion)
        if weights.over_labels:
            emotion = kl.mean()
        else:
            emotion = masked_mean(kl, ~targets.emotion_mask, unlabelled)
        loss = loss + weights.emotion * emotion
    return loss


def _begin_with(weights: Sequence[Path], model: MultiTaskNet, name: str) -> bool:
    """Load the mean of the checkpoints (a soup: Wortsman et al. 2022), or the published weights of
    the family; whether the heads came too."""
    load_public = get_spec(name).load_public
    if load_public is not None and len(weights) == 1 and not is_checkpoint(weights[0]):
        load_public(model, weights[0])
        return False
    states = []
    for path in weights:
        checkpoint = load_checkpoint(path)
        if checkpoint.name != name:
            raise CheckpointError(
                f"{path} holds a network of the family {checkpoint.name!r}; the recipe trains "
                f"{name!r}."
            )
        states.append(checkpoint.model.state_dict())
    mean = {
        key: torch.stack([state[key].float() for state in states]).mean(dim=0) for key in states[0]
    }
    model.load_state_dict(mean)  # batch counters become whole numbers again
    return True


@torch.no_grad()
def _start_ages(model: MultiTaskNet, targets: Targets, unit: float) -> None:
    """Begin at the mean age, and with weights for outputs that spread over tens of years: in
    steps that suit a logit, the climb from 0 years would take epochs."""
    model.age[-1].weight.mul_(unit)  # type: ignore[index]
    known = targets.age_mask & (targets.age_low == targets.age_high)
    if known.any():
        model.age[-1].bias.fill_(float(targets.age_low[known].mean()))  # type: ignore[index]


def _input_spec(config: TrainConfig, size: int) -> InputSpec:
    base = get_spec(config.model).input
    return InputSpec(size, base.mean, base.std, config.framing)


def _commit() -> str | None:
    """The commit of this code, with ``+`` if it was changed since; None outside a repository."""
    here = Path(__file__).parent
    try:
        commit, changes = (
            subprocess.run(
                ["git", *command], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", "."])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + "+" * bool(changes)


def use_bfloat16(config: TrainConfig, device: torch.device) -> bool:
    if config.precision != "auto":
        return config.precision == "bfloat16"
    return has_bfloat16(device)


def _write_history(path: Path, history: History) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text, fieldnames=list(dict.fromkeys(k for line in history for k in line))
    )
    writer.writeheader()
    writer.writerows(history)
    write_atomically(path, text.getvalue().encode())
