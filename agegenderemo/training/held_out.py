"""Validation faces for every set: where a set has none of its own, some of its training faces."""

from collections.abc import Sequence
from dataclasses import replace

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.training.config import TrainConfig

_ONE_IN = 20


def with_validation(
    sets: Sequence[PreparedSet], config: TrainConfig
) -> tuple[tuple[PreparedSet, ...], dict[str, int]]:
    """The sets, one training face in twenty of those that have no validation split moved into one;
    and how many that are, by the name of the set.

    It goes by the digest of the image, so that the same faces are held out again, wherever they
    stand in the set, and copies of one image stay together.
    """
    found, made = [], {}
    for one in sets:
        rows = one.rows("train", copies=not config.drop_copies)
        if len(one.rows("val", copies=True)) or len(rows) < 2:
            found.append(one)
            continue
        keys = [int.from_bytes(bytes(one.digest[row]), "big") for row in rows]
        # The lowest of few faces, where none would be held out, or all.
        chosen = {key for key in keys if key % _ONE_IN == 0}
        if not chosen or len(chosen) == len(set(keys)):
            chosen = {min(keys)}
        held = {int(row) for row, key in zip(rows, keys, strict=True) if key in chosen}
        if len(held) == len(rows):  # copies of one image
            found.append(one)
            continue
        samples = tuple(
            replace(sample, split="val") if row in held else sample
            for row, sample in enumerate(one.samples)
        )
        found.append(replace(one, samples=samples))
        made[one.name] = len(held)
    return tuple(found), made


def describe(made: dict[str, int]) -> str:
    """One sentence about the sets that had no validation split."""
    parts = ", ".join(f"{count:,} of {name}" for name, count in made.items())
    return f"No validation split: {parts} are held out of training for it, by digest."
