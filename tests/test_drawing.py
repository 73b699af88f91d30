"""Annotated pictures."""

import itertools

import numpy as np
import pytest
from PIL import Image, ImageDraw

from agegenderemo import drawing
from agegenderemo.drawing import annotate
from agegenderemo.palette import EMOTION_COLORS
from agegenderemo.records import Attributes, Detection, Face


def _face(box, age=34.2, happiness=0.3):
    rest = (1 - happiness) / 7
    x1, y1, x2, y2 = box
    points = tuple((x1 + (x2 - x1) * a, y1 + (y2 - y1) * b) for a, b in
                   ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.4, 0.8), (0.6, 0.8)))  # fmt: skip
    emotions = (rest,) * 4 + (happiness,) + (rest,) * 3
    return Face(Detection(box, 1.0, points), Attributes(age, 0.2, emotions))


@pytest.fixture
def grey():
    return np.full((300, 400, 3), 90, np.uint8)


def test_no_faces_is_an_equal_copy(grey):
    result = annotate(grey, [])
    assert np.array_equal(result, grey)
    assert not np.shares_memory(result, grey)


def test_box_has_the_colour_of_the_emotion_and_the_input_is_untouched(grey):
    before = grey.copy()
    result = annotate(grey, [_face((100, 120, 180, 220))])
    color = EMOTION_COLORS["happiness"]
    assert tuple(result[170, 100]) == tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
    assert np.array_equal(grey, before)
    assert result.shape == grey.shape
    assert result.dtype == np.uint8


def test_the_label_says_age_gender_and_emotion(grey, monkeypatch):
    written = []
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda self, xy, text, **kw: written.append(text)
    )
    annotate(grey, [_face((100, 120, 180, 220))])
    assert written == ["34 · female · happiness"]


@pytest.mark.parametrize("box", [(0, 0, 60, 60), (340, 0, 400, 60), (0, 240, 60, 300),
                                 (380.5, 280.5, 400, 300), (0, 0, 400, 300)])  # fmt: skip
def test_labels_stay_inside_the_picture(grey, box, monkeypatch):
    places = _places(monkeypatch)
    annotate(grey, [_face(box)])
    (x1, y1, x2, y2) = places[0]
    assert x1 >= 0
    assert y1 >= 0
    assert x2 <= 400
    assert y2 <= 300


def test_labels_of_a_crowd_do_not_cover_each_other(monkeypatch):
    places = _places(monkeypatch)
    picture = np.zeros((1000, 1400, 3), np.uint8)
    faces = [_face((x, y, x + 50, y + 60)) for y in (300, 420, 540) for x in range(50, 1300, 130)]
    annotate(picture, faces)
    assert len(places) == len(faces)
    for a, b in itertools.combinations(places, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for place, face in itertools.product(places, faces):
        x1, y1, x2, y2 = face.box
        assert place[2] <= x1 or x2 <= place[0] or place[3] <= y1 or y2 <= place[1]


@pytest.mark.parametrize("size", [(1, 1), (20000, 2), (9, 400)])
def test_odd_sizes(size):
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    assert annotate(picture, [_face((0, 0, width, height))]).shape == picture.shape


def test_a_larger_picture_has_larger_labels(monkeypatch):
    places = _places(monkeypatch)
    for scale in (1, 4):
        picture = np.asarray(Image.new("RGB", (400 * scale, 300 * scale)))
        annotate(picture, [_face(tuple(v * scale for v in (100, 120, 180, 220)))])
    small, large = (place[3] - place[1] for place in places)
    assert large > 2 * small


def _places(monkeypatch):
    """Collects where labels are put."""
    places = []
    label = drawing._label

    def spy(*args):
        found = label(*args)
        places.append(found[2])
        return found

    monkeypatch.setattr(drawing, "_label", spy)
    return places
