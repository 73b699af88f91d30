"""A network of some thousand parameters that importing this registers as ``tiny``, and the sets of
tasks that every family must bear."""

from collections.abc import Sequence

from torch import nn

from agegenderemo.models import MultiTaskNet, register
from agegenderemo.models.heads import multitask
from agegenderemo.tasks import AGE, DEFAULT_TASKS, EMOTION6, TaskSpec
from agegenderemo.types import InputSpec

GLASSES = TaskSpec("glasses", "binary", ("without", "with"))
"""A task that nobody knows."""

TASK_SETS: dict[str, tuple[TaskSpec, ...]] = {
    "default": DEFAULT_TASKS,
    "age": (AGE,),
    "glasses and six emotions": (GLASSES, EMOTION6),
}


class TinyBackbone(nn.Sequential):
    """N×3×H×W to N×16."""

    num_features = 16

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 5, stride=4, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


@register("tiny", InputSpec(32))
def tiny(tasks: Sequence[TaskSpec], *, dropout_scale: float = 1.0) -> MultiTaskNet:
    """Small, but with all that a family has."""
    return multitask(
        TinyBackbone(),
        tasks,
        neck=(8,),
        neck_dropouts=(0.1,),
        hidden=8,
        head_dropouts={"categorical": 0.1},
        dropout_scale=dropout_scale,
    )
