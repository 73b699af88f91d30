"""Annotated pictures, for the tasks of any network."""

import itertools

import numpy as np
import pytest
from PIL import Image, ImageDraw

from agegenderemo.imaging import draw
from agegenderemo.imaging.draw import annotate, face_color, prediction_text
from agegenderemo.imaging.palette import CLASS_COLORS, NEUTRAL_COLOR, class_color
from agegenderemo.tasks import (
    AGE,
    EMOTION,
    GENDER,
    BinaryPrediction,
    CategoricalPrediction,
    Prediction,
    RegressionPrediction,
    TaskSpec,
)
from agegenderemo.types import Box, Detection, Face, Landmarks, RGBImage

GLASSES = TaskSpec("glasses", "binary", ("without", "with"))
HAPPY = CategoricalPrediction(EMOTION, (0.1,) * 4 + (0.3,) + (0.1,) * 3)
STANDARD = (RegressionPrediction(AGE, 34.2), BinaryPrediction(GENDER, 0.2), HAPPY)


def face_at(box: Box, predictions: tuple[Prediction, ...] = STANDARD) -> Face:
    x1, y1, x2, y2 = box
    points: Landmarks = tuple(  # type: ignore[assignment]
        (x1 + (x2 - x1) * a, y1 + (y2 - y1) * b)
        for a, b in ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.4, 0.8), (0.6, 0.8))
    )
    return Face(Detection(box, 1.0, points), {one.spec.name: one for one in predictions})


def written(
    monkeypatch: pytest.MonkeyPatch, picture: RGBImage, *predictions: Prediction
) -> list[str]:
    """Labels that are drawn for one face."""
    texts: list[str] = []
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda self, xy, text, **kw: texts.append(text)
    )
    annotate(picture, [face_at((100, 120, 180, 220), predictions)])
    return texts


def places_of(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int, int]]:
    """Collects where labels are put."""
    places = []
    label = draw._label

    def spy(*args):  # type: ignore[no-untyped-def]
        found = label(*args)
        places.append(found[2])
        return found

    monkeypatch.setattr(draw, "_label", spy)
    return places


@pytest.fixture
def grey() -> RGBImage:
    return np.full((300, 400, 3), 90, np.uint8)


def test_no_faces_is_an_equal_copy(grey: RGBImage) -> None:
    result = annotate(grey, [])
    assert np.array_equal(result, grey)
    assert not np.shares_memory(result, grey)


def test_box_has_the_colour_of_the_emotion_and_the_input_is_untouched(grey: RGBImage) -> None:
    before = grey.copy()
    result = annotate(grey, [face_at((100, 120, 180, 220))])
    color = CLASS_COLORS["happiness"]
    assert tuple(result[170, 100]) == tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
    assert np.array_equal(grey, before)
    assert result.shape == grey.shape
    assert result.dtype == np.uint8


def test_the_label_says_age_gender_and_emotion(
    grey: RGBImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert written(monkeypatch, grey, *STANDARD) == ["34 · female · happiness"]


def test_the_label_says_what_the_network_knows(
    grey: RGBImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_glasses = BinaryPrediction(GLASSES, 0.9, confident=True)
    assert written(monkeypatch, grey, with_glasses, STANDARD[0]) == ["glasses: with · 34"]


def test_a_guess_is_called_probable() -> None:
    assert (
        prediction_text(BinaryPrediction(GLASSES, 0.4, confident=False))
        == "glasses: probably without"
    )
    assert prediction_text(BinaryPrediction(GLASSES, 0.4, confident=True)) == "glasses: without"
    assert prediction_text(BinaryPrediction(GLASSES, 0.4)) == "glasses: without"  # not calibrated
    assert prediction_text(CategoricalPrediction(EMOTION, HAPPY.probabilities, False)) == (
        "probably happiness"
    )
    assert prediction_text(RegressionPrediction(AGE, 34.6)) == "35"


def test_the_colour_is_of_the_first_task_with_most_classes() -> None:
    age, gender, emotion = STANDARD
    glasses = BinaryPrediction(GLASSES, 0.9)
    named: dict[str, Prediction] = {one.spec.name: one for one in (age, gender, glasses, emotion)}
    assert face_color(named) == CLASS_COLORS["happiness"]
    del named["emotion"]
    assert face_color(named) == class_color(GENDER, "female")
    assert face_color({"age": age}) == NEUTRAL_COLOR
    assert face_color({}) == NEUTRAL_COLOR


def test_a_face_without_predictions_is_still_drawn(grey: RGBImage) -> None:
    assert not np.array_equal(annotate(grey, [face_at((100, 120, 180, 220), ())]), grey)


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 60, 60),
        (340, 0, 400, 60),
        (0, 240, 60, 300),
        (380.5, 280.5, 400, 300),
        (0, 0, 400, 300),
    ],
)
def test_labels_stay_inside_the_picture(
    grey: RGBImage, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = places_of(monkeypatch)
    annotate(grey, [face_at(box)])
    (x1, y1, x2, y2) = places[0]
    assert x1 >= 0
    assert y1 >= 0
    assert x2 <= 400
    assert y2 <= 300


def test_labels_of_a_crowd_do_not_cover_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    places = places_of(monkeypatch)
    picture = np.zeros((1000, 1400, 3), np.uint8)
    faces = [face_at((x, y, x + 50, y + 60)) for y in (300, 420, 540) for x in range(50, 1300, 130)]
    annotate(picture, faces)
    assert len(places) == len(faces)
    for a, b in itertools.combinations(places, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for place, face in itertools.product(places, faces):
        x1, y1, x2, y2 = face.box
        assert place[2] <= x1 or x2 <= place[0] or place[3] <= y1 or y2 <= place[1]


@pytest.mark.parametrize("size", [(1, 1), (20000, 2), (9, 400)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    assert annotate(picture, [face_at((0, 0, width, height))]).shape == picture.shape


def test_a_larger_picture_has_larger_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    places = places_of(monkeypatch)
    for scale in (1, 4):
        picture = np.asarray(Image.new("RGB", (400 * scale, 300 * scale)))
        annotate(picture, [face_at((100 * scale, 120 * scale, 180 * scale, 220 * scale))])
    small, large = (place[3] - place[1] for place in places)
    assert large > 2 * small
