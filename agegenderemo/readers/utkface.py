"""UTKFace (Zhang, Song, Qi 2017): the labels are the file name.

``[age]_[gender]_[race]_[time].jpg.chip.jpg`` with gender 0 male, 1 female. The published set has
names that lack a field (skipped) and names with a missing dot or a blank before it (readable).
"""

import re
from pathlib import Path

from agegenderemo.readers.source import bucket, image_root, list_images, stem
from agegenderemo.records import Reading, Sample, Skip, Split

RACES = ("White", "Black", "Asian", "Indian", "Others")

_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d+)(?:jpg)?")
"""A stem with all four fields; ``jpg`` sticks to the last one where the dot is missing."""


def read(root: Path) -> Reading:
    """Every image of UTKFace with age, gender and race.

    Splits hash the stem: test where SHA-1 mod 5 is 0; validation, for choosing and calibrating,
    where it is 1 mod 20; the rest is training.
    """
    samples, skipped = [], []
    for ref in list_images(image_root(root, "utkface.zip")):
        match = _NAME.fullmatch(stem(ref.name))
        if match is None:
            skipped.append(Skip(ref.name, "name lacks a field"))
            continue
        age, gender, race = int(match[1]), int(match[2]), int(match[3])
        if age > 116:  # the set's documented range is 0 to 116
            skipped.append(Skip(ref.name, "age out of range"))
            continue
        samples.append(
            Sample(ref, _split(stem(ref.name)), age=age, gender=1 - gender, group=RACES[race])
        )
    return Reading(tuple(samples), tuple(skipped))


def _split(key: str) -> Split:
    if bucket(key, 5) == 0:
        return "test"
    return "val" if bucket(key, 20) == 1 else "train"
