"""Runs the steps of a recipe, each in its own folder: finished ones are skipped, the one that was
stopped goes on where it was, and one that was run otherwise is refused."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from agegenderemo.errors import AgeGenderEmoError, CheckpointError
from agegenderemo.resources import default_checkpoint
from agegenderemo.training.console import Say, quiet
from agegenderemo.training.distributed import DistributedContext
from agegenderemo.training.fit import Watch, fit
from agegenderemo.training.folder import STATE, WEIGHTS, clear, is_finished, only_run, recorded
from agegenderemo.training.recipes import FACE_DESCRIPTOR, SHIPPED_NETWORK, Recipe, Step
from agegenderemo.training.settings import open_sets, run_settings, settings_digest
from agegenderemo.training.start import check_model

_DIGITS = 8  # of a digest, in the name of a folder

WatchStep = Callable[[Step, Path], Watch]
"""Of a step and its folder: what is called after every epoch of it."""


@dataclass(frozen=True, slots=True)
class Again:
    """What to do with a folder that is not fresh. By itself a run of the very same settings, data
    and files goes on, or is left alone where it is finished, and any other is refused.

    ``resume`` wants one that was begun; ``overwrite`` removes it first; ``more`` adds epochs to the
    last step of one that is finished.
    """

    resume: bool = False
    overwrite: bool = False
    more: int = 0

    def __post_init__(self) -> None:
        if self.overwrite and (self.resume or self.more):
            raise AgeGenderEmoError("--overwrite begins anew, so nothing can be gone on with.")
        if self.more < 0:
            raise AgeGenderEmoError(f"--continue wants one epoch or more, not {self.more}.")


AS_IT_IS = Again()


def run(
    recipe: Recipe,
    prepared: Path,
    out: Path,
    *,
    face_descriptor: Path | None = None,
    weights: Path | None = None,
    context: DistributedContext = DistributedContext(),  # noqa: B008  frozen
    watch: WatchStep | None = None,
    again: Again = AS_IT_IS,
    say: Say = quiet,
) -> Path:
    """Train every step that is not finished, and return the path of the last one's weights.

    ``face_descriptor`` is the file of the public face network; ``weights`` are a checkpoint, or
    published weights of its family, for a first step that begins with nothing. The folder of a
    step is ``out`` itself where it is the only one, else the folder of its name in it. ``say``
    shows what is going on.

    Raises CheckpointError for a step that was trained with other settings, data, first weights or
    teachers or by another number of processes, where the public network is wanted and not given,
    and while another process trains in ``out``; AgeGenderEmoError for a file that the recipe has no
    use for, and an unknown network.
    """
    for step in recipe.steps:
        check_model(step.config)
    if recipe.wants_face_descriptor and face_descriptor is None:
        raise CheckpointError(
            f"The recipe {recipe.name!r} learns from the public face network; give its weights "
            "with --teacher (docs/training.md says where they come from), or take the recipe "
            "'quick', which has no teacher."
        )
    if face_descriptor is not None and not recipe.wants_face_descriptor:
        raise AgeGenderEmoError(f"The recipe {recipe.name!r} has no teacher; leave out --teacher.")
    if weights is not None and recipe.steps[0].begin_with:
        raise AgeGenderEmoError(
            f"The recipe {recipe.name!r} begins with weights of its own; leave out --weights."
        )
    folders = {step.name: step_folder(recipe, step, out) for step in recipe.steps}
    if again.resume and context.is_main and not any(map(recorded, folders.values())):
        raise CheckpointError(f"{out} holds no run of {recipe.name!r} to resume.")
    files: dict[str, Path] = {SHIPPED_NETWORK: default_checkpoint()}
    if face_descriptor is not None:
        files[FACE_DESCRIPTOR] = face_descriptor
    # Whoever writes is alone; the other processes wait for the first one.
    with only_run(out) if context.is_main else nullcontext():
        if again.overwrite and context.is_main:
            for folder in folders.values():
                clear(folder)
        context.barrier()
        for index, step in enumerate(recipe.steps):
            begin_with = [files[name] for name in step.begin_with]
            if weights is not None and index == 0:
                begin_with = [weights]
            own_say = say if context.is_main else quiet
            if len(recipe.steps) > 1:
                own_say(f"Step {index + 1} of {len(recipe.steps)}: {step.name}")
            run_step = _StepRun(
                recipe, step, prepared, folders[step.name], begin_with,
                [files[name] for name in step.teachers], context, own_say,
            )  # fmt: skip
            last = index == len(recipe.steps) - 1
            files[step.name] = run_step.path(again.more if last else 0, watch)
    return files[recipe.steps[-1].name]


def folder_name(plain: Recipe, recipe: Recipe) -> str:
    """The folder in ``runs`` of a recipe, of its own where settings of ``plain`` were changed:
    experiments do not meet."""
    if recipe == plain:
        return recipe.name
    settings = [step.config.to_dict() for step in recipe.steps]
    return f"{recipe.name}-{settings_digest({'steps': settings})[:_DIGITS]}"


def step_folder(recipe: Recipe, step: Step, out: Path) -> Path:
    """Where a step is run."""
    return out if len(recipe.steps) == 1 else out / step.name


@dataclass(frozen=True)
class _StepRun:
    recipe: Recipe
    step: Step
    prepared: Path
    folder: Path
    begin_with: Sequence[Path]
    teachers: Sequence[Path]
    context: DistributedContext
    say: Say

    def path(self, more: int, watch: WatchStep | None) -> Path:
        """The weights of the step, trained as far as they are not."""
        context, folder, config = self.context, self.folder, self.step.config
        finished = resume = False
        if context.is_main:  # other machines may not see this disk
            # The sets are not held: their maps would count twice as memory, beside those of fit.
            sets = open_sets(config, self.prepared)
            settings = run_settings(config, sets, self.begin_with, self.teachers, context.size)
            del sets
            finished = is_finished(folder, settings)
            resume = (folder / STATE).is_file()
        finished, resume = context.broadcast((finished, resume))
        if finished and not more:
            self.say(f"{folder / WEIGHTS} is finished already, and stays as it is.")
            return folder / WEIGHTS
        return fit(
            config,
            self.prepared,
            folder,
            teachers=self.teachers,
            weights=self.begin_with,
            resume=resume,
            more=more,
            context=context,
            watch=watch(self.step, folder) if watch and context.is_main else None,
            say=self.say,
            origin=origin(self.recipe, self.step),
        )


def origin(recipe: Recipe, step: Step) -> Mapping[str, object]:
    """Which step of which recipe made a checkpoint, and what all of them are."""
    return {
        "recipe": recipe.name,
        "step": step.name,
        "steps": [
            {
                "name": one.name,
                "begin_with": list(one.begin_with),
                "teachers": list(one.teachers),
                "epochs": one.config.epochs,
            }
            for one in recipe.steps
        ],
    }
