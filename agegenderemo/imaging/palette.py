"""The one colour of each class, the same in charts, bars and drawings."""

from itertools import cycle

from agegenderemo.tasks import TaskSpec

CLASS_COLORS: dict[str, str] = {
    "anger": "#a84444",
    "contempt": "#9c6b0b",
    "disgust": "#7b9c66",
    "fear": "#6e60f4",
    "happiness": "#d4811e",
    "neutral": "#85797c",
    "sadness": "#2f69b5",
    "surprise": "#d36ec7",
}
"""sRGB hex of the classes that have a colour of their own. Each has a contrast of about 3:1 or more
on white and on near-black, and they stay apart for red- and green-blind eyes;
`tests/test_imaging_palette.py` measures both."""

CYCLE = ("#2f69b5", "#d4811e", "#7b9c66", "#d36ec7", "#6e60f4", "#9c6b0b", "#a84444", "#85797c")
"""The same colours for all other classes, in an order in which neighbours stay apart."""

NEUTRAL_COLOR = "#85797c"
"""Of what has no class."""

_DARK, _LIGHT = "#0c0c0c", "#ffffff"


def class_colors(spec: TaskSpec) -> dict[str, str]:
    """A ``#rrggbb`` for each class of a task, in their order; empty for a regression.

    Known classes keep their colour; the others take those that are left, in turn.

    >>> class_colors(TaskSpec("glasses", "binary", ("without", "with")))
    {'without': '#2f69b5', 'with': '#d4811e'}
    """
    known = {name: CLASS_COLORS[name] for name in spec.classes if name in CLASS_COLORS}
    free = cycle([color for color in CYCLE if color not in known.values()] or CYCLE)
    return {name: known.get(name) or next(free) for name in spec.classes}


def class_color(spec: TaskSpec, name: str) -> str:
    """The ``#rrggbb`` of one class of a task; raises KeyError for a class that it lacks."""
    return class_colors(spec)[name]


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2) in [0, 1] of an sRGB colour written ``#rrggbb``."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """Contrast ratio (WCAG 2) of two ``#rrggbb`` colours, in [1, 21]."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def text_on(color: str) -> str:
    """White or near-black, whichever reads better on ``color``."""
    return max(_LIGHT, _DARK, key=lambda text: contrast(text, color))
