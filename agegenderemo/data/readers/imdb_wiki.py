"""IMDB and WIKI (Rothe, Timofte and Van Gool 2015): pictures in folders, and a ``.mat`` file.

The age is that on the first of July of the year in which the photo was taken. The usual rules: a
face score of 1 or more, no second face with a score above 0, an age of 0 to 100.
"""

import io
import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from agegenderemo.data.readers.archives import is_archive, list_members, read_member
from agegenderemo.data.readers.matlab import read_struct
from agegenderemo.data.readers.registry import register_reader
from agegenderemo.data.readers.source import (
    NO_IMAGE,
    SEVERAL_IMAGES,
    by_key,
    each_once,
    find_all,
    image_root,
    list_images,
    read_bytes,
    stem,
    the_one,
)
from agegenderemo.data.readers.words import split_by_hash
from agegenderemo.data.samples import DatasetIndex, Label, Sample, SkippedEntry
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import AGE, GENDER
from agegenderemo.types import Box

TASKS = (AGE, GENDER)

_FIELDS = (
    "dob", "photo_taken", "full_path", "gender", "face_location", "face_score",
    "second_face_score",
)  # fmt: skip
_LOWEST_SCORE = 1.0
_MATLAB_EPOCH = 366  # days from MATLAB's first day to Python's
_MARGIN = 0.4  # of the box, that the published crops show on each side of it
_SIDE = 1 + 2 * _MARGIN
CROP_BOX: Box = (_MARGIN / _SIDE, _MARGIN / _SIDE, 1 - _MARGIN / _SIDE, 1 - _MARGIN / _SIDE)
"""The face in a published crop, in fractions of it."""

_MEASURED = 25  # pictures, whose size says whether they are crops
_CLOSE = 0.06  # of the side


@register_reader("imdb", "IMDB", TASKS)
def read_imdb(root: Path) -> DatasetIndex:
    """IMDB: ``imdb.mat`` and its folders, or ``imdb_crop.tar`` that holds both."""
    return _read(root, "imdb")


@register_reader("wiki", "WIKI", TASKS)
def read_wiki(root: Path) -> DatasetIndex:
    """WIKI: ``wiki.mat`` and its folders, or ``wiki_crop.tar`` or ``wiki.tar.gz`` of whole photos,
    which hold both."""
    return _read(root, "wiki")


def _read(root: Path, name: str) -> DatasetIndex:
    """Splits are by person: all pictures of one are in the same."""
    stems, ends = (f"{name}_crop", name), (".tar", ".tar.gz", ".zip")
    archives = (f"{own}{end}" for own in stems for end in ends)
    images = image_root(root, *archives)
    by_name = by_key(list_images(images), _key)
    columns = read_struct(_mat(root, images, name), name, _FIELDS)
    found: list[Sample] = []
    skipped: list[SkippedEntry] = []
    for dob, taken, path, gender, location, score, second in zip(*columns, strict=True):
        file = _text(path)
        try:
            key = _key(file)
            ref = the_one(by_name.get(key, ()))
            labels = _labels(float(dob), float(taken), float(gender))
            _check_scores(float(score), float(second))
            x1, y1, x2, y2 = (float(value) for value in np.ravel(location))
            # The file name begins with the number of the person.
            split = split_by_hash(key.rpartition("/")[2].partition("_")[0])
            found.append(Sample(ref, split, labels, box=(x1, y1, x2, y2)))
        except (ValueError, TypeError, IndexError) as error:
            known = str(error) if str(error) in _REASONS else "missing or unreadable field"
            skipped.append(SkippedEntry(file, known))
    samples, note = _framed(found)
    samples, twice = each_once(samples)
    return DatasetIndex(tuple(samples), TASKS, (*skipped, *twice), notes=(note,) if note else ())


_REASONS = frozenset(
    {NO_IMAGE, SEVERAL_IMAGES, "no face", "score below 1", "several faces", "no date of birth",
     "no year", "age out of range"}
)  # fmt: skip


def _labels(dob: float, taken: float, gender: float) -> dict[str, Label]:
    if not math.isfinite(taken):
        raise ValueError("no year")
    try:
        born = date.fromordinal(int(dob) - _MATLAB_EPOCH)
    except (ValueError, OverflowError) as error:
        raise ValueError("no date of birth") from error
    age = int(taken) - born.year - (born.month >= 7)
    if not 0 <= age <= 100:
        raise ValueError("age out of range")
    labels: dict[str, Label] = {AGE.name: float(age)}
    if gender in (0, 1):  # 0 female, 1 male; NaN where it is not known
        labels[GENDER.name] = int(gender)
    return labels


def _check_scores(score: float, second: float) -> None:
    if math.isnan(score) or score == -math.inf:
        raise ValueError("no face")
    if score < _LOWEST_SCORE:
        raise ValueError("score below 1")
    if second > 0:
        raise ValueError("several faces")


def _framed(samples: Sequence[Sample]) -> tuple[list[Sample], str]:
    """Samples with boxes in their own pictures, and a note. The boxes of the file are of the whole
    photos, also beside the crops, so the size of some pictures is measured."""
    crops = wholes = 0
    measured = samples[:: max(1, len(samples) // _MEASURED)]
    for sample in measured:
        assert sample.box is not None
        x1, y1, x2, y2 = sample.box
        try:
            with Image.open(io.BytesIO(read_bytes(sample.image))) as picture:
                width, height = picture.size
        except (OSError, KeyError, ValueError, Image.DecompressionBombError):
            continue
        as_crop = abs(width / height - (x2 - x1) / (y2 - y1)) <= _CLOSE
        as_crop &= abs((x2 - x1) * _SIDE - width) <= _CLOSE * width
        crops += as_crop
        wholes += not as_crop and x2 <= width + 1 and y2 <= height + 1
    if crops > len(measured) / 2:
        return [_with_box(sample, CROP_BOX) for sample in samples], "pictures are crops"
    if wholes > len(measured) / 2:
        return list(samples), "pictures are whole photos"
    note = "boxes do not fit the pictures and are left out" if samples else ""
    return [_with_box(sample, None) for sample in samples], note


def _with_box(sample: Sample, box: Box | None) -> Sample:
    return Sample(sample.image, sample.split, sample.labels, box=box)


def _mat(root: Path, images: Path, name: str) -> bytes:
    """The bytes of the label file, beside the pictures or in their archive."""
    for path in find_all(root, f"{name}.mat"):
        return path.read_bytes()
    if is_archive(images):
        for member in list_members(images):
            if PurePosixPath(member).name == f"{name}.mat":
                return read_member(images, member)
    raise DatasetError(f"{name}.mat was not found in {root}; put it beside the pictures.")


def _text(cell: Any) -> str:
    """What a cell of words holds; the empty word of one that holds nothing."""
    values = np.ravel(cell)
    return str(values[0]) if len(values) else ""


def _key(name: str) -> str:
    """``01/nm1_rm2_1899-5-10_1968``, whatever the suffix and the folders above."""
    return f"{PurePosixPath(name).parent.name}/{stem(name)}"
