"""What each setting of a training run may be, and what it is for: checked by the configuration, and
listed by ``--help``."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.training.values import hints


@dataclass(frozen=True, slots=True)
class Setting:
    """``within`` is an interval, such as ``[0, 1)``, for every number of the setting; empty where
    it holds none."""

    purpose: str
    within: str = ""

    @property
    def words(self) -> str:
        """The interval as a person says it.

        >>> Setting("", "[0, 1)").words, Setting("", "(0, inf)").words
        ('from 0 to below 1', 'above 0')
        """
        if not self.within:
            return ""
        low, high = self.within[1:-1].split(", ")
        if high == "inf":
            return f"{low} or more" if self.within[0] == "[" else f"above {low}"
        first = f"from {low}" if self.within[0] == "[" else f"above {low}"
        return f"{first} to {high}" if self.within[-1] == "]" else f"{first} to below {high}"

    def holds(self, value: float) -> bool:
        """Whether a number is finite and in the interval."""
        low, high = map(float, self.within[1:-1].split(", "))
        above = value >= low if self.within[0] == "[" else value > low
        below = value <= high if self.within[-1] == "]" else value < high
        return above and below and math.isfinite(value)


SETTINGS: Mapping[str, Setting] = {
    "model": Setting("the network; agegenderemo models lists them"),
    "model_options": Setting("options of its family"),
    "tasks": Setting("names of tasks, or whole descriptions of them"),
    "epoch_fractions": Setting("part of each set that an epoch draws", "[0, 1000]"),
    "match_largest": Setting("draw small sets again until they match the largest"),
    "balance": Setting("power by which a task's rare labels are drawn more often", "[0, 1]"),
    "race_weights": Setting("how many times as often a race label is drawn", "[0, 100]"),
    "template": Setting("alignment template of the crops"),
    "drop_copies": Setting("leave out training images that a later split holds too"),
    "stages": Setting("a list of [size, epochs], 32 to 1024 pixels and 1 epoch or more each"),
    "stages.size": Setting("side of the input in pixels", "[32, 1024]"),
    "stages.epochs": Setting("epochs at that size", "[1, 10000]"),
    "batch": Setting("faces in a batch, over all processes", "[2, 65536]"),
    "begin_part": Setting("what is taken of the first weights: all of the network or its backbone"),
    "freeze_backbone": Setting("train neck and heads alone; batch norm of the backbone rests too"),
    "optimiser": Setting("what moves the weights"),
    "momentum": Setting("that of sgd", "[0, 1)"),
    "learning_rate": Setting("the highest of the schedule", "[0, inf)"),
    "start_at_mean": Setting("begin regressions at the mean of their labels"),
    "regression_unit": Setting("how much faster regressions' outputs learn", "[0.001, 1000]"),
    "weight_decay": Setting("how strongly weights are pulled to zero", "[0, 10]"),
    "schedule": Setting("how the learning rate falls"),
    "warmup": Setting("part of all steps over which it rises first", "[0, 1]"),
    "plateau_factor": Setting("what it is multiplied by where validation stands still", "(0, 1)"),
    "plateau_patience": Setting("epochs before that", "[0, 10000]"),
    "early_stopping": Setting("epochs without a better validation loss; 0: never", "[0, 10000]"),
    "keep": Setting("weights of the last epoch, or of the best in validation"),
    "clip": Setting("largest norm of all gradients together", "(0, inf)"),
    "ema": Setting("decay of the average of the weights, which is kept; 0: none", "[0, 1)"),
    "sync_batch_norm": Setting("batch statistics over all processes"),
    "dropout_scale": Setting("multiplies every dropout rate of the design", "[0, 2)"),
    "loss_weights": Setting("weight of a task's labels; 0 leaves them out", "[0, 1000000]"),
    "regression_loss": Setting("absolute or squared error of a regression"),
    "distillation.tasks": Setting("weight of what teachers say of a task", "[0, 1000000]"),
    "distillation.features": Setting("weight of the public network's features", "[0, 1000000]"),
    "distillation.distil_labelled_faces": Setting("teachers speak where there is a label too"),
    "distillation.skip_unweighted": Setting("not of tasks whose loss weight is 0"),
    "online_distillation": Setting("checkpoints read every changed face at every step"),
    "probe_start": Setting("where a regression of the probe begins, and its spread"),
    "augmentation.rotation": Setting("degrees", "[0, 180]"),
    "augmentation.zoom": Setting("factor off one", "[0, 0.9]"),
    "augmentation.shift": Setting("part of the side", "[0, 1]"),
    "augmentation.brightness": Setting("factor off one", "[0, 1]"),
    "augmentation.contrast": Setting("factor off one", "[0, 1]"),
    "augmentation.saturation": Setting("factor off one", "[0, 1]"),
    "augmentation.hue": Setting("turns of the colour circle", "[0, 1]"),
    "augmentation.grey": Setting("probability", "[0, 1]"),
    "augmentation.blur": Setting("probability", "[0, 1]"),
    "augmentation.erase": Setting("probability of a grey rectangle", "[0, 1]"),
    "augmentation.erase_size": Setting("its largest side, part of the face's", "[0, 1]"),
    "augmentation.noise": Setting("probability", "[0, 1]"),
    "augmentation.mixup": Setting("probability that another face shows through", "[0, 1]"),
    "precision": Setting("what the network calculates in"),
    "seed": Setting("what all chance follows from", "[0, 2147483647]"),
}
"""By the name that ``--set`` takes."""


def check_ranges(record: Any, before: str = "") -> None:
    """Raises AgeGenderEmoError for the first number of a record that is out of its range."""
    for name in hints(type(record)):
        value, full = getattr(record, name), f"{before}{name}"
        if is_dataclass(value):
            check_ranges(value, f"{full}.")
            continue
        for part in value if isinstance(value, tuple) else ():
            if is_dataclass(part):
                check_ranges(part, f"{full}.")
        setting = SETTINGS[full]
        for label, number in _numbers(full, value) if setting.within else ():
            if not setting.holds(number):
                raise AgeGenderEmoError(f"{label} must be {setting.words}, not {number}.")


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """The numbers of a setting, each with its name."""
    if isinstance(value, dict):
        yield from ((f"{name}.{key}", own) for key, own in value.items())
    else:
        yield name, value
