"""What a public face network knows of the training faces, computed once and cached.

The descriptor (MobileNet v1 of HSE_FaceRec_tf by A. Savchenko, Apache-2.0, trained on VGGFace2,
IMDB-WIKI and Adience) stays frozen. Its safetensors file holds ``conv.0`` to ``conv.26`` (weight
and bias, batch norm folded in), ``hidden`` (256), ``age`` (classes 1 to 100 years) and ``gender``.
A small probe learns age, gender and emotion from its 1,024 numbers on the training samples, and
answers for every training face, whatever labels that face has.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from agegenderemo.dataset import PreparedSet, Targets
from agegenderemo.distributed import Team
from agegenderemo.labels import EMOTIONS
from agegenderemo.losses import LossWeights, multitask_loss
from agegenderemo.models import Outputs

_STRIDE_TWO = {0, 3, 7, 11, 23}
_SIDE = 160  # trained at 224; crops hold 128 pixels, and this takes half the time
_MEAN_BGR = (103.939, 116.779, 123.68)
_COMPONENTS = 128
_BATCH = 32
_WIDTH = 1024


class FaceDescriptor(nn.Module):
    """The public network: 13 depthwise-separable steps, ReLU6, mean over the last map."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError when the file at ``path`` is not this network."""
        super().__init__()
        try:
            weights = {k: v.float() for k, v in load_file(path).items()}
            self.convs = nn.ModuleList(_conv(weights, i) for i in range(27))
        except (OSError, KeyError, RuntimeError) as error:
            raise ValueError(f"{path} is not the face descriptor's safetensors file") from error
        self.hidden = _linear(weights, "hidden")
        self.age_classes = _linear(weights, "age")
        self.male = _linear(weights, "gender")
        self.to(memory_format=torch.channels_last).eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """N×S×S×3 RGB, 0 to 255, best at 224 pixels, to N×1024, never negative."""
        x = images.permute(0, 3, 1, 2).float()
        x = x.flip(1) - x.new_tensor(_MEAN_BGR).view(1, 3, 1, 1)
        x = x.contiguous(memory_format=torch.channels_last)
        for index, conv in enumerate(self.convs):
            if conv.kernel_size == (3, 3):
                # TensorFlow's SAME: with stride 2 on an even side, pad below and right only.
                x = F.pad(x, (0, 1, 0, 1) if index in _STRIDE_TWO else (1, 1, 1, 1))
            x = F.relu6(conv(x), inplace=True)
        return x.mean(dim=(2, 3))

    def own_answers(self, descriptors: Tensor) -> tuple[Tensor, Tensor]:
        """The age (N, years) and probability of male (N,) of the network's own heads."""
        z = F.relu(self.hidden(descriptors))
        ages = torch.arange(1, 101, dtype=z.dtype)
        return self.age_classes(z).softmax(dim=1) @ ages, self.male(z).sigmoid().squeeze(1)


def _conv(weights: dict[str, Tensor], index: int) -> nn.Conv2d:
    weight = weights[f"conv.{index}.weight"]
    depthwise = weight.shape[1] == 1
    conv = nn.Conv2d(
        weight.shape[0] if depthwise else weight.shape[1],
        weight.shape[0],
        int(weight.shape[2]),
        stride=2 if index in _STRIDE_TWO else 1,
        groups=weight.shape[0] if depthwise else 1,
    )
    conv.load_state_dict({"weight": weight, "bias": weights[f"conv.{index}.bias"]})
    return conv


def _linear(weights: dict[str, Tensor], name: str) -> nn.Linear:
    weight = weights[f"{name}.weight"]
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight, "bias": weights[f"{name}.bias"]})
    return linear


def describe(
    prepared: PreparedSet,
    folder: Path,
    rows: NDArray[np.int64],
    path: Path,
    team: Team = Team(),  # noqa: B008  frozen
) -> Tensor:
    """Descriptors of the rows, len(rows)×1024, from the cache beside the crops or computed now.

    The cache is written as it grows: a killed run goes on where it was. The processes of a machine
    share the work.
    """
    cache = folder / "descriptor.npy"
    count = len(prepared.samples)
    if not cache.exists() and team.local_rank == 0:
        fresh = cache.with_suffix(".tmp")
        store = np.lib.format.open_memmap(fresh, "w+", np.float16, (count, _WIDTH))
        store[:, 0] = -1  # a descriptor is never negative: this row is still to do
        fresh.replace(cache)
    team.wait()
    store = np.load(cache, "r+")
    todo = rows[store[rows, 0] < 0]
    team.wait()  # until every process has made its list of what is to do
    todo = todo[team.local_rank :: team.local_size]
    if len(todo):
        network = FaceDescriptor(path)
        starts = range(0, len(todo), _BATCH)
        for start in tqdm(
            starts,
            desc=f"{prepared.name}: describing faces",
            unit="batch",
            disable=not team.leads,
        ):
            batch = todo[start : start + _BATCH]
            with torch.inference_mode():
                found = network(_enlarge(prepared.crops[batch])).half().numpy()
            store[batch, 1:] = found[:, 1:]
            store[batch, 0] = found[:, 0]
    team.wait()
    return torch.from_numpy(store[rows].astype(np.float32))


def _enlarge(crops: NDArray[np.uint8]) -> Tensor:
    x = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
    x = F.interpolate(x, (_SIDE, _SIDE), mode="bilinear", align_corners=False)
    return x.permute(0, 2, 3, 1)


class Lessons(NamedTuple):
    """What the teacher says of N training faces."""

    age: Tensor  # (N,) years
    male: Tensor  # (N,) probability
    emotion: Tensor  # (N, 8) probabilities
    features: Tensor  # (N, 128) principal components of the descriptor, unit variance overall

    def take(self, rows: Tensor) -> "Lessons":
        """The lessons of some faces."""
        return Lessons(*(value[rows] for value in self))


def lessons(descriptors: Tensor, targets: Targets, seed: int, epochs: int = 12) -> Lessons:
    """Train the probe on N×1024 descriptors and their labels, and let it answer for all of them.

    Each half of the faces is answered by a probe trained on the other half, so that the answers
    are what the descriptor shows and not remembered labels.
    """
    x = descriptors.sqrt()  # tames the long tail of ReLU means
    x = (x - x.mean(dim=0)) / x.std(dim=0).clamp(min=1e-3)
    half = torch.rand(len(x), generator=torch.Generator().manual_seed(seed)) < 0.5
    age, male = torch.empty(len(x)), torch.empty(len(x))
    emotion = torch.empty(len(x), len(EMOTIONS))
    for side in (half, ~half):
        out = _probe(x, targets, torch.nonzero(~side).flatten(), seed, epochs)
        age[side] = out.age[side].clamp(0, 110)
        male[side] = out.gender[side].sigmoid()
        assert out.emotion is not None
        emotion[side] = out.emotion[side].softmax(dim=1)
    return Lessons(age, male, emotion, _principal(x))


class _Probe(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(_WIDTH, 384), nn.ReLU(), nn.Dropout(0.4)
        )
        self.age = nn.Linear(384, 1)
        self.gender = nn.Linear(384, 1)
        self.emotion = nn.Linear(384, len(EMOTIONS))

    def forward(self, x: Tensor) -> Outputs:
        z = self.body(x)
        age = 35 + 20 * self.age(z).squeeze(1)  # the heads start near the mean age
        return Outputs(age, self.gender(z).squeeze(1), self.emotion(z), z)


def _probe(x: Tensor, targets: Targets, rows: Tensor, seed: int, epochs: int) -> Outputs:
    torch.manual_seed(seed)
    probe = _Probe()
    steps = epochs * math.ceil(len(rows) / 256)
    optimiser = torch.optim.AdamW(probe.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    weights = LossWeights(age=0.1, gender=1.0, emotion=1.0)
    for _ in tqdm(range(epochs), desc="teaching the probe", unit="epoch"):
        for batch in rows[torch.randperm(len(rows))].split(256):
            loss = multitask_loss(probe(x[batch]), targets.take(batch), weights).total
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    probe.eval()
    with torch.inference_mode():
        answers: Outputs = probe(x)
    return answers


def _principal(x: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    top = values.argsort(descending=True)[:_COMPONENTS]
    projected = x @ vectors[:, top]
    scaled: Tensor = projected / projected.std()
    return scaled
