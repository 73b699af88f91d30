"""Trains a network on several prepared sets at once; a killed run resumes to the same weights.

The folder of a run holds the weights and their graph, the history, the settings, and the state
after the last epoch; and once it is over, a mark that says so.
"""

import ctypes
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from agegenderemo.data.sampler import TrainingSet
from agegenderemo.errors import AgeGenderEmoError, CheckpointError, DatasetError
from agegenderemo.evaluation.predict import TorchPredictor
from agegenderemo.export.onnx import write_checkpoint
from agegenderemo.model_info import ModelInfo
from agegenderemo.models.checkpoint import load_state, save_state
from agegenderemo.models.registry import folded, get_spec
from agegenderemo.training import console, folder, provenance
from agegenderemo.training.config import Stage, TrainConfig
from agegenderemo.training.distillation import build_distillation
from agegenderemo.training.distributed import DistributedContext
from agegenderemo.training.folder import FINISHED, HISTORY, STATE, WEIGHTS, History
from agegenderemo.training.held_out import describe, with_validation
from agegenderemo.training.race_labels import check_race_weights
from agegenderemo.training.settings import CONTINUED, check_same, open_sets, run_settings
from agegenderemo.training.start import check_model
from agegenderemo.training.taught import only_taught, taught_tasks
from agegenderemo.training.teachers import load_teachers
from agegenderemo.training.trainer import Trainer
from agegenderemo.training.validation import held_out_rows, validate
from agegenderemo.types import InputSpec

__all__ = ["FINISHED", "HISTORY", "STATE", "WEIGHTS", "History", "Watch", "fit", "is_over"]

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
    more: int = 0,
    stop_after: int | None = None,
    context: DistributedContext = DistributedContext(),  # noqa: B008  frozen
    watch: Watch | None = None,
    say: console.Say = console.quiet,
    origin: Mapping[str, Any] | None = None,
) -> Path:
    """Train and return the path of the weights that the recipe keeps.

    ``prepared`` holds one folder a set. The network begins with ``weights``, if given: a
    checkpoint, the mean of several, or the published weights of its family; ``teachers`` are
    checkpoints, and the weights of the public face network. After every epoch ``out`` has the
    weights with their graph, the history and a state; with ``resume`` the run continues from the
    state, and its weights end up the same, bit for bit, as if it had not stopped, on the same
    machine with as many threads. ``more`` epochs are added to a run that is over. ``stop_after``
    ends the run early, for tests of just that. ``say`` shows texts, ``origin`` goes into the
    provenance of the checkpoint.

    A task that no face has a label of and no teacher speaks of is left out of the network. A set
    without a validation split gets one out of its training faces.

    Raises DatasetError for missing crops, and CheckpointError for a folder that holds another run,
    for a state of another recipe, or weights of another network.
    """
    _keep_memory()
    torch.set_flush_denormal(True)  # Adam's moments decay into numbers that CPUs are slow at
    if config.batch % context.size:
        raise AgeGenderEmoError(
            f"batch={config.batch} does not divide among {context.size} processes."
        )
    if config.batch < 2 * context.size:  # batch norm has no spread of one face
        raise AgeGenderEmoError(
            f"batch={config.batch} is one face a process; it must be 2 or more for each."
        )
    check_model(config)
    if config.freeze_backbone and not weights:
        raise AgeGenderEmoError(
            "freeze_backbone wants weights to begin with: a fresh backbone knows nothing of faces."
        )
    sets = open_sets(config, prepared)
    check_race_weights(config, sets)
    settings = run_settings(config, sets, weights, teachers, context.size)
    # One process reads and writes the folder: other machines may not see this disk.
    state, settings[CONTINUED] = context.broadcast(
        _begun(out, config, settings, resume, more) if context.is_main else ({}, [])
    )
    config = _extended(config, settings[CONTINUED])
    sets, made = with_validation(sets, config)
    if made:
        say(describe(made))
    held_out = held_out_rows(sets, config)
    if not held_out and (config.keep == "best" or config.schedule == "plateau"):
        raise DatasetError("The recipe steers by a validation loss, but no set has such samples.")
    team = load_teachers(teachers, config.specs, config.template)
    training = _training_set(config, sets)
    config, dropped = _without_untaught(config, training, team)
    if dropped:
        say(f"Left out, for nothing says anything of them: {', '.join(dropped)}.")
        training = _training_set(config, sets)
    distillation = build_distillation(config, training, prepared, team, context)
    trainer = Trainer(config, training, context, weights, distillation)
    history: History = []
    machines = [provenance.machine(context.device)]
    if state:
        trainer.restore(state["trainer"])
        history = state["history"]
        before = state.get("machines", [])
        warning = provenance.other_machine(before, machines[0])
        if warning:
            say(warning)
        machines = before + [one for one in machines if one not in before[-1:]]
    if len(history) < config.epochs:
        say(console.start_text(trainer, sets, machines[-1]))
    if history:
        say(f"{out} goes on after epoch {len(history)} of {config.epochs}.")

    known = {
        **(origin or {}),
        "training_faces": training.counts(),
        "held_out_of_training": made,
        "commit": provenance.commit(),
        "data": settings["data"],
        "begin_with": provenance.sources(weights, settings["begin_with"]),
        "teachers": provenance.sources(teachers, settings["teachers"]),
        "processes": context.size,
        "machines": machines,
        "untaught": dropped,
        CONTINUED: settings[CONTINUED],
    }
    end = min(config.epochs, stop_after or config.epochs)
    for epoch in range(len(history), end):
        if is_over(config, history, settings[CONTINUED]):
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
        if config.keep == "last" or folder.best_epoch(history) == len(history) - 1:
            model, options = folded(trainer.average, config.model, config.model_options)
            info = ModelInfo(
                config.model,
                config.specs,
                spec,
                options=options,
                recipe=config.to_dict(),
                provenance=known | {"epoch": epoch + 1, "epochs": config.epochs},
            )
            write_checkpoint(out / WEIGHTS, model, info)
        folder.write_history(out, history)
        # The state last: what it says is done has been written.
        save_state(
            out / STATE,
            {
                "settings": settings,
                "history": history,
                "machines": machines,
                "trainer": trainer.state(),
            },
        )
        say(console.epoch_line(history, config, config.specs))
        if watch:
            watch(history, False)
    if context.is_main and is_over(config, history, settings[CONTINUED]):
        folder.finish(out)
    if watch and context.is_main and history:
        watch(history, True)
    context.barrier()  # until the files are written
    return out / WEIGHTS


def is_over(config: TrainConfig, history: History, continued: Sequence[Sequence[int]] = ()) -> bool:
    """Whether there is no further epoch."""
    if len(history) >= config.epochs:
        return True
    if not config.early_stopping or not history:
        return False
    # A run that was made longer has its patience anew.
    since = continued[-1][0] - 1 if continued else 0
    return len(history) - 1 - max(folder.best_epoch(history), since) >= config.early_stopping


def _begun(
    out: Path, config: TrainConfig, settings: Mapping[str, Any], resume: bool, more: int
) -> tuple[dict[str, Any], list[list[int]]]:
    """The state that a run goes on from, empty for a new one, and how often it was made longer;
    the settings are in the folder then."""
    if not (resume or more):
        folder.check_free(out, settings)
        folder.write_settings(out, {**settings, CONTINUED: []})
        return {}, []
    state = load_state(out / STATE)
    check_same(out, state["settings"], settings)
    # The folder's own word: a kill may lie between it and the first state of a longer run.
    continued = list((folder.recorded(out) or state["settings"]).get(CONTINUED, []))
    if not more:
        return state, continued
    history = state["history"]
    if is_over(_extended(config, continued), history, continued):
        continued.append([len(history), more])
        folder.write_settings(out, {**settings, CONTINUED: continued})
    elif not continued or continued[-1][1] != more:
        raise CheckpointError(
            f"The run in {out} is not over yet, so it cannot be made longer; finish it first, by "
            "the same command without --continue."
        )
    return state, continued


def _extended(config: TrainConfig, continued: Sequence[Sequence[int]]) -> TrainConfig:
    """The configuration of a run that was made longer: its last stage lasts until the new end."""
    if not continued:
        return config
    epochs, stages = sum(continued[-1]), list[Stage]()
    for stage in config.stages:
        left = epochs - sum(one.epochs for one in stages)
        if left > 0:
            stages.append(replace(stage, epochs=min(left, stage.epochs)))
    left = epochs - sum(one.epochs for one in stages)
    stages[-1] = replace(stages[-1], epochs=stages[-1].epochs + left)
    return replace(config, stages=tuple(stages))


def _training_set(config: TrainConfig, sets: Sequence[Any]) -> TrainingSet:
    own = {spec.name for spec in config.specs}
    return TrainingSet.build(
        sets,
        config.specs,
        balance={name: power for name, power in config.balance.items() if name in own},
        race_weights=config.race_weights,
        drop_copies=config.drop_copies,
    )


def _without_untaught(
    config: TrainConfig, training: TrainingSet, team: Any
) -> tuple[TrainConfig, list[str]]:
    """The configuration without the tasks that nothing is known of, and their names."""
    taught = taught_tasks(config, training, team)
    dropped = [spec.name for spec in config.specs if spec not in taught]
    return (only_taught(config, taught) if dropped else config), dropped


def _keep_memory() -> None:
    """Let glibc keep what a step frees. It gives large blocks back to the system, and getting them
    anew, cleaned, took up to a third of the time."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other libraries have none
        if mallopt:
            mallopt(-4, 0)  # M_MMAP_MAX: no block of its own mapping
            mallopt(-1, -1)  # M_TRIM_THRESHOLD: never trim


def _input_spec(config: TrainConfig, size: int) -> InputSpec:
    base = get_spec(config.model).input
    return InputSpec(size, base.mean, base.std, config.template)
