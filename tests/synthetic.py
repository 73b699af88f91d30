"""Small prepared sets whose labels can be learnt in seconds: colour tells them."""

from pathlib import Path

import numpy as np

from agegenderemo.dataset import Origin, sample_to_json
from agegenderemo.records import ImageRef, Sample, Split

_SIDE = 40


def _split(index: int) -> Split:
    return ("test", "val")[index % 10] if index % 10 < 2 else "train"  # type: ignore[return-value]


def prepared_sets(root: Path, count: int = 60) -> Path:
    """``faces`` with ages and genders, ``moods`` with emotions, ``bands`` with age intervals.

    Red grows with age, green tells gender, blue tells one of two emotions.
    """
    rng = np.random.default_rng(0)
    for name in ("faces", "moods", "bands"):
        folder = root / name
        folder.mkdir(parents=True)
        age, male = rng.uniform(1, 80, count), rng.integers(0, 2, count)
        glad = rng.integers(0, 2, count)
        samples = []
        for i in range(count):
            ref, split = ImageRef(Path("nowhere"), f"{name}{i}.png"), _split(i)
            if name == "moods":
                emotion = tuple(float(k == (4 if glad[i] else 6)) for k in range(8))
                votes = (0, 10, *[0] * 8) if glad[i] else (0, 0, 0, 10, *[0] * 6)
                samples.append(Sample(ref, split, emotion=emotion, votes=votes))
            elif name == "bands":
                low = float(age[i] // 10 * 10)
                samples.append(Sample(ref, split, age_range=(low, low + 9), gender=int(male[i])))
            else:
                race = "Black" if i % 4 else "White"
                samples.append(
                    Sample(ref, split, age=float(age[i]), gender=int(male[i]), group=race)
                )
        colour = np.stack([age * 3, 40 + 170 * male, 40 + 170 * glad], axis=1)
        noise = rng.normal(0, 12, (count, _SIDE, _SIDE, 3))
        crops = (colour[:, None, None] + noise).clip(0, 255).astype(np.uint8)
        np.save(folder / "crops.npy", crops)
        np.save(folder / "origin.npy", np.full(count, Origin.DETECTED, np.uint8))
        (folder / "framing.json").write_text('"face"')
        digest = rng.integers(0, 256, (count, 20), dtype=np.uint8)
        np.save(folder / "digest.npy", digest)
        (folder / "samples.jsonl").write_text("".join(sample_to_json(s) + "\n" for s in samples))
    return root
