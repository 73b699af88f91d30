"""Every training face of a run with its labels and what the teacher says of it, in one place."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agegenderemo.dataset import PreparedSet, Targets, make_targets
from agegenderemo.distributed import Team
from agegenderemo.recipes import TrainConfig
from agegenderemo.teacher import Lessons, describe, lessons


@dataclass(frozen=True)
class Pool:
    """Every training face of every set, addressed by one number."""

    sets: tuple[PreparedSet, ...]
    set_index: NDArray[np.int64]
    row: NDArray[np.int64]
    targets: Targets
    lessons: Lessons | None

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

    def epoch(self, shares: dict[str, float], batch: int, seed: int) -> list[NDArray[np.int64]]:
        """Mixed batches of one epoch; a pure function of the seed. A last short one is left out."""
        generator = np.random.default_rng(seed)
        drawn = []
        for index, prepared in enumerate(self.sets):
            own = np.flatnonzero(self.set_index == index)
            wanted = round(len(own) * shares[prepared.name])
            while wanted > 0:
                drawn.append(generator.permutation(own)[:wanted])
                wanted -= len(own)
        order = generator.permutation(np.concatenate(drawn))
        return [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]


def build_pool(
    sets: tuple[PreparedSet, ...],
    prepared: Path,
    config: TrainConfig,
    teacher: Path | None,
    team: Team,
) -> Pool:
    """The training faces of prepared sets that lie under ``prepared``, with the lessons of the
    teacher at that path, if one is given. The processes of a team share its work."""
    rows = [s.rows("train", copies=not config.drop_copies) for s in sets]
    samples = [s.samples[row] for s, own in zip(sets, rows, strict=True) for row in own]
    targets = make_targets(samples)
    taught = None
    if teacher is not None:
        described = [
            describe(s, prepared / s.name, own, teacher, team)
            for s, own in zip(sets, rows, strict=True)
        ]
        if team.leads:
            taught = lessons(torch.cat(described), targets, config.seed)
        taught = team.share(taught)
    index = np.concatenate([np.full(len(own), i) for i, own in enumerate(rows)])
    return Pool(sets, index, np.concatenate(rows), targets, taught)
