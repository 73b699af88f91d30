"""UTKFace (Zhang, Song, Qi 2017): the labels are the file name.

``[age]_[gender]_[race]_[time].jpg.chip.jpg`` with gender 0 male, 1 female. The published set has
names that lack a field (skipped) and names with a missing dot or a blank before it (readable).
"""

import re
from hashlib import sha1
from pathlib import Path

from agegenderemo.data.readers.registry import register_reader
from agegenderemo.data.readers.source import bucket, image_root, list_images, read_bytes, stem
from agegenderemo.data.samples import DatasetIndex, ImageRef, Sample, SkippedEntry, Split
from agegenderemo.tasks import AGE, GENDER

TASKS = (AGE, GENDER)

RACES = ("White", "Black", "Asian", "Indian", "Others")

_ARCHIVES = ("utkface.zip", "UTKFace.tar.gz", "UTKFace.zip", "utkface-new.zip", "archive.zip")
"""As the authors and the popular copies call them."""

_NAME = re.compile(r"([0-9]{1,3})_([01])_([0-4])_([0-9]+)(?:jpg)?")
"""A stem with all four fields; ``jpg`` sticks to the last one where the dot is missing."""


@register_reader("utkface", "UTKFace", TASKS)
def read(root: Path) -> DatasetIndex:
    """Every image of UTKFace with age, gender and race, once.

    Splits hash the stem: test where SHA-1 mod 5 is 0; validation, for choosing and calibrating,
    where it is 1 mod 20; the rest is training.
    """
    samples, skipped, repaired = [], [], []
    by_stem: dict[str, ImageRef] = {}
    for ref in sorted(list_images(image_root(root, *_ARCHIVES)), key=_worst_last):
        key = stem(ref.name)
        match = _NAME.fullmatch(key)
        if match is None:
            skipped.append(SkippedEntry(ref.name, "name lacks a field"))
        elif int(match[1]) > 116:  # the set's documented range is 0 to 116
            skipped.append(SkippedEntry(ref.name, "age out of range"))
        elif by_stem.setdefault(key, ref) is not ref:
            repaired.append(SkippedEntry(ref.name, _again(by_stem[key], ref)))
    for key, ref in sorted(by_stem.items(), key=lambda pair: pair[1].name):
        match = _NAME.fullmatch(key)
        assert match is not None
        age, gender, race = int(match[1]), int(match[2]), int(match[3])
        labels = {AGE.name: float(age), GENDER.name: 1 - gender}
        samples.append(Sample(ref, _split(key), labels, race=RACES[race]))
    return DatasetIndex(tuple(samples), TASKS, tuple(skipped), tuple(repaired))


def _worst_last(ref: ImageRef) -> tuple[bool, str]:
    """Of pictures of one name the aligned one counts, which has ``chip`` in its name."""
    return ".chip" not in ref.name, ref.name


def _again(first: ImageRef, other: ImageRef) -> str:
    """Popular copies of the set hold it twice or three times, or the whole photos as well."""
    try:
        same = sha1(read_bytes(first)).digest() == sha1(read_bytes(other)).digest()
    except (OSError, KeyError, ValueError):
        same = False
    return "image there more than once" if same else "another picture of the same name"


def _split(key: str) -> Split:
    if bucket(key, 5) == 0:
        return "test"
    return "val" if bucket(key, 20) == 1 else "train"
