"""The palette's promises and the emotion chart."""

import itertools

import numpy as np
import pytest

from agegenderemo.charts import INK, emotion_figure
from agegenderemo.labels import EMOTIONS
from agegenderemo.palette import EMOTION_COLORS, contrast, text_on
from agegenderemo.records import Attributes, Detection, Face

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


def _oklab(linear):
    lms = np.cbrt(
        np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
        @ np.clip(linear, 0, 1)
    )
    return (
        np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
        @ lms
    )


def _linear(color):
    srgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _face(emotions):
    detection = Detection((0, 0, 10, 10), 1.0, ((3, 4), (7, 4), (5, 6), (4, 8), (6, 8)))
    return Face(detection, Attributes(30, 0.7, emotions))


def test_every_emotion_has_a_colour_in_the_one_order():
    assert tuple(EMOTION_COLORS) == EMOTIONS


@pytest.mark.parametrize("background", ["#ffffff", "#111114"])
def test_colours_show_on_light_and_dark(background):
    assert min(contrast(color, background) for color in EMOTION_COLORS.values()) >= 2.95
    assert contrast(INK, background) >= 4


def test_text_on_a_colour_is_legible():
    assert min(contrast(text_on(color), color) for color in EMOTION_COLORS.values()) >= 4.5


@pytest.mark.parametrize("sight", _SIGHT)
def test_colours_stay_apart(sight):
    labs = [_oklab(_SIGHT[sight] @ _linear(color)) for color in EMOTION_COLORS.values()]
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(labs, 2))
    assert nearest >= 0.065  # three times what one can just tell apart


def test_emotion_figure_shows_the_eight_probabilities():
    values = (0.05, 0.05, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1)
    figure = emotion_figure(_face(values))
    (bars,) = figure.data
    assert tuple(bars.y) == EMOTIONS
    assert [x / 100 for x in bars.x] == pytest.approx(values)
    assert list(bars.marker.color) == list(EMOTION_COLORS.values())
    assert len(figure.to_json()) < 4000  # no default template
