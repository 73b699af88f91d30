"""The folder of a prepared set: made, gone on with after a kill, and extended.

A set is the same wherever its pictures lie: names, splits and labels are compared, not paths.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha1
from pathlib import Path
from typing import Any

import numpy as np

from agegenderemo.data.arrays import make_array
from agegenderemo.data.copies import THUMBNAIL
from agegenderemo.data.dataset import (
    THUMBNAILS,
    CropSource,
    PreparedSet,
    index_to_json,
    sample_to_json,
)
from agegenderemo.data.legacy import is_legacy
from agegenderemo.data.readers import read_bytes
from agegenderemo.data.samples import DatasetIndex, Label, Sample
from agegenderemo.errors import DatasetError
from agegenderemo.files import resolved, write_atomically
from agegenderemo.types import Template

_COMPARED = 16  # pictures of a set that has moved, by their bytes
_ROWS = 1024  # that are copied at once
_MOVING = ".extending"  # where a set is extended, beside it and out of sight of every command

_Key = tuple[str, int | None, int]


def open_folder(
    folder: Path, index: DatasetIndex, template: Template, size: int, command: str
) -> PreparedSet:
    """The writable set in a folder, which is made where it is missing, and extended where it holds
    a part of the samples.

    A set that is extended is what it would be, had it been made of all samples at once: faces that
    were framed by the others are to be framed anew.

    Raises DatasetError where the folder holds other samples, or crops of another kind.
    """
    _recover(folder)
    samples = tuple(_resolved(index.samples))
    if not (folder / "samples.jsonl").exists():
        _create(folder, samples, index, template, size, command)
        return PreparedSet.open(folder, writable=True)
    there = PreparedSet.open(folder, writable=True)
    if there.template != template:
        raise DatasetError(f"{folder} was made in another alignment template; remove it first.")
    if there.crops.shape[1] != size:
        raise DatasetError(
            f"{folder} holds crops of {there.crops.shape[1]} pixels, not {size}; remove it first."
        )
    added = _compare(folder, there.samples, samples)
    if added or (is_legacy(folder) and there.samples != samples):
        there = _extended(folder, there, samples, index, template, command)
    elif there.samples != samples:  # the pictures have moved
        write_atomically(folder / "samples.jsonl", _listing(samples))
        there = PreparedSet.open(folder, writable=True)
    return there


def _resolved(samples: Iterable[Sample]) -> Iterable[Sample]:
    """The samples with whole paths, which hold in any working folder."""
    known: dict[Path, Path] = {}
    for sample in samples:
        typed = sample.image.container
        container = known.setdefault(typed, resolved(typed))
        yield replace(sample, image=replace(sample.image, container=container))


def _create(
    folder: Path,
    samples: Sequence[Sample],
    index: DatasetIndex,
    template: Template,
    size: int,
    command: str,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    count = len(samples)
    arrays: tuple[tuple[str, tuple[int, ...], type], ...] = (
        ("crops", (count, size, size, 3), np.uint8),
        ("source", (count,), np.uint8),
        ("digest", (count, 20), np.uint8),
        ("landmarks", (count, 5, 2), np.float32),
        ("thumbnail", (count, THUMBNAIL), np.uint8),
    )
    try:
        for name, shape, dtype in arrays:
            make_array(folder / f"{name}.npy", dtype, shape)
    except OSError as error:
        for name, _, _ in arrays:
            (folder / f"{name}.npy").unlink(missing_ok=True)
        raise DatasetError(
            f"{folder} could not be made ({error.strerror}); its {count:,} crops of {size} pixels "
            f"take {count * size * size * 3 / 1e6:,.0f} MB."
        ) from error
    (folder / "index.json").write_text(
        index_to_json(template, index.tasks, command), encoding="utf-8"
    )
    # Last, because its presence says that the arrays are there.
    write_atomically(folder / "samples.jsonl", _listing(samples))


def _listing(samples: Iterable[Sample]) -> bytes:
    return "".join(sample_to_json(sample) + "\n" for sample in samples).encode()


def _keyed(samples: Iterable[Sample]) -> dict[_Key, int]:
    """Rows by the name of the picture, wherever it lies."""
    seen: Counter[tuple[str, int | None]] = Counter()
    rows: dict[_Key, int] = {}
    for row, sample in enumerate(samples):
        place = (sample.image.name, sample.image.offset)
        rows[(*place, seen[place])] = row
        seen[place] += 1
    return rows


def _compare(folder: Path, there: Sequence[Sample], now: Sequence[Sample]) -> int:
    """How many samples are new; raises DatasetError where the old ones are not the same."""
    before, after = _keyed(there), _keyed(now)
    gone = [key for key in before if key not in after]
    if gone:
        raise DatasetError(
            f"{folder} was made from another list of samples: {len(gone):,} of {len(before):,} are "
            f"not in this one, such as {_said(gone[0])}; remove it first."
        )
    pairs = [(key, there[row], now[after[key]]) for key, row in before.items()]
    other = [key for key, old, new in pairs if _known(old) != _known(new)]
    if other:
        raise DatasetError(
            f"{folder} was made with other labels for {len(other):,} of {len(before):,} samples, "
            f"such as {_said(other[0])}; remove it first."
        )
    moved = [(old, new) for _, old, new in pairs if old.image.container != new.image.container]
    for old, new in moved[:: max(1, len(moved) // _COMPARED)]:
        if _bytes_differ(old, new):
            raise DatasetError(
                f"{folder} was made from other pictures of the same names, such as "
                f"{new.image.name}; remove it first."
            )
    return len(after) - len(before)


def _known(sample: Sample) -> tuple[Any, Mapping[str, Label]]:
    return (sample.split, sample.votes, sample.race, sample.box), sample.labels


def _said(key: _Key) -> str:
    return key[0] or f"the row at byte {key[1]}"


def _bytes_differ(old: Sample, new: Sample) -> bool:
    """Whether both can be read, and are not the same."""
    try:
        return sha1(read_bytes(old.image)).digest() != sha1(read_bytes(new.image)).digest()
    except (OSError, KeyError, ValueError):
        return False  # the old place is gone, as it should be


def _extended(
    folder: Path,
    there: PreparedSet,
    samples: Sequence[Sample],
    index: DatasetIndex,
    template: Template,
    command: str,
) -> PreparedSet:
    """The set with more samples, made beside it and put in its place whole."""
    work = folder.parent / _MOVING / folder.name
    shutil.rmtree(work, ignore_errors=True)
    _create(work, samples, index, template, there.crops.shape[1], command)
    made = PreparedSet.open(work, writable=True)
    after = _keyed(samples)
    rows = np.array([after[key] for key in _keyed(there.samples)])
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        made.crops[rows[part]] = there.crops[part]
    np.load(work / "landmarks.npy", "r+")[rows] = np.load(folder / "landmarks.npy", "r")
    made.digest[rows] = there.digest
    if there.thumbnail is None:
        (work / THUMBNAILS).unlink()  # it is made anew for all of them
    else:
        np.load(work / THUMBNAILS, "r+")[rows] = there.thumbnail
    again = np.isin(there.source, (CropSource.ASSUMED, CropSource.UNREADABLE))
    made.source[rows] = np.where(again, CropSource.TODO, there.source)
    for array in (made.crops, made.digest, made.source):
        if isinstance(array, np.memmap):
            array.flush()
    os.replace(folder, _old(folder))
    _recover(folder)
    return PreparedSet.open(folder, writable=True)


def _old(folder: Path) -> Path:
    return folder.parent / _MOVING / f"{folder.name}.old"


def _recover(folder: Path) -> None:
    """Finish what a kill may have cut off: the new folder is whole once the old one is away."""
    old, work = _old(folder), folder.parent / _MOVING / folder.name
    if old.exists():
        if not folder.exists():
            os.replace(work, folder)
        shutil.rmtree(old)
    if work.parent.is_dir():
        shutil.rmtree(work, ignore_errors=True)
        if not any(work.parent.iterdir()):
            work.parent.rmdir()
