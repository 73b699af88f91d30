"""Small prepared sets whose labels can be learnt in seconds: colour tells them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agegenderemo.data.dataset import CropSource, index_to_json, sample_to_json
from agegenderemo.data.samples import ImageRef, Label, Sample, Split
from agegenderemo.tasks import AGE, EMOTION, GENDER, TaskSpec
from agegenderemo.types import Template

TASKS: dict[str, tuple[TaskSpec, ...]] = {
    "faces": (AGE, GENDER),
    "moods": (EMOTION,),
    "bands": (AGE, GENDER),
}
"""What the sets of `prepared_sets` are labelled for."""

_SIDE = 40


def split_of(index: int) -> Split:
    """One face in ten is for testing, one for validation."""
    splits: tuple[Split, Split] = ("test", "val")
    return splits[index % 10] if index % 10 < 2 else "train"


def write_set(
    folder: Path,
    samples: Sequence[Sample],
    tasks: Sequence[TaskSpec],
    crops: NDArray[np.uint8],
    digest: NDArray[np.uint8] | None = None,
    template: Template = "face",
) -> Path:
    """A prepared folder of crops, N×S×S×3, and their labels; every image is one of its own."""
    count = len(samples)
    if digest is None:
        digest = np.zeros((count, 20), np.uint8)
        digest[:, :4] = np.arange(count, dtype=np.uint32)[:, None].view(np.uint8)
    folder.mkdir(parents=True)
    np.save(folder / "crops.npy", crops)
    np.save(folder / "source.npy", np.full(count, CropSource.DETECTED, np.uint8))
    np.save(folder / "digest.npy", digest)
    (folder / "index.json").write_text(index_to_json(template, tasks))
    (folder / "samples.jsonl").write_text("".join(sample_to_json(s) + "\n" for s in samples))
    return folder


def prepared_sets(root: Path, count: int = 60) -> Path:
    """``faces`` with ages and genders, ``moods`` with emotions, ``bands`` with age intervals.

    Red grows with age, green tells gender, blue tells one of two emotions.
    """
    rng = np.random.default_rng(0)
    for name, tasks in TASKS.items():
        age, male = rng.uniform(1, 80, count), rng.integers(0, 2, count)
        glad = rng.integers(0, 2, count)
        samples = []
        for i in range(count):
            ref, split = ImageRef(Path("nowhere"), f"{name}{i}.png"), split_of(i)
            if name == "moods":
                emotion = tuple(float(k == (4 if glad[i] else 6)) for k in range(8))
                votes = (0, 10, *[0] * 8) if glad[i] else (0, 0, 0, 10, *[0] * 6)
                samples.append(Sample(ref, split, {"emotion": emotion}, votes))
            elif name == "bands":
                low = float(age[i] // 10 * 10)
                labels: dict[str, Label] = {"age": (low, low + 9), "gender": int(male[i])}
                samples.append(Sample(ref, split, labels))
            else:
                race = "Black" if i % 4 else "White"
                known = {"age": float(age[i]), "gender": int(male[i])}
                samples.append(Sample(ref, split, known, race=race))
        colour = np.stack([age * 3, 40 + 170 * male, 40 + 170 * glad], axis=1)
        noise = rng.normal(0, 12, (count, _SIDE, _SIDE, 3))
        crops = (colour[:, None, None] + noise).clip(0, 255).astype(np.uint8)
        digest = rng.integers(0, 256, (count, 20), dtype=np.uint8)
        write_set(root / name, samples, tasks, crops, digest)
    return root
