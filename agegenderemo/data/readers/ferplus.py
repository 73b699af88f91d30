"""FER2013 with the FER+ labels (Barsoum et al. 2016), in both published layouts.

Images as FER+ lays them out (``FER2013Train/fer0000000.png`` …) with ``fer2013new.csv``, or the
original ``fer2013.csv``, whose rows are pixel strings and stand in the same order as the labels.
"""

from collections.abc import Mapping
from pathlib import Path

from agegenderemo.data.readers.fer_pixels import pixel_file, pixel_rows
from agegenderemo.data.readers.ferplus_votes import FERPLUS_COLUMNS, VOTED, soft_label
from agegenderemo.data.readers.registry import register_reader
from agegenderemo.data.readers.source import (
    NO_IMAGE,
    SEVERAL_IMAGES,
    by_key,
    find,
    image_root,
    list_images,
    stem,
)
from agegenderemo.data.readers.table import BROKEN_ROW, read_table
from agegenderemo.data.samples import DatasetIndex, ImageRef, Sample, SkippedEntry, Split
from agegenderemo.errors import DatasetError

TASKS = (VOTED,)

_SPLITS: dict[str, Split] = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}


@register_reader("ferplus", "FER+", TASKS)
def read(root: Path) -> DatasetIndex:
    """Every image with its ten votes, and the soft emotion label that they give.

    A sample of which most votes say "unknown" or "no face" keeps its votes and has no emotion, so
    that it is neither trained on nor counted. Splits are the column ``Usage``.
    """
    rows = list(read_table(find(root, "fer2013new.csv"), ("usage", "image name"))[1])
    images = image_root(root, "ferplus.zip", "archive.zip")
    pixels = pixel_file(root)
    broken: set[ImageRef] = set()
    if pixels is not None:
        drawn = list(pixel_rows(pixels))
        found = [[row.ref] for row in drawn]
        broken = {row.ref for row in drawn if not row.whole}
        if len(found) != len(rows):
            raise DatasetError(
                f"{pixels.name} has {len(found):,} rows and fer2013new.csv {len(rows):,}; "
                "they must be the same list."
            )
    else:
        by_stem = by_key(list_images(images), stem)
        found = [by_stem.get(stem((row or {}).get("image name", "")), []) for _, row in rows]

    samples: list[Sample] = []
    skipped: list[SkippedEntry] = []
    seen: set[ImageRef] = set()
    for (number, row), refs in zip(rows, found, strict=True):
        name = (row or {}).get("image name", "")
        if row is None:
            skipped.append(SkippedEntry(f"row {number}", BROKEN_ROW))
        elif not name:  # FER+ leaves the name blank where every vote is "no face"
            skipped.append(SkippedEntry(f"row {number}", "no image name"))
        elif len(refs) != 1:
            skipped.append(SkippedEntry(name, SEVERAL_IMAGES if refs else NO_IMAGE))
        elif refs[0] in seen:  # FER+ names four images twice
            skipped.append(SkippedEntry(name, "image named twice"))
        elif refs[0] in broken:
            skipped.append(SkippedEntry(name, "broken pixel string"))
        else:
            seen.add(refs[0])
            sample = _sample(row, refs[0], name)
            if isinstance(sample, SkippedEntry):
                skipped.append(sample)
            else:
                samples.append(sample)
    return DatasetIndex(tuple(samples), TASKS, tuple(skipped))


def _sample(row: Mapping[str, str], ref: ImageRef, name: str) -> Sample | SkippedEntry:
    try:
        votes = tuple(int(row[column.lower()]) for column in FERPLUS_COLUMNS)
        split = _SPLITS[row["usage"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        return SkippedEntry(name, "missing or unreadable field")
    if min(votes) < 0 or sum(votes) == 0:
        return SkippedEntry(name, "no votes")
    soft = soft_label(votes)
    return Sample(ref, split, {} if soft is None else {VOTED.name: soft}, votes)
