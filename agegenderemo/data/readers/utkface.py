"""UTKFace (Zhang, Song, Qi 2017): the labels are the file name.

``[age]_[gender]_[race]_[time].jpg.chip.jpg`` with gender 0 male, 1 female. The published set has
names that lack a field (skipped) and names with a missing dot or a blank before it (readable).
"""

import re
from pathlib import Path

from agegenderemo.data.readers.registry import register_reader
from agegenderemo.data.readers.source import bucket, image_root, list_images, stem
from agegenderemo.data.samples import DatasetIndex, Sample, SkippedEntry, Split
from agegenderemo.tasks import AGE, GENDER

TASKS = (AGE, GENDER)

RACES = ("White", "Black", "Asian", "Indian", "Others")

_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d+)(?:jpg)?")
"""A stem with all four fields; ``jpg`` sticks to the last one where the dot is missing."""


@register_reader("utkface", "UTKFace", TASKS)
def read(root: Path) -> DatasetIndex:
    """Every image of UTKFace with age, gender and race.

    Splits hash the stem: test where SHA-1 mod 5 is 0; validation, for choosing and calibrating,
    where it is 1 mod 20; the rest is training.
    """
    samples, skipped = [], []
    for ref in list_images(image_root(root, "utkface.zip")):
        match = _NAME.fullmatch(stem(ref.name))
        if match is None:
            skipped.append(SkippedEntry(ref.name, "name lacks a field"))
            continue
        age, gender, race = int(match[1]), int(match[2]), int(match[3])
        if age > 116:  # the set's documented range is 0 to 116
            skipped.append(SkippedEntry(ref.name, "age out of range"))
            continue
        labels = {AGE.name: float(age), GENDER.name: 1 - gender}
        samples.append(Sample(ref, _split(stem(ref.name)), labels, race=RACES[race]))
    return DatasetIndex(tuple(samples), TASKS, tuple(skipped))


def _split(key: str) -> Split:
    if bucket(key, 5) == 0:
        return "test"
    return "val" if bucket(key, 20) == 1 else "train"
