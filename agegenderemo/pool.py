"""Every training face of a run with its labels and what the teacher says of it, in one place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agegenderemo.checkpoint import load_checkpoint
from agegenderemo.dataset import PreparedSet, Targets, make_targets
from agegenderemo.distributed import Team
from agegenderemo.recipes import TrainConfig
from agegenderemo.teacher import Lessons, ask, describe, joined, lessons


@dataclass(frozen=True)
class Pool:
    """Every training face of every set, addressed by one number."""

    sets: tuple[PreparedSet, ...]
    set_index: NDArray[np.int64]
    row: NDArray[np.int64]
    targets: Targets
    lessons: Lessons | None
    weight: NDArray[np.float64]  # how often each face is drawn, 1 on average over its set

    def crops(self, faces: NDArray[np.int64]) -> Tensor:
        """The stored crops of some faces, in their order."""
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
            count, size = len(self.row), self.sets[0].crops.shape[1]
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

    def epoch(self, shares: dict[str, float], batch: int, seed: int) -> list[NDArray[np.int64]]:
        """Mixed batches of one epoch; a pure function of the seed. A last short one is left out."""
        generator = np.random.default_rng(seed)
        drawn = []
        for index, prepared in enumerate(self.sets):
            own = np.flatnonzero(self.set_index == index)
            if np.ptp(self.weight[own]) == 0:
                # As before there were weights, so that older runs repeat to the last bit.
                wanted = round(len(own) * shares[prepared.name])
                while wanted > 0:
                    drawn.append(generator.permutation(own)[:wanted])
                    wanted -= len(own)
                continue
            own = generator.permutation(own)
            # Evenly spaced marks along the summed weights: a face of weight w is drawn w times,
            # rounded up or down at random, and as many faces in all as the share says.
            ends = np.cumsum(self.weight[own])
            count = round(len(own) * shares[prepared.name])
            marks = (np.arange(count) + generator.random()) * (ends[-1] / max(1, count))
            drawn.append(own[np.searchsorted(ends, marks, side="right").clip(max=len(own) - 1)])
        order = generator.permutation(np.concatenate(drawn))
        return [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]


def build_pool(
    sets: tuple[PreparedSet, ...],
    prepared: Path,
    config: TrainConfig,
    teachers: Sequence[Path],
    team: Team,
) -> Pool:
    """The training faces of prepared sets that lie under ``prepared``, with the lessons of the
    teachers at those paths: none, or the public descriptor and any checkpoints that answer once.
    The processes of a team share their work."""
    rows = [s.rows("train", copies=not config.drop_copies) for s in sets]
    samples = [s.samples[row] for s, own in zip(sets, rows, strict=True) for row in own]
    targets = make_targets(samples)
    taught = None
    if teachers:
        descriptor, *checkpoints = teachers
        for path in checkpoints:
            load_checkpoint(path)  # one that cannot be used is named before the long work

        def over_sets(read: Callable[..., Tensor], path: Path) -> Tensor:
            each = zip(sets, rows, strict=True)
            return torch.cat([read(s, prepared / s.name, own, path, team) for s, own in each])

        described = over_sets(describe, descriptor)
        answers = [over_sets(ask, path) for path in checkpoints]
        if team.leads:
            taught = joined(lessons(described, targets, config.seed), answers)
        taught = team.share(taught)
    index = np.concatenate([np.full(len(own), i) for i, own in enumerate(rows)])
    weight = np.ones(len(index))
    for name in np.unique(index):
        own = np.flatnonzero(index == name)
        races = [f"{sets[name].name}/{samples[face].group}" for face in own]
        weight[own] = _weights(targets.take(torch.from_numpy(own)), races, config)
    return Pool(sets, index, np.concatenate(rows), targets, taught, weight)


def _weights(targets: Targets, races: list[str], config: TrainConfig) -> NDArray[np.float64]:
    """How often to draw each face of a set, 1 on average: rare ages and emotions more often, and
    races (``SET/LABEL`` each) as the recipe says."""
    decade = (targets.age_low / 10).long().clamp(max=9)
    emotion = targets.emotion.argmax(dim=1)
    wanted = config.race_weights
    weight = np.array([wanted.get(race, wanted.get(race.split("/")[1], 1.0)) for race in races])
    for label, mask, power in (
        (decade, targets.age_mask, config.age_balance),
        (emotion, targets.emotion_mask, config.emotion_balance),
    ):
        known = np.flatnonzero(mask.numpy())
        own = label[mask].numpy()
        frequency = np.bincount(own) / max(1, len(own))
        weight[known] *= frequency[own] ** -power
    weight /= weight.mean()
    return weight
