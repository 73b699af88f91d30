"""FairFace (Kärkkäinen and Joo 2021): a csv with age band, gender and race an image."""

import csv
from pathlib import Path

from agegenderemo.data.readers.registry import register_reader
from agegenderemo.data.readers.source import bucket, find, image_root, list_images, stem
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

_LABELS = ("fairface_label_train.csv", "fairface_label_val.csv")


@register_reader("fairface", "FairFace", TASKS)
def read(root: Path) -> DatasetIndex:
    """Every FairFace image that is there, with the closed age interval of its band.

    The published validation file is the test split. Of the training file, images whose stem hashes
    to 0 mod 20 are held out for validation. Rows without an image are counted as skipped.
    """
    images = image_root(root, "fairface.zip")
    by_name = {_key(ref.name): ref for ref in list_images(images)}
    samples: list[Sample] = []
    skipped: list[SkippedEntry] = []
    repaired: list[SkippedEntry] = []
    labels = [name for name in _LABELS if _exists(root, name)] or [_LABELS[0]]
    for name in labels:
        with find(root, name).open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                _read_row(row, by_name, samples, skipped, repaired, held_out="_val" in name)
    return DatasetIndex(tuple(samples), TASKS, tuple(skipped), tuple(repaired))


def _read_row(
    row: dict[str, str | None],
    by_name: dict[str, ImageRef],
    samples: list[Sample],
    skipped: list[SkippedEntry],
    repaired: list[SkippedEntry],
    held_out: bool,
) -> None:
    file = (row.get("file") or "").strip()
    ref = by_name.get(_key(file))
    if ref is None:
        skipped.append(SkippedEntry(file, "no image"))
        return
    band = (row.get("age") or "").strip()
    if band.lower() in _MANGLED:
        repaired.append(SkippedEntry(file, f"age band {band}"))
        band = _MANGLED[band.lower()]
    gender = (row.get("gender") or "").strip().lower()
    if band not in BANDS or gender not in GENDER.classes:
        skipped.append(
            SkippedEntry(file, "unknown age band" if band not in BANDS else "unknown gender")
        )
        return
    split: Split = "test" if held_out else "val" if bucket(stem(file), 20) == 0 else "train"
    labels: dict[str, Label] = {AGE.name: BANDS[band], GENDER.name: GENDER.classes.index(gender)}
    samples.append(Sample(ref, split, labels, race=(row.get("race") or "").strip() or None))


def _key(name: str) -> str:
    """``train/12`` from ``train/12.jpg``, whatever the suffix and the folders above."""
    folder, _, file = name.rpartition("/")
    return f"{folder.rpartition('/')[2]}/{stem(file)}"


def _exists(root: Path, name: str) -> bool:
    folder = root if root.is_dir() else root.parent
    return (folder / name).is_file() or any(folder.glob(f"*/{name}"))
