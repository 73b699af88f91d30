"""What people write in label files and on folders: classes, splits, numbers and bands."""

import re
from collections.abc import Sequence

from agegenderemo.data.readers.source import bucket
from agegenderemo.data.readers.table import number
from agegenderemo.data.samples import Estimate, Label, Sample, Split, check_label
from agegenderemo.tasks import TaskSpec

MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "?"})
"""Cells, in small letters, that say that a label is not known."""

_SAME = {
    "angry": "anger", "contemptuous": "contempt", "disgusted": "disgust", "fearful": "fear",
    "afraid": "fear", "scared": "fear", "happy": "happiness", "joy": "happiness", "sad": "sadness",
    "surprised": "surprise", "man": "male", "woman": "female", "men": "male", "women": "female",
    "smiling": "smile", "not smiling": "no smile",
}  # fmt: skip
"""Other words for classes; each has one meaning."""

_YES_NO = {"no": 0, "false": 0, "0": 0, "yes": 1, "true": 1, "1": 1}

_SPLITS: dict[str, Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip

_BAND = re.compile(r"([0-9.]+)\s*(?:-|–|to)\s*([0-9.]+)")
_OPEN_BAND = re.compile(r"(?:>=|more than|over)\s*([0-9.]+)|([0-9.]+)\s*\+")

_OLDEST = 130  # years


def split_named(text: str) -> Split | None:
    """The split that a word stands for, None for any other word."""
    return _SPLITS.get(text.strip().lower())


def split_by_hash(key: str) -> Split:
    """A split made by a stable hash of a name: of ten names two for testing, one for validation."""
    tenth = bucket(key, 10)
    return "test" if tenth < 2 else "val" if tenth == 2 else "train"


def split_note(samples: Sequence[Sample]) -> str:
    """How many samples of a set of the user's own are in each split."""
    counts = {name: sum(s.split == name for s in samples) for name in ("train", "val", "test")}
    return "splits: " + ", ".join(f"{count:,} {name}" for name, count in counts.items())


def class_of(spec: TaskSpec, text: str) -> int | None:
    """The index of the class that a word names, None where it names none, or may name several.

    A single letter is enough where one class begins with it. 0 and 1 mean no and yes, where the
    second class is what the task asks for; of two other classes they could be either.
    """
    word = " ".join(re.split(r"[\s_]+", text.strip().lower()))
    word = _SAME.get(word, word)
    names = [name.lower() for name in spec.classes]
    if word in names:
        return names.index(word)
    if spec.kind == "binary" and names[1] == spec.name and word in _YES_NO:
        return _YES_NO[word]
    first = [index for index, name in enumerate(names) if len(word) == 1 and name[0] == word]
    return first[0] if len(first) == 1 else None


def label_of(spec: TaskSpec, text: str, deviation: str = "") -> Label:
    """The label that a cell holds: a number or a band (``20-29``, ``70+``) of a regression, with or
    without its unit, with the ``deviation`` of a number that was guessed, or the name of a class.

    Raises ValueError for a cell that cannot be understood, or a label that the task cannot have.
    """
    if spec.kind != "regression":
        index = class_of(spec, text)
        if index is None:
            raise ValueError(f"{text!r} is no class of {spec.name}")
        return index if spec.kind == "binary" else one_hot(spec, index)
    label: Label
    text = text.strip().lower().removesuffix(spec.unit.lower()).strip()
    if band := _BAND.fullmatch(text):
        label = (number(band[1]), number(band[2]))
    elif band := _OPEN_BAND.fullmatch(text):
        label = (number(band[1] or band[2]), float("inf"))
    elif deviation.strip().lower() not in MISSING:
        label = Estimate(number(text), number(deviation))
    else:
        label = number(text)
    check_label(spec, label)
    lowest = label[0] if isinstance(label, tuple) else label
    if spec.unit == "years" and lowest > _OLDEST:
        raise ValueError(f"nobody is {text} years old")
    return label


def one_hot(spec: TaskSpec, index: int) -> tuple[float, ...]:
    """The certainty of one class as the label of a categorical task."""
    return tuple(float(own == index) for own in range(len(spec.classes)))
