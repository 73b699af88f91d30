"""Tasks in plain English: headlines, titles, and what is said of a face in HTML.

A face comes as its record, plain JSON types as `Face.to_dict` gives, so that cards, tables and
downloads round alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from agegenderemo.imaging.palette import class_color
from agegenderemo.tasks import TaskSpec

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
           "eleven", "twelve")  # fmt: skip
_TOLD = 3  # faces of a crowd that are told of


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def plain(name: str) -> str:
    """The name of a task as it stands in a sentence."""
    return name.replace("_", " ")


def spoken(labels: Sequence[str], one: str = "face", several: str = "faces") -> str:
    """Labels of faces or people as one sentence, to be read out: the first three, and how many.

    >>> spoken(["160 · with glasses", "172 · without"])
    '2 faces: 160, with glasses; 172, without.'
    """
    count = f"{len(labels)} {one if len(labels) == 1 else several}"
    told = [label.replace(" · ", ", ") for label in labels[:_TOLD]]
    if len(labels) > _TOLD:
        told.append(f"and {len(labels) - _TOLD} more")
    return f"{count}: {'; '.join(told)}."


def title(name: str) -> str:
    """The same at the beginning of one, or above a column.

    >>> title("head_cover")
    'Head cover'
    """
    return plain(name[:1].upper() + name[1:])


def several(spec: TaskSpec) -> str:
    """What the classes of a task are together: its plural, or its name."""
    return plain(spec.plural or spec.name)


def names_of(tasks: Sequence[TaskSpec]) -> str:
    """The tasks as the subject of a headline.

    >>> names_of((TaskSpec("height", "regression"), TaskSpec("glasses", "binary", ("no", "yes"))))
    'Height and glasses'
    """
    return title(listed([plain(spec.name) for spec in tasks]))


def counted(tasks: Sequence[TaskSpec]) -> str:
    """The same within a sentence, with the number of classes where a task has many.

    >>> counted((TaskSpec("mood", "categorical", ("a", "b", "c"), plural="moods"),))
    'three moods'
    """
    return listed([_counted(spec) for spec in tasks])


def _counted(spec: TaskSpec) -> str:
    if not spec.plural:
        return plain(spec.name)
    count = len(spec.classes)
    return f"{_COUNTS[count] if count < len(_COUNTS) else count} {several(spec)}"


def categorical(tasks: Iterable[TaskSpec]) -> list[TaskSpec]:
    """Those that have bars, a probability a class."""
    return [spec for spec in tasks if spec.kind == "categorical"]


def digits(spec: TaskSpec) -> int:
    """Decimals of a number that is shown: none where it is measured in a unit."""
    return 0 if spec.unit else 2


def number(spec: TaskSpec, value: float) -> str:
    """A value of a regression task."""
    return f"{value:.{digits(spec)}f}"


def percent(value: float) -> str:
    """A share in [0, 1]."""
    return f"{100 * value:.0f} %"


def interval(spec: TaskSpec, face: dict[str, Any]) -> str:
    """Between which values the true one probably lies (of four such faces in five it does), or
    nothing where the network is not calibrated.

    >>> interval(TaskSpec("height", "regression", unit="cm"), {"height_interval": [160.4, 171.6]})
    'probably 160 to 172'
    """
    ends = face.get(f"{spec.name}_interval")
    return f"probably {number(spec, ends[0])} to {number(spec, ends[1])}" if ends else ""


def hedged(spec: TaskSpec, face: Mapping[str, Any]) -> str:
    """The class of a face in a binary or categorical task, with "probably" before what is not much
    more than a guess.

    >>> glasses = TaskSpec("glasses", "binary", ("without", "with"))
    >>> hedged(glasses, {"glasses": "with", "glasses_confident": False})
    'probably with'
    """
    doubt = "probably " if face.get(f"{spec.name}_confident") is False else ""
    return f"{doubt}{face[spec.name]}"


def label_html(spec: TaskSpec, face: dict[str, Any]) -> str:
    """The class of a face in a binary or categorical task, the latter behind a dot of its
    colour."""
    label, name = face[spec.name], escape(hedged(spec, face))
    if spec.kind == "binary":
        return name
    return f'<span class="face-class" style="--dot:{class_color(spec, label)}">{name}</span>'


def probability(spec: TaskSpec, face: dict[str, Any]) -> float:
    """Of the class of a face in a binary or categorical task."""
    if spec.kind == "binary":
        return float(face[f"{spec.name}_probability"])
    return float(face[spec.probabilities_key][face[spec.name]])
