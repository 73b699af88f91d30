"""Trains a network on several prepared sets at once; a killed run resumes to the same weights.

The folder of a run holds the weights and their graph, the history, the settings, and the state
after the last epoch; and once it is over, a mark that says so.
"""

import csv
import ctypes
import io
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from agegenderemo.data.sampler import TrainingSet
from agegenderemo.errors import AgeGenderEmoError, CheckpointError, DatasetError
from agegenderemo.evaluation.predict import TorchPredictor
from agegenderemo.export.onnx import write_checkpoint
from agegenderemo.files import write_atomically
from agegenderemo.model_info import ModelInfo
from agegenderemo.models.checkpoint import load_state, save_state
from agegenderemo.models.registry import folded, get_spec
from agegenderemo.training.config import TrainConfig
from agegenderemo.training.distillation import build_distillation
from agegenderemo.training.distributed import DistributedContext
from agegenderemo.training.settings import (
    DIGESTS,
    check_same,
    open_sets,
    run_settings,
    settings_digest,
)
from agegenderemo.training.trainer import Trainer
from agegenderemo.training.validation import held_out_rows, validate
from agegenderemo.types import InputSpec

STATE = "state.pt"
WEIGHTS = "model.safetensors"
HISTORY = "history.csv"
CONFIG = "config.json"
FINISHED = "finished.json"

History = list[dict[str, Any]]
"""A line an epoch, oldest first: the columns of ``history.csv``."""

Watch = Callable[[History, bool], None]
"""Called after every epoch with the history and whether the run is over, on the main process."""


def fit(
    config: TrainConfig,
    prepared: Path,
    out: Path,
    *,
    teachers: Sequence[Path] = (),
    weights: Sequence[Path] = (),
    resume: bool = False,
    stop_after: int | None = None,
    context: DistributedContext = DistributedContext(),  # noqa: B008  frozen
    watch: Watch | None = None,
) -> Path:
    """Train and return the path of the weights that the recipe keeps.

    ``prepared`` holds one folder a set. The network begins with ``weights``, if given: a
    checkpoint, the mean of several, or the published weights of its family; ``teachers`` are
    checkpoints, and the weights of the public face network. After every epoch ``out`` has the
    weights with their graph, the history and a state; with ``resume`` the run continues from the
    state, and its weights end up the same, bit for bit, as if it had not stopped. ``stop_after``
    ends the run early, for tests of just that.

    Raises DatasetError for missing crops, and CheckpointError for a state of another recipe or
    weights of another network.
    """
    _keep_memory()
    torch.set_flush_denormal(True)  # Adam's moments decay into numbers that CPUs are slow at
    if config.batch % context.size:
        raise AgeGenderEmoError(
            f"batch={config.batch} does not divide among {context.size} processes."
        )
    sets = open_sets(config, prepared)
    settings = run_settings(config, sets, weights, teachers)
    held_out = held_out_rows(sets, config)
    if not held_out and (config.keep == "best" or config.schedule == "plateau"):
        raise DatasetError("The recipe steers by a validation loss, but no set has such samples.")
    state: dict[str, Any] = {}
    if resume:
        # One process reads it: other machines may not see this disk.
        state = context.broadcast(load_state(out / STATE) if context.is_main else {})
        check_same(out, state["settings"], settings)
    training = TrainingSet.build(
        sets,
        config.specs,
        balance={name: p for name, p in config.balance.items() if _is_own(name, config)},
        race_weights=config.race_weights,
        drop_copies=config.drop_copies,
    )
    distillation = build_distillation(config, training, prepared, teachers, context)
    trainer = Trainer(config, training, context, weights, distillation)
    history: History = []
    if state:
        trainer.restore(state["trainer"])
        history = state["history"]
    elif context.is_main:
        (out / FINISHED).unlink(missing_ok=True)
        write_atomically(out / CONFIG, json.dumps(settings, indent=1).encode())

    provenance = {
        "training_faces": training.counts(),
        "commit": _commit(),
        **{key: settings[key] for key in DIGESTS},
    }
    for epoch in range(len(history), min(config.epochs, stop_after or config.epochs)):
        if is_over(config, history):
            break
        began = time.monotonic()
        spec = _input_spec(config, config.size_at(epoch))
        line: dict[str, Any] = {"epoch": epoch + 1, "size": spec.size, "rate": trainer.rate(epoch)}
        line |= trainer.train_epoch(epoch, spec)
        context.broadcast_buffers(trainer.average.buffers())
        predictor = TorchPredictor(trainer.average, spec)
        line |= validate(predictor, held_out, trainer.losses, context)
        line["seconds"] = round(time.monotonic() - began, 1)
        history.append(line)
        trainer.end_epoch(line.get("val_total"))
        if not context.is_main:
            continue
        if config.keep == "last" or _best(history) == len(history) - 1:
            model, options = folded(trainer.average, config.model, config.model_options)
            info = ModelInfo(
                config.model,
                config.specs,
                spec,
                options=options,
                recipe=config.to_dict(),
                provenance=provenance,
            )
            write_checkpoint(out / WEIGHTS, model, info)
        write_history(out / HISTORY, history)
        # The state last: what it says is done has been written.
        save_state(
            out / STATE, {"settings": settings, "history": history, "trainer": trainer.state()}
        )
        if watch:
            watch(history, False)
    if context.is_main and is_over(config, history):
        _finish(out, settings)
    if watch and context.is_main and history:
        watch(history, True)
    context.barrier()  # until the files are written
    return out / WEIGHTS


def is_over(config: TrainConfig, history: History) -> bool:
    """Whether there is no further epoch."""
    if len(history) >= config.epochs:
        return True
    if not config.early_stopping or not history:
        return False
    return len(history) - 1 - _best(history) >= config.early_stopping


def is_finished(out: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a run with these settings is over in the folder and has left its weights.

    Raises CheckpointError where a run of other settings is.
    """
    try:
        mark = json.loads((out / FINISHED).read_text(encoding="utf-8"))
        before = json.loads((out / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    check_same(out, before, settings)
    return bool(mark == settings_digest(settings)) and (out / WEIGHTS).is_file()


def _finish(out: Path, settings: Mapping[str, Any]) -> None:
    if not (out / WEIGHTS).is_file():
        raise CheckpointError(
            f"The run in {out} is over, but its {WEIGHTS} is gone; remove the folder to train anew."
        )
    write_atomically(out / FINISHED, json.dumps(settings_digest(settings)).encode())


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


def _is_own(name: str, config: TrainConfig) -> bool:
    return name in {spec.name for spec in config.specs}


def _input_spec(config: TrainConfig, size: int) -> InputSpec:
    base = get_spec(config.model).input
    return InputSpec(size, base.mean, base.std, config.template)


def _commit() -> str | None:
    """The commit of this code, with ``+`` if it was changed since; None outside a repository."""
    here = Path(__file__).parent
    try:
        commit, changes = (
            subprocess.run(
                ["git", *command], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", ".."])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + "+" * bool(changes)


def write_history(path: Path, history: History) -> None:
    """A line an epoch, and a column for everything that any line has."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text, fieldnames=list(dict.fromkeys(k for line in history for k in line))
    )
    writer.writeheader()
    writer.writerows(history)
    write_atomically(path, text.getvalue().encode())
