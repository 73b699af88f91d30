"""Runs the steps of a recipe, each in its own folder: finished ones are skipped, the one that was
stopped goes on where it was, and one that was run otherwise is refused."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agegenderemo.errors import AgeGenderEmoError, CheckpointError
from agegenderemo.resources import default_checkpoint
from agegenderemo.training.distributed import DistributedContext
from agegenderemo.training.fit import STATE, WEIGHTS, Watch, fit, is_finished
from agegenderemo.training.recipes import FACE_DESCRIPTOR, SHIPPED_NETWORK, Recipe, Step
from agegenderemo.training.settings import open_sets, run_settings

WatchStep = Callable[[Step, Path], Watch]
"""Of a step and its folder: what is called after every epoch of it."""


def run(
    recipe: Recipe,
    prepared: Path,
    out: Path,
    *,
    face_descriptor: Path | None = None,
    weights: Path | None = None,
    context: DistributedContext = DistributedContext(),  # noqa: B008  frozen
    watch: WatchStep | None = None,
) -> Path:
    """Train every step that is not finished, and return the path of the last one's weights.

    ``face_descriptor`` is the file of the public face network; ``weights`` are a checkpoint, or
    published weights of its family, for a first step that begins with nothing. The folder of a step
    is ``out`` itself where it is the only one, else the folder of its name in it.

    Raises CheckpointError for a step that was trained with other settings, data, first weights or
    teachers, and where the public network is wanted and not given; AgeGenderEmoError for a file
    that the recipe has no use for.
    """
    if recipe.wants_face_descriptor and face_descriptor is None:
        raise CheckpointError(
            f"The recipe {recipe.name!r} learns from the public face network; give its weights "
            "with --teacher."
        )
    if face_descriptor is not None and not recipe.wants_face_descriptor:
        raise AgeGenderEmoError(f"The recipe {recipe.name!r} has no teacher; leave out --teacher.")
    if weights is not None and recipe.steps[0].begin_with:
        raise AgeGenderEmoError(
            f"The recipe {recipe.name!r} begins with weights of its own; leave out --weights."
        )
    files: dict[str, Path] = {SHIPPED_NETWORK: default_checkpoint()}
    if face_descriptor is not None:
        files[FACE_DESCRIPTOR] = face_descriptor
    for step in recipe.steps:
        begin_with = _paths(files, step.begin_with)
        if weights is not None and step is recipe.steps[0]:
            begin_with = [weights]
        folder = step_folder(recipe, step, out)
        files[step.name] = _run_step(
            step, prepared, folder, begin_with, _paths(files, step.teachers), context, watch
        )
    return files[recipe.steps[-1].name]


def step_folder(recipe: Recipe, step: Step, out: Path) -> Path:
    """Where a step is run."""
    return out if len(recipe.steps) == 1 else out / step.name


def _paths(files: Mapping[str, Path], names: Sequence[str]) -> list[Path]:
    return [files[name] for name in names]


def _run_step(
    step: Step,
    prepared: Path,
    folder: Path,
    begin_with: Sequence[Path],
    teachers: Sequence[Path],
    context: DistributedContext,
    watch: WatchStep | None,
) -> Path:
    finished = resume = False
    if context.is_main:  # other machines may not see this disk
        sets = open_sets(step.config, prepared)
        settings = run_settings(step.config, sets, begin_with, teachers)
        finished = is_finished(folder, settings)
        resume = (folder / STATE).is_file()
    finished, resume = context.broadcast((finished, resume))
    if finished:
        return folder / WEIGHTS
    return fit(
        step.config,
        prepared,
        folder,
        teachers=teachers,
        weights=begin_with,
        resume=resume,
        context=context,
        watch=watch(step, folder) if watch and context.is_main else None,
    )
