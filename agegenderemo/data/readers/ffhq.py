"""FFHQ-Features: one JSON file an image with the answers of Azure's face service.

A file holds a list of faces: empty where none was found, several where more were; the first
counts. Age 0 is left out of training and validation, as the report did, and stays for testing.
Emotion scores are normalised to sum to one. Images are the FFHQ thumbnails, flat (``00000.png``) or
in the published folders of a thousand (``00000/00000.png``), of any size.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agegenderemo.data.readers.archives import is_archive, list_members, read_member
from agegenderemo.data.readers.registry import register_reader
from agegenderemo.data.readers.source import NO_IMAGE, by_key, each_once, list_images, stem, the_one
from agegenderemo.data.samples import (
    DatasetIndex,
    ImageRef,
    Label,
    Sample,
    SkippedEntry,
    Split,
)
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import AGE, EMOTION, GENDER, SMILE

TASKS = (AGE, GENDER, EMOTION, SMILE)

FIRST_VALIDATION = 60_000
"""Files 00000 to 59999 are for training, 60000 to 69999 for validation."""

_SMILE = 0.5
"""The score from which a face counts as smiling."""


@register_reader("ffhq", "FFHQ-Features", TASKS, published_template="ffhq")
def read(root: Path) -> DatasetIndex:
    """The set in one folder: images in ``thumbnails128x128`` and labels in ``json``."""
    return read_parts(_first(root, "json", "labels"), _first(root, "thumbnails128x128", "images"))


def read_parts(labels: Path, images: Path | None = None) -> DatasetIndex:
    """Labels from a folder of JSON files or the published tar, images from a folder or an archive.

    Without ``images`` the labels alone are read, and each `ImageRef` names the file that an image
    would have. The report's final evaluation is over the samples of all splits.
    """
    by_stem = None if images is None else by_key(list_images(images), stem)
    samples, skipped, repaired = [], [], []
    for name, text in _json_files(labels):
        key = stem(name)
        try:
            faces = json.loads(text)
            if not faces:
                skipped.append(SkippedEntry(name, "no face"))
                continue
            known = _labels(faces[0]["faceAttributes"], key)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
            skipped.append(SkippedEntry(name, "missing or unreadable field"))
            continue
        try:
            ref = (
                ImageRef(labels, f"{key}.png") if by_stem is None else the_one(by_stem.get(key, ()))
            )
        except ValueError as error:
            skipped.append(SkippedEntry(name, str(error)))
            continue
        if len(faces) > 1:
            repaired.append(SkippedEntry(name, "several faces, the first counts"))
        samples.append(Sample(ref, _split(known, key), known))
    samples, twice = each_once(samples)
    return DatasetIndex(tuple(samples), TASKS, (*skipped, *twice), tuple(repaired))


def missing_images(index: DatasetIndex) -> list[str]:
    """Names, such as ``00012``, of the labelled faces whose image is not there."""
    return [stem(skip.name) for skip in index.skipped if skip.reason == NO_IMAGE]


def _split(labels: dict[str, Label], key: str) -> Split:
    if labels[AGE.name] == 0:
        return "test"
    return "train" if int(key) < FIRST_VALIDATION else "val"


def _labels(attributes: dict[str, Any], key: str) -> dict[str, Label]:
    age = float(attributes["age"])
    if not 0 <= age <= 130 or not (key.isascii() and key.isdigit()):
        raise ValueError("age out of range, or a file name that is no number")
    scores = [float(attributes["emotion"][name]) for name in EMOTION.classes]
    total = sum(scores)
    if min(scores) < 0 or not math.isfinite(total) or total <= 0:
        raise ValueError("emotion scores must be finite, not negative and not all zero")
    labels: dict[str, Label] = {
        AGE.name: age,
        GENDER.name: GENDER.classes.index(attributes["gender"].lower()),
        EMOTION.name: tuple(score / total for score in scores),
    }
    if attributes.get("smile") is not None:
        smile = float(attributes["smile"])
        if not 0 <= smile <= 1:
            raise ValueError("a smile is a score from 0 to 1")
        labels[SMILE.name] = int(smile >= _SMILE)
    return labels


def _json_files(labels: Path) -> Iterator[tuple[str, bytes]]:
    if labels.is_dir():
        for path in sorted(labels.rglob("*.json")):
            yield path.name, path.read_bytes()
    elif is_archive(labels):
        names = [name for name in list_members(labels) if name.endswith(".json")]
        for name in sorted(names, key=lambda name: (stem(name), name)):
            yield Path(name).name, read_member(labels, name)
    else:
        raise DatasetError(f"{labels} is neither a folder of JSON files nor an archive of them.")


def _first(root: Path, *names: str) -> Path:
    for name in names:
        if (root / name).exists():
            return root / name
    raise DatasetError(f"{root} has none of the folders {', '.join(names)}.")
