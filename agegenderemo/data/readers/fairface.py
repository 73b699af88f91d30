"""FairFace (Kärkkäinen and Joo 2021): a csv with age band, gender and race an image."""

from collections.abc import Mapping
from pathlib import Path

from agegenderemo.data.readers.registry import register_reader
from agegenderemo.data.readers.source import (
    bucket,
    each_once,
    find,
    find_all,
    image_root,
    list_images,
    stem,
)
from agegenderemo.data.readers.table import BROKEN_ROW, read_table
from agegenderemo.data.samples import DatasetIndex, ImageRef, Label, Sample, SkippedEntry, Split
from agegenderemo.tasks import AGE, GENDER

TASKS = (AGE, GENDER)

BANDS: dict[str, tuple[float, float]] = {
    "0-2": (0, 2),
    "3-9": (3, 9),
    "10-19": (10, 19),
    "20-29": (20, 29),
    "30-39": (30, 39),
    "40-49": (40, 49),
    "50-59": (50, 59),
    "60-69": (60, 69),
    "more than 70": (70, float("inf")),
}

_MANGLED = {
    "03-sep": "3-9", "3-sep": "3-9", "sep-03": "3-9", "09-mar": "3-9", "9-mar": "3-9",
    "oct-19": "10-19", "19-oct": "10-19",
}  # fmt: skip
"""What spreadsheets make of a band that looks like a date; each has one possible origin."""

_LABELS: dict[str, tuple[str, ...]] = {
    "train": ("fairface_label_train.csv", "train_labels.csv"),
    "val": ("fairface_label_val.csv", "val_labels.csv"),
}
"""Label files by the published split; the second names are of popular copies."""

_ARCHIVES = (
    "fairface.zip",
    "fairface-img-margin025-trainval.zip",
    "fairface-img-margin125-trainval.zip",
    "FairFace.zip",
    "archive.zip",
)


@register_reader("fairface", "FairFace", TASKS)
def read(root: Path) -> DatasetIndex:
    """Every FairFace image that is there, with the closed age interval of its band.

    The published validation file is the test split. Of the training file, images whose stem hashes
    to 0 mod 20 are held out for validation. Rows without an image are counted as skipped.
    """
    by_name: dict[str, ImageRef] = {}
    repaired: list[SkippedEntry] = []
    for ref in list_images(image_root(root, *_ARCHIVES)):
        if by_name.setdefault(_key(ref.name), ref) is not ref:  # the tighter margin comes first
            repaired.append(SkippedEntry(ref.name, "another picture of the same name"))
    samples: list[Sample] = []
    skipped: list[SkippedEntry] = []
    if not find_all(root, *_LABELS["train"], *_LABELS["val"]):
        find(root, *_LABELS["train"])  # which says that it is missing
    for split, names in _LABELS.items():
        for path in find_all(root, *names)[:1]:
            for number, row in read_table(path, ("file", "age", "gender"))[1]:
                if row is None:
                    skipped.append(SkippedEntry(f"{path.name}, row {number}", BROKEN_ROW))
                else:
                    _read_row(row, by_name, samples, skipped, repaired, held_out=split == "val")
    samples, twice = each_once(samples)
    return DatasetIndex(tuple(samples), TASKS, (*skipped, *twice), tuple(repaired))


def _read_row(
    row: Mapping[str, str],
    by_name: dict[str, ImageRef],
    samples: list[Sample],
    skipped: list[SkippedEntry],
    repaired: list[SkippedEntry],
    held_out: bool,
) -> None:
    file = row["file"]
    ref = by_name.get(_key(file))
    if ref is None:
        skipped.append(SkippedEntry(file, "no image"))
        return
    band = row["age"]
    if band.lower() in _MANGLED:
        repaired.append(SkippedEntry(file, f"age band {band}"))
        band = _MANGLED[band.lower()]
    gender = row["gender"].lower()
    if band not in BANDS or gender not in GENDER.classes:
        skipped.append(
            SkippedEntry(file, "unknown age band" if band not in BANDS else "unknown gender")
        )
        return
    split: Split = "test" if held_out else "val" if bucket(stem(file), 20) == 0 else "train"
    labels: dict[str, Label] = {AGE.name: BANDS[band], GENDER.name: GENDER.classes.index(gender)}
    samples.append(Sample(ref, split, labels, race=row.get("race") or None))


def _key(name: str) -> str:
    """``train/12`` from ``train/12.jpg``, whatever the suffix and the folders above."""
    folder, _, file = name.rpartition("/")
    return f"{folder.rpartition('/')[2]}/{stem(file)}"
