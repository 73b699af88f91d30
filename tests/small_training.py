"""What the tests of training share: a configuration for the smallest network, sets with pictures,
and weights of no use in the public face network's format."""

import csv
import dataclasses
from pathlib import Path
from typing import Any

import tiny  # noqa: F401  registers the network
import torch
from PIL import Image
from safetensors.torch import save_file
from synthetic import prepared_sets
from torch import nn

from agegenderemo.data.dataset import PreparedSet, sample_to_json
from agegenderemo.data.sampler import TrainingSet
from agegenderemo.data.samples import ImageRef
from agegenderemo.data.transforms import Augmentation
from agegenderemo.models.mobilenet_v1_face import MobileNetV1Face
from agegenderemo.training.config import DistillationWeights, Stage, TrainConfig
from agegenderemo.training.distributed import DistributedContext
from agegenderemo.training.trainer import Trainer

FRACTIONS = {"faces": 1.0, "moods": 1.0, "bands": 1.0}
OFF = Augmentation(*[0.0] * len(dataclasses.fields(Augmentation)))
LOSS_WEIGHTS = {"age": 0.1, "gender": 1.0, "emotion": 1.5}
TINY = TrainConfig(
    model="tiny",
    epoch_fractions=FRACTIONS,
    stages=(Stage(32, 2), Stage(40, 1)),
    batch=16,
    loss_weights=LOSS_WEIGHTS,
    distillation=DistillationWeights({"age": 0.04, "gender": 0.5, "emotion": 0.3}),
    augmentation=OFF,
    precision="float32",
)
ONE_EPOCH = dataclasses.replace(TINY, stages=(Stage(32, 1),))


def changed(config: TrainConfig, **changes: Any) -> TrainConfig:
    """The configuration with other values."""
    return dataclasses.replace(config, **changes)


def open_all(sets: Path) -> list[PreparedSet]:
    """The synthetic sets of a folder."""
    return [PreparedSet.open(sets / name) for name in FRACTIONS]


def trainer_of(config: TrainConfig, sets: Path) -> Trainer:
    """A trainer alone with the synthetic sets."""
    return Trainer(config, TrainingSet.build(open_all(sets), config.specs), DistributedContext())


def history_of(folder: Path) -> list[dict[str, str]]:
    """The lines of a run's history."""
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def sets_with_pictures(root: Path, count: int = 20) -> Path:
    """The synthetic sets, with the pictures that their samples name."""
    prepared_sets(root, count)
    for folder in sorted(root.iterdir()):
        prepared = PreparedSet.open(folder)
        lines = []
        for index, sample in enumerate(prepared.samples):
            Image.fromarray(prepared.crops[index]).save(folder / f"{index}.png")
            ref = ImageRef(folder, f"{index}.png")
            lines.append(sample_to_json(dataclasses.replace(sample, image=ref)) + "\n")
        (folder / "samples.jsonl").write_text("".join(lines))
    return root


def public_weights(path: Path) -> Path:
    """A file in the public network's format, with weights of no use."""
    torch.manual_seed(0)
    network = MobileNetV1Face()
    for conv in network.conv:
        assert isinstance(conv, nn.Conv2d)
        nn.init.kaiming_normal_(conv.weight)  # smaller ones would let the signal die
    hidden = torch.zeros(256, MobileNetV1Face.num_features)
    save_file({**network.state_dict(), "hidden.weight": hidden}, path)
    return path
