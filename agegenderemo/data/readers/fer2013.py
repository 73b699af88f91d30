"""FER2013 (Goodfellow et al. 2013) with its own labels, one of seven a face."""

from pathlib import Path

from agegenderemo.data.readers.fer_pixels import NAMES, pixel_file, pixel_rows
from agegenderemo.data.readers.folders import read_folders
from agegenderemo.data.readers.registry import register_reader
from agegenderemo.data.readers.source import list_images
from agegenderemo.data.readers.words import one_hot
from agegenderemo.data.samples import DatasetIndex, Sample, SkippedEntry, Split
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import EMOTION7

TASKS = (EMOTION7,)

CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""What the numbers 0 to 6 of the column ``emotion`` mean."""

SPLITS: dict[str, Split] = {"training": "train", "publictest": "val", "privatetest": "test"}
"""By the column ``Usage``, in small letters."""


@register_reader("fer2013", "FER2013", TASKS)
def read(root: Path) -> DatasetIndex:
    """Every image of ``fer2013.csv``, or of the popular copy that is a folder a class."""
    path = pixel_file(root)
    if path is None:
        if not any(list_images(root)):
            raise DatasetError(
                f"{root} holds neither {' nor '.join(NAMES)}, nor pictures; unpack what holds them."
            )
        return read_folders(root, TASKS)
    samples: list[Sample] = []
    skipped: list[SkippedEntry] = []
    for number, row in enumerate(pixel_rows(path), 2):
        code, split = row.cells.get("emotion", ""), SPLITS.get(row.cells.get("usage", ""))
        if not row.whole:
            skipped.append(SkippedEntry(f"row {number}", "broken pixel string"))
        elif split is None:
            skipped.append(SkippedEntry(f"row {number}", "unknown split"))
        elif code not in map(str, range(len(CODES))):
            skipped.append(SkippedEntry(f"row {number}", "unknown emotion"))
        else:
            label = one_hot(EMOTION7, EMOTION7.classes.index(CODES[int(code)]))
            samples.append(Sample(row.ref, split, {EMOTION7.name: label}))
    return DatasetIndex(tuple(samples), TASKS, tuple(skipped))
