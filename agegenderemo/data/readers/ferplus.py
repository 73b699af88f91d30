"""FER2013 with the FER+ labels (Barsoum et al. 2016), in both published layouts.

Images as FER+ lays them out (``FER2013Train/fer0000000.png`` …) with ``fer2013new.csv``, or the
original ``fer2013.csv``, whose rows are pixel strings and stand in the same order as the labels.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from agegenderemo.data.readers.ferplus_votes import FERPLUS_COLUMNS, VOTED, soft_label
from agegenderemo.data.readers.registry import register_reader
from agegenderemo.data.readers.source import find, image_root, list_images, stem
from agegenderemo.data.readers.table import BROKEN_ROW, read_table
from agegenderemo.data.samples import DatasetIndex, ImageRef, Sample, SkippedEntry, Split
from agegenderemo.errors import DatasetError

TASKS = (VOTED,)

_SPLITS: dict[str, Split] = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
_PIXELS = 48 * 48


@register_reader("ferplus", "FER+", TASKS)
def read(root: Path) -> DatasetIndex:
    """Every image with its ten votes, and the soft emotion label that they give.

    A sample of which most votes say "unknown" or "no face" keeps its votes and has no emotion, so
    that it is neither trained on nor counted. Splits are the column ``Usage``.
    """
    rows = list(read_table(find(root, "fer2013new.csv"), ("usage", "image name"))[1])
    images = image_root(root, "ferplus.zip", "archive.zip")
    pixels = _pixel_file(root)
    if pixels is not None:
        refs: list[ImageRef | None] = [*_pixel_rows(pixels)]
        if len(refs) != len(rows):
            raise DatasetError(
                f"{pixels.name} has {len(refs):,} rows and fer2013new.csv {len(rows):,}; "
                "they must be the same list."
            )
    else:
        by_stem = {stem(ref.name): ref for ref in list_images(images)}
        refs = [by_stem.get(stem((row or {}).get("image name", ""))) for _, row in rows]

    samples: list[Sample] = []
    skipped: list[SkippedEntry] = []
    seen: set[ImageRef] = set()
    for (number, row), ref in zip(rows, refs, strict=True):
        name = (row or {}).get("image name", "")
        if row is None:
            skipped.append(SkippedEntry(f"row {number}", BROKEN_ROW))
        elif not name:  # FER+ leaves the name blank where every vote is "no face"
            skipped.append(SkippedEntry(f"row {number}", "no image name"))
        elif ref is None:
            skipped.append(SkippedEntry(name, "no image"))
        elif ref in seen:  # FER+ names four images twice
            skipped.append(SkippedEntry(name, "image named twice"))
        elif pixels is not None and ref.name:
            skipped.append(SkippedEntry(name, ref.name))
        else:
            seen.add(ref)
            sample = _sample(row, ref, name)
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


def _pixel_file(root: Path) -> Path | None:
    if root.is_file():
        return root if root.suffix == ".csv" else None
    path = root / "fer2013.csv"
    return path if path.is_file() else None


def _pixel_rows(path: Path) -> Iterator[ImageRef]:
    """A reference to each row after the header; ``name`` says what is wrong with a broken one."""
    with path.open("rb") as file:
        header = file.readline()
        if b"pixels" not in header:
            raise DatasetError(f"{path} is not the published fer2013.csv: no column 'pixels'.")
        offset = file.tell()
        for line in file:
            if line.strip():
                fields = line.decode(errors="replace").replace('"', "").split(",")
                values = fields[1].split() if len(fields) > 1 else []
                good = len(values) == _PIXELS and all(map(_is_level, values))
                yield ImageRef(path, "" if good else "broken pixel string", offset)
            offset += len(line)


def _is_level(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) < 256
