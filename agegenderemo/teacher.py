"""What other networks know of the training faces.

The first teacher is a public face network that stays frozen
(`agegenderemo.models.facedescriptor`): a small probe learns age, gender and emotion from its 1,024
numbers on the training samples, and answers for every training face, whatever labels that face has.
More teachers are checkpoints of this package, which answer by themselves: once for each crop, or
at every step for the face as it was changed (`Panel`).
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from agegenderemo.checkpoint import CheckpointError, load_checkpoint
from agegenderemo.dataset import PreparedSet, Targets
from agegenderemo.distributed import Team, has_bfloat16
from agegenderemo.images import RGBImage, load_image
from agegenderemo.labels import EMOTIONS
from agegenderemo.losses import LossWeights, multitask_loss
from agegenderemo.models import Outputs
from agegenderemo.models.facedescriptor import DESCRIPTOR_INPUT, WIDTH, DescriptorBackbone
from agegenderemo.predictor import Predictor
from agegenderemo.readers import read_bytes
from agegenderemo.records import Framing, ImageRef
from agegenderemo.transforms import fit_input, to_input

_COMPONENTS = 128
_AIR = 0.08  # of the side, added on every side
_BATCH = 32


def describe(
    prepared: PreparedSet,
    folder: Path,
    rows: NDArray[np.int64],
    path: Path,
    team: Team = Team(),  # noqa: B008  frozen
) -> Tensor:
    """Descriptors of the rows by the public network at ``path``, len(rows)×1024, from the cache
    beside the crops or computed now.

    It sees whole pictures at the size and in the frame that it was made for, and so is right more
    often than on our crops; these sets have one picture a face.
    """

    def start() -> Callable[[NDArray[np.int64]], Tensor]:
        network = DescriptorBackbone()
        network.load_public(path)
        network.to(memory_format=torch.channels_last).eval()
        low = has_bfloat16(torch.device("cpu"))
        readers = ThreadPoolExecutor(2)

        def numbers(rows: NDArray[np.int64]) -> Tensor:
            pictures = readers.map(_airy, (prepared.samples[row].image for row in rows))
            x = to_input(torch.from_numpy(np.stack(list(pictures))), DESCRIPTOR_INPUT)
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                described: Tensor = network(x)
            return described.float()

        return numbers

    return _cached("descriptor-pictures", WIDTH, start, prepared, folder, rows, team)


def _airy(ref: ImageRef) -> RGBImage:
    """A picture with a little more border, as the descriptor likes it."""
    image = load_image(read_bytes(ref))
    border = round(_AIR * min(image.shape[:2]))
    padded = np.pad(image, ((border, border), (border, border), (0, 0)), mode="edge")
    side = DESCRIPTOR_INPUT.size
    return np.asarray(Image.fromarray(padded).resize((side, side), Image.Resampling.BILINEAR))


def ask(
    prepared: PreparedSet,
    folder: Path,
    rows: NDArray[np.int64],
    path: Path,
    team: Team = Team(),  # noqa: B008  frozen
) -> Tensor:
    """What the checkpoint at ``path`` says of the rows, len(rows)×10: age in years, probability of
    male, and of the eight emotions; from the cache beside the crops or computed now.

    Raises OSError when there is none, CheckpointError when it is no checkpoint.
    """

    def start() -> Callable[[NDArray[np.int64]], Tensor]:
        checkpoint = load_checkpoint(path)
        predictor = Predictor(checkpoint.model, checkpoint.input)

        def answers(rows: NDArray[np.int64]) -> Tensor:
            given = predictor.predict(torch.from_numpy(prepared.crops[rows]))
            return torch.tensor([(a.age, a.male_probability, *a.emotions) for a in given])

        return answers

    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return _cached(f"answers-{digest}", 10, start, prepared, folder, rows, team)


def _cached(
    name: str,
    width: int,
    start: Callable[[], Callable[[NDArray[np.int64]], Tensor]],
    prepared: PreparedSet,
    folder: Path,
    rows: NDArray[np.int64],
    team: Team,
) -> Tensor:
    """Numbers of the rows, len(rows)×width, of which the first is never negative.

    The cache is written as it grows: a killed run goes on where it was. The processes of a machine
    share the work.
    """
    cache = folder / f"{name}.npy"
    count = len(prepared.samples)
    if not cache.exists() and team.local_rank == 0:
        fresh = cache.with_suffix(".tmp")
        store = np.lib.format.open_memmap(fresh, "w+", np.float16, (count, width))
        store[:, 0] = -1  # this row is still to do
        fresh.replace(cache)
    team.wait()
    store = np.load(cache, "r+")
    todo = rows[store[rows, 0] < 0]
    team.wait()  # until every process has made its list of what is to do
    todo = todo[team.local_rank :: team.local_size]
    if len(todo):
        compute = start()
        for begin in tqdm(
            range(0, len(todo), _BATCH),
            desc=f"{prepared.name}: asking the teacher",
            unit="batch",
            disable=not team.leads,
        ):
            batch = todo[begin : begin + _BATCH]
            with torch.inference_mode():
                found = compute(batch).half().numpy()
            store[batch, 1:] = found[:, 1:]
            store[batch, 0] = found[:, 0]
    team.wait()
    return torch.from_numpy(store[rows].astype(np.float32))


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


def joined(taught: Lessons, answers: list[Tensor], mixed: Tensor | None = None) -> Lessons:
    """The lessons with the `ask` answers of more teachers, N×10 each, averaged in.

    Ages are those of the others alone: the probe takes children for older. So is everything about
    the ``mixed`` faces, (N,) bool, which the probe never saw.
    """
    if not answers:
        return taught
    others = torch.stack(answers)
    male = torch.cat([taught.male[None], others[:, :, 1]]).mean(dim=0)
    emotion = torch.cat([taught.emotion[None], others[:, :, 2:]]).mean(dim=0)
    alone = others.mean(dim=0)
    if mixed is not None:
        male = torch.where(mixed, alone[:, 1], male)
        emotion = torch.where(mixed[:, None], alone[:, 2:], emotion)
    return Lessons(alone[:, 0], male, emotion, taught.features)


class Panel:
    """Checkpoints that read every face as the learning network gets it, changed and mixed: the
    consistent teacher of Beyer et al. 2022. Their answers cannot be learnt by heart.

    Raises CheckpointError for one that is none, or that wants faces in another framing.
    """

    def __init__(
        self, paths: Sequence[Path], framing: Framing, device: torch.device, bfloat16: bool
    ) -> None:
        checkpoints = [load_checkpoint(path) for path in paths]
        for path, checkpoint in zip(paths, checkpoints, strict=True):
            if checkpoint.input.framing != framing:
                raise CheckpointError(
                    f"{path} reads faces framed as {checkpoint.input.framing!r}; the recipe has "
                    f"{framing!r}."
                )
        self._members = [
            (c.model.to(device, memory_format=torch.channels_last).eval(), c.input)  # type: ignore[call-overload]
            for c in checkpoints
        ]
        self._device = device
        self._bfloat16 = bfloat16
        self.size = max(spec.size for _, spec in self._members)
        """Side in pixels of the largest input."""

    @torch.no_grad()
    def answers(self, pictures: Tensor) -> list[Tensor]:
        """What each says of N×3×S×S RGB pictures in [0, 1], N×10 as `ask` has it."""
        given = []
        for model, spec in self._members:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
                out = model(fit_input(pictures, spec))
            out = out.float()
            assert out.emotion is not None
            age, male = out.age.clamp(min=0), out.gender.sigmoid()
            given.append(torch.cat([torch.stack([age, male], 1), out.emotion.softmax(1)], dim=1))
        return given


class _Probe(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(WIDTH, 384), nn.ReLU(), nn.Dropout(0.4)
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
