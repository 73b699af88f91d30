"""The chart of a face."""

import pytest

from agegenderemo.imaging.palette import class_colors, contrast
from agegenderemo.tasks import AGE, EMOTION, EMOTION6, CategoricalPrediction, TaskSpec, decode
from agegenderemo.types import Detection, Face
from agegenderemo.web.charts import INK, class_figure

EIGHT = (0.05, 0.05, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1)
HAIR = TaskSpec("hair", "categorical", ("neutral", "dark", "light"))


def face(*predictions: CategoricalPrediction) -> Face:
    detection = Detection((0, 0, 10, 10), 1.0, ((3, 4), (7, 4), (5, 6), (4, 8), (6, 8)))
    named = {AGE.name: decode(AGE, 30.0)} | {one.spec.name: one for one in predictions}
    return Face(detection, named)


@pytest.mark.parametrize("background", ["#ffffff", "#111114"])
def test_its_type_shows_on_light_and_dark(background: str) -> None:
    assert contrast(INK, background) >= 4


def test_it_shows_the_probabilities_of_every_class() -> None:
    figure = class_figure(face(CategoricalPrediction(EMOTION, EIGHT)), (AGE, EMOTION))
    (bars,) = figure.data
    assert tuple(figure.layout.yaxis.ticktext) == EMOTION.classes
    assert [x / 100 for x in bars.x] == pytest.approx(EIGHT)
    assert list(bars.marker.color) == list(class_colors(EMOTION).values())
    assert figure.layout.height == 300
    assert len(figure.to_json()) < 4000  # no default template


def test_two_tasks_stand_below_each_other() -> None:
    moods = CategoricalPrediction(EMOTION6, (0.5, 0.1, 0.1, 0.1, 0.1, 0.1))
    hair = CategoricalPrediction(HAIR, (0.2, 0.3, 0.5))
    figure = class_figure(face(moods, hair), (EMOTION6, AGE, HAIR))
    (bars,) = figure.data
    assert list(figure.layout.yaxis.ticktext) == [*EMOTION6.classes, *HAIR.classes]
    assert list(bars.y) == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert [x / 100 for x in bars.x[-3:]] == pytest.approx(hair.probabilities)
