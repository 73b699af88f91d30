"""Which tasks of a network anything is known of in a run: the others must not pass for trained."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from agegenderemo.data.sampler import TrainingSet
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import TaskSpec
from agegenderemo.training.config import TrainConfig
from agegenderemo.training.soft_targets import shared_tasks
from agegenderemo.training.teachers import Teachers


def taught_tasks(
    config: TrainConfig, training: TrainingSet, teachers: Teachers
) -> tuple[TaskSpec, ...]:
    """The tasks that training faces which are drawn have labels of, and those that a teacher
    speaks of; one whose weight is 0 is not learnt that way."""
    drawn = [i for i, s in enumerate(training.sets) if config.epoch_fractions[s.name]]
    faces = torch.from_numpy(training.set_index)
    here = torch.isin(faces, torch.tensor(drawn))
    distilled = config.distilled_weights
    by_teachers = {
        own.name
        for checkpoint in teachers.checkpoints
        for _, own in shared_tasks(checkpoint.info.tasks, config.specs)
    }
    found = []
    for spec in config.specs:
        labelled = bool((training.targets[spec.name].mask & here).any())
        by_labels = labelled and config.loss_weights.get(spec.name, 1.0) > 0
        # What the public network shows of a task is learnt from the labels.
        said = spec.name in by_teachers or (labelled and teachers.public is not None)
        if by_labels or (said and distilled.get(spec.name, 1.0) > 0):
            found.append(spec)
    return tuple(found)


def only_taught(config: TrainConfig, taught: Sequence[TaskSpec]) -> TrainConfig:
    """The configuration without the tasks that nothing is known of.

    Raises DatasetError where none is left.
    """
    if not taught:
        raise DatasetError(
            f"No training face has a label of {', '.join(s.name for s in config.specs)} that "
            "counts, and no teacher speaks of one; name other sets or tasks with --set."
        )
    kept = {spec.name for spec in taught}
    named = zip(config.tasks, config.specs, strict=True)
    return replace(config, tasks=tuple(entry for entry, spec in named if spec.name in kept))
