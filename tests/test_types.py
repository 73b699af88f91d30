"""The records that rooms hand to each other: what they refuse, what they say of themselves."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from agegenderemo.errors import MissingExtraError, TaskError
from agegenderemo.tasks import (
    AGE,
    EMOTION,
    GENDER,
    SMILE,
    BinaryPrediction,
    CategoricalPrediction,
    Prediction,
    RegressionPrediction,
    TaskSpec,
)
from agegenderemo.types import Detection, Face, InputSpec

POINTS: Any = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (35.0, 80.0), (65.0, 80.0))
HAPPY = (0.0, 0.0, 0.0, 0.0, 0.75, 0.25, 0.0, 0.0)
DETECTION = Detection((10, 20, 90, 110), 0.99, POINTS)


def face(*predictions: Prediction, flags: tuple[str, ...] = ()) -> Face:
    return Face(DETECTION, {p.spec.name: p for p in predictions}, flags)


def usual(male: float = 0.2) -> Face:
    return face(
        RegressionPrediction(AGE, 31.25),
        BinaryPrediction(GENDER, male),
        CategoricalPrediction(EMOTION, HAPPY),
    )


def test_to_dict_is_the_documented_shape() -> None:
    record = usual().to_dict()
    assert record == {
        "box": [10, 20, 90, 110],
        "score": 0.99,
        "landmarks": [[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]],
        "roll": 0,
        "age": 31.25,
        "age_interval": None,
        "age_error": None,
        "gender": "female",
        "gender_probability": 0.8,
        "gender_confident": None,
        "emotion": "happiness",
        "emotions": dict(zip(EMOTION.classes, HAPPY, strict=True)),
        "emotion_confident": None,
        "quality_flags": [],
    }
    assert list(record)[4:7] == ["age", "age_interval", "age_error"]


def test_to_dict_tells_how_sure_it_is() -> None:
    given = face(
        RegressionPrediction(AGE, 31.25, (24.04, 40.06), 5.04),
        BinaryPrediction(GENDER, 0.4, confident=False),
        CategoricalPrediction(EMOTION, HAPPY, confident=True),
        flags=("dark", "turned"),
    ).to_dict()
    assert given["age_interval"] == [24.0, 40.1]
    assert given["age_error"] == 5.0
    assert (given["gender_confident"], given["emotion_confident"]) == (False, True)
    assert given["quality_flags"] == ["dark", "turned"]


def test_a_task_that_is_absent_has_no_keys() -> None:
    record = face(BinaryPrediction(SMILE, 0.9, confident=True)).to_dict()
    assert list(record) == [
        "box", "score", "landmarks", "roll", "smile", "smile_probability", "smile_confident",
        "quality_flags",
    ]  # fmt: skip
    assert (record["smile"], record["smile_probability"]) == ("smile", 0.9)


@pytest.mark.parametrize(("male", "gender"), [(0.49, "female"), (0.5, "male"), (1.0, "male")])
def test_gender_goes_with_its_probability(male: float, gender: str) -> None:
    assert usual(male).gender == gender
    assert 0.5 <= usual(male).gender_probability <= 1


def test_the_conveniences_are_the_predictions() -> None:
    one = face(
        RegressionPrediction(AGE, 31.25, (24.0, 40.0), 5.0), CategoricalPrediction(EMOTION, HAPPY)
    )
    assert (one.age, one.age_interval) == (31.25, (24.0, 40.0))
    assert one.emotion == "happiness"
    assert list(one.emotions) == list(EMOTION.classes)
    assert one.emotions["happiness"] == 0.75
    assert (one.box, one.score, one.landmarks) == (DETECTION.box, 0.99, POINTS)


@pytest.mark.parametrize(
    "read",
    [
        lambda f: f.age,
        lambda f: f.age_interval,
        lambda f: f.gender,
        lambda f: f.gender_probability,
        lambda f: f.emotion,
        lambda f: f.emotions,
    ],
)
def test_a_convenience_without_its_task_is_one_sentence(read: Callable[[Face], Any]) -> None:
    with pytest.raises(TaskError, match=r"has no task '\w+'; its tasks are: smile\."):
        read(face(BinaryPrediction(SMILE, 0.9)))


def test_a_convenience_of_another_kind_says_where_to_look() -> None:
    grown_up = TaskSpec("age", "binary", ("child", "adult"))
    with pytest.raises(TaskError, match=r"is binary, not regression; read face\.predictions"):
        _ = face(BinaryPrediction(grown_up, 0.9)).age


@pytest.mark.parametrize(
    "build",
    [
        lambda: InputSpec(16),
        lambda: InputSpec(64, std=(0.2, 0.0, 0.2)),
        lambda: InputSpec(64, mean=(0.2, float("nan"), 0.2)),
        lambda: InputSpec(64, template="wide"),  # type: ignore[arg-type]
        lambda: Detection((10, 10, 10, 20), 1, POINTS),
        lambda: Detection((0, 0, 1, 1), 1, POINTS[:4]),
        lambda: Detection((0, 0, math.inf, 1), 1, POINTS),
        lambda: Detection((0, 0, 1, 1), 1, ((math.nan, 0), *POINTS[1:])),
        lambda: Detection((0, 0, 1, 1), 1, ((0,), *POINTS[1:])),
        lambda: Detection((0, 0, 1, 1), 1.1, POINTS),
        lambda: face(flags=("ugly",)),
        lambda: Face(DETECTION, {"years": RegressionPrediction(AGE, 30)}),
    ],
)
def test_impossible_records_are_not_built(build: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"must|wanted|stands under|unknown"):
        build()


def test_errors_cross_processes() -> None:
    import pickle

    error = MissingExtraError("train", "train")
    assert str(error) == "train needs more packages: pip install 'agegenderemo[train]'."
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
