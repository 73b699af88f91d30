"""The palette's promises: every class has a colour that shows, and stays apart from the others."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from agegenderemo.imaging.palette import (
    CLASS_COLORS,
    CYCLE,
    NEUTRAL_COLOR,
    class_color,
    class_colors,
    contrast,
    luminance,
    text_on,
)
from agegenderemo.tasks import AGE, EMOTION, EMOTION6, TaskSpec

COLORS = [*CLASS_COLORS.values(), *CYCLE, NEUTRAL_COLOR]

# Machado et al. 2009, severity 1, on linear RGB.
_SIGHT = {
    "typical": np.eye(3),
    "protanopia": np.array(
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]
    ),
    "deuteranopia": np.array(
        [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]
    ),
}


def _oklab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    lms = np.cbrt(
        np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
        @ np.clip(linear, 0, 1)
    )
    lab: NDArray[np.float64] = (
        np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
        @ lms
    )
    return lab


def _linear(color: str) -> NDArray[np.float64]:
    srgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def test_every_emotion_has_a_colour_in_the_one_order() -> None:
    assert class_colors(EMOTION) == CLASS_COLORS
    assert tuple(CLASS_COLORS) == EMOTION.classes


@pytest.mark.parametrize("background", ["#ffffff", "#111114"])
def test_colours_show_on_light_and_dark(background: str) -> None:
    assert min(contrast(color, background) for color in COLORS) >= 2.95


def test_text_on_a_colour_is_legible() -> None:
    assert min(contrast(text_on(color), color) for color in COLORS) >= 4.5


def test_black_and_white_are_the_ends() -> None:
    assert luminance("#000000") == 0
    assert luminance("#ffffff") == pytest.approx(1)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert text_on("#ffff00") != text_on("#000080")


@pytest.mark.parametrize("sight", _SIGHT)
@pytest.mark.parametrize("colors", [tuple(CLASS_COLORS.values()), CYCLE])
def test_colours_stay_apart(sight: str, colors: tuple[str, ...]) -> None:
    labs = [_oklab(_SIGHT[sight] @ _linear(color)) for color in colors]
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(labs, 2))
    assert nearest >= 0.065  # three times what one can just tell apart


def test_a_known_class_has_its_colour_in_every_vocabulary() -> None:
    assert class_color(EMOTION6, "fear") == class_color(EMOTION, "fear")


def test_unknown_classes_get_colours_of_their_own() -> None:
    spec = TaskSpec("hat", "categorical", ("sadness", "cap", "helmet", "crown", "none"))
    colors = class_colors(spec)
    assert tuple(colors) == spec.classes
    assert colors["sadness"] == CLASS_COLORS["sadness"]
    assert len(set(colors.values())) == len(spec.classes)


def test_more_classes_than_colours_start_over() -> None:
    spec = TaskSpec("letter", "categorical", tuple("abcdefghijkl"))
    assert set(class_colors(spec).values()) == set(CYCLE)
    assert class_color(spec, "a") == class_color(spec, "i")


def test_a_number_has_no_classes_and_a_stranger_no_colour() -> None:
    assert class_colors(AGE) == {}
    with pytest.raises(KeyError):
        class_color(EMOTION, "boredom")
