"""Two networks that the pages have never heard of, with random weights, as files on disk."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tiny import GLASSES  # registers the family, too

from agegenderemo.export.onnx import write_checkpoint
from agegenderemo.model_info import ModelInfo
from agegenderemo.models import create_model
from agegenderemo.tasks import AGE, EMOTION6, TaskSpec
from agegenderemo.types import InputSpec

NETWORKS: dict[str, tuple[TaskSpec, ...]] = {
    "age and glasses": (AGE, GLASSES),
    "six emotions and age": (EMOTION6, AGE),
}


def write_network(path: Path, tasks: Sequence[TaskSpec]) -> Path:
    """A tiny uncalibrated network of these tasks, with its graph beside it."""
    torch.manual_seed(0)
    model = create_model("tiny", tuple(tasks)).eval()
    info = ModelInfo("tiny", tuple(tasks), InputSpec(32), provenance={"training_faces": {"fer": 7}})
    write_checkpoint(path, model, info)
    return path
