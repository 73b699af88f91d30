"""Every training face of a run with its labels, in one place, and how often each is drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agegenderemo.data.copies import settled
from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.targets import (
    BinaryTarget,
    RegressionTarget,
    Target,
    Targets,
    concatenate,
    make_targets,
)
from agegenderemo.errors import DatasetError, TaskError
from agegenderemo.tasks import TaskSpec

_BIN = 10  # units of a regression: years, for ages
_LAST_BIN = 9  # it holds everything from 90 on


@dataclass(frozen=True)
class TrainingSet:
    """Every training face of every set, addressed by one number."""

    sets: tuple[PreparedSet, ...]
    set_index: NDArray[np.int64]  # (N,) which set a face is of
    row: NDArray[np.int64]  # (N,) and which row of it
    targets: Targets
    sampling_weight: NDArray[np.float64]  # (N,) how often it is drawn, 1 on average over its set

    @classmethod
    def build(
        cls,
        sets: Sequence[PreparedSet],
        tasks: Sequence[TaskSpec],
        *,
        balance: Mapping[str, float] | None = None,
        race_weights: Mapping[str, float] | None = None,
        drop_copies: bool = True,
    ) -> "TrainingSet":
        """The training faces of prepared sets, labelled for a network with ``tasks``.

        ``balance`` gives powers by the name of a task: a face is drawn by the frequency, in its
        set, of its class or of the ten units that hold its number, to minus this power; 0 draws all
        alike, 1 every class as often as any other. ``race_weights`` draws faces of a race label, or
        of ``SET/LABEL``, that many times as often. Copies of an image of a later split, byte by
        byte or encoded anew, are left out, and identical images get the same labels, unless
        ``drop_copies`` is False.

        Raises TaskError for a balance of a task that the network lacks, or where a set and the
        network mean different things by a name, and DatasetError for crops of several sizes.
        """
        sizes = {prepared.name: prepared.crops.shape[1] for prepared in sets}
        if len(set(sizes.values())) > 1:
            said = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise DatasetError(f"Crops of one run must be of one size, but in pixels: {said}.")
        balance, race_weights = balance or {}, race_weights or {}
        unknown = sorted(set(balance) - {spec.name for spec in tasks})
        if unknown:
            raise TaskError(f"The network has no task {unknown[0]!r} to balance.")
        parts, rows, weights = [], [], []
        for prepared in sets:
            own = prepared.rows("train", copies=not drop_copies)
            samples = [prepared.samples[row] for row in own]
            if drop_copies:
                samples, _, _ = settled(samples, prepared.digest[own], prepared.tasks)
            races = [f"{prepared.name}/{sample.race}" for sample in samples]
            parts.append(make_targets(samples, prepared.tasks, tasks))
            rows.append(own)
            weights.append(sampling_weights(parts[-1], races, balance, race_weights))
        index = np.concatenate([np.full(len(own), i) for i, own in enumerate(rows)])
        return cls(
            tuple(sets), index, np.concatenate(rows), concatenate(parts), np.concatenate(weights)
        )

    def __len__(self) -> int:
        return len(self.row)

    def crops(self, faces: NDArray[np.int64]) -> Tensor:
        """The stored crops of some faces, in their order, N×S×S×3 uint8."""
        size = self.sets[0].crops.shape[1]
        out = np.empty((len(faces), size, size, 3), np.uint8)
        for index, prepared in enumerate(self.sets):
            here = np.flatnonzero(self.set_index[faces] == index)
            # Sorted rows read a memory map in order.
            here = here[np.argsort(self.row[faces[here]])]
            out[here] = prepared.crops[self.row[faces[here]]]
        return torch.from_numpy(out)

    def crops_on(self, device: torch.device) -> Callable[[NDArray[np.int64]], Tensor]:
        """`crops`, on a device. A GPU that has the room holds all of them from now on: reading and
        sending each batch would take longer than training on it."""
        if device.type == "cuda":
            count, size = len(self), self.sets[0].crops.shape[1]
            if count * size * size * 3 < torch.cuda.mem_get_info(device)[0] / 2:
                held = torch.empty((count, size, size, 3), dtype=torch.uint8, device=device)
                for part in np.array_split(np.arange(count), 1 + count // 4096):
                    held[part[0] : part[-1] + 1] = self.crops(part)
                return lambda faces: held[torch.from_numpy(faces).to(device, non_blocking=True)]
        return lambda faces: self.crops(faces).to(device)

    def counts(self) -> dict[str, int]:
        """How many training faces each set has."""
        numbers = np.bincount(self.set_index, minlength=len(self.sets)).tolist()
        return {s.name: n for s, n in zip(self.sets, numbers, strict=True)}

    def epoch(
        self, fractions: Mapping[str, float], batch: int, seed: int
    ) -> list[NDArray[np.int64]]:
        """Mixed batches of one epoch, as numbers of faces; a pure function of the seed.

        ``fractions`` say by the name of a set how much of it an epoch draws: without replacement up
        to 1; 2 draws each face twice. A last short batch is left out.
        """
        generator = np.random.default_rng(seed)
        drawn = []
        for index, prepared in enumerate(self.sets):
            own = np.flatnonzero(self.set_index == index)
            count = round(len(own) * fractions[prepared.name])
            if len(own):
                drawn += _draw(own, self.sampling_weight[own], count, generator)
        order = generator.permutation(np.concatenate([np.empty(0, np.int64), *drawn]))
        return [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]


def _draw(
    own: NDArray[np.int64],
    weight: NDArray[np.float64],
    count: int,
    generator: np.random.Generator,
) -> list[NDArray[np.int64]]:
    """``count`` of the faces of a set, in parts, each face as often as its weight says."""
    if np.ptp(weight) == 0:
        # Whole rounds: marks along equal weights would draw some faces twice before others once.
        return [generator.permutation(own)[: count - start] for start in range(0, count, len(own))]
    order = generator.permutation(len(own))
    # Evenly spaced marks along the summed weights: a face of weight w is drawn w times, rounded up
    # or down at random, and as many faces in all as the fraction says.
    ends = np.cumsum(weight[order])
    marks = (np.arange(count) + generator.random()) * (ends[-1] / max(1, count))
    return [own[order][np.searchsorted(ends, marks, side="right").clip(max=len(own) - 1)]]


def sampling_weights(
    targets: Targets,
    races: Sequence[str],
    balance: Mapping[str, float],
    race_weights: Mapping[str, float],
) -> NDArray[np.float64]:
    """How often to draw each face of one set, 1 on average, as `TrainingSet.build` describes.

    ``races`` are ``SET/LABEL`` each.
    """
    weight = np.array(
        [race_weights.get(race, race_weights.get(race.partition("/")[2], 1.0)) for race in races]
    )
    for name, target in targets.items():
        known = np.flatnonzero(target.mask.numpy())
        own = _bins(target)[target.mask].numpy()
        _, which, count = np.unique(own, return_inverse=True, return_counts=True)
        weight[known] *= (count / max(1, len(own)))[which] ** -balance.get(name, 0.0)
    if len(weight):
        weight /= weight.mean()
    return weight


def _bins(target: Target) -> Tensor:
    """(N,) the class of each face, or the ten units that its number lies in."""
    if isinstance(target, RegressionTarget):
        return torch.floor(target.low / _BIN).long().clamp(max=_LAST_BIN)
    if isinstance(target, BinaryTarget):
        return target.value.long()
    return target.probabilities.argmax(dim=1)
