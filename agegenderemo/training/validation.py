"""The loss and figures of a network over held-out faces, in the middle of its training."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.targets import concatenate, make_targets
from agegenderemo.evaluation.evaluate import Measurement
from agegenderemo.evaluation.predict import TorchPredictor
from agegenderemo.report import flat
from agegenderemo.training.config import TrainConfig
from agegenderemo.training.distributed import DistributedContext
from agegenderemo.training.losses import LossSettings, multitask_loss

_BATCH = 128

HeldOut = tuple[PreparedSet, NDArray[np.int64]]
"""A set, and the rows of it that are held out."""


def held_out_rows(sets: Sequence[PreparedSet], config: TrainConfig) -> list[HeldOut]:
    """The validation rows of those sets that have such."""
    rows = [(one, one.rows("val", copies=not config.drop_copies)) for one in sets]
    return [(one, own) for one, own in rows if len(own)]


def validate(
    predictor: TorchPredictor,
    held_out: Sequence[HeldOut],
    settings: LossSettings,
    context: DistributedContext,
) -> dict[str, float]:
    """The columns of the history that are about held-out faces: ``val_total``, ``val_TASK``,
    figures over all of them (``val_TASK_KEY``), and of each set (``SET_TASK_KEY``) where there are
    several.

    Faces are read without their mirror image: half the work. The loss is that of the raw outputs.
    """
    if not held_out:
        return {}
    line: dict[str, float] = {}
    every, raws, targets = Measurement(predictor.tasks), [], []
    for one, rows in held_out:
        raw = _raw_of_all(predictor, one, rows, context)
        samples = [one.samples[row] for row in rows]
        predictions = predictor.decode([raw])
        raws.append(raw)
        targets.append(make_targets(samples, one.tasks, predictor.tasks))
        every.add(samples, one.tasks, predictions)
        if len(held_out) > 1:
            own = Measurement(predictor.tasks)
            own.add(samples, one.tasks, predictions)
            line |= flat(own.figures(), one.name)
    whole = {name: torch.cat([raw[name] for raw in raws]) for name in raws[0]}
    losses = multitask_loss(whole, concatenate(targets), settings)
    line["val_total"] = float(losses.total)
    line |= {f"val_{name}": float(value) for name, value in losses.tasks.items()}
    return line | flat(every.figures(), "val")


def _raw_of_all(
    predictor: TorchPredictor,
    one: PreparedSet,
    rows: NDArray[np.int64],
    context: DistributedContext,
) -> dict[str, Tensor]:
    """Raw outputs for the rows in their order; the processes share the work."""
    own = rows[context.rank :: context.size]
    parts = [
        predictor.raw(one.crops[own[start : start + _BATCH]])
        for start in range(0, len(own), _BATCH)
    ]
    mine = {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}
    gathered = context.gather(mine)
    if context.size == 1:
        return mine
    first = gathered[0]
    whole = {name: own.new_empty((len(rows), *own.shape[1:])) for name, own in first.items()}
    for rank, given in enumerate(gathered):
        for name, value in given.items():
            whole[name][rank :: context.size] = value
    return whole
