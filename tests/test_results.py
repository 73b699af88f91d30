"""Results as JSON and CSV, for the usual network and for one with tasks that nobody knows."""

from typing import Any

import jsonschema
import numpy as np
import pytest

from agegenderemo.results import (
    SCHEMA_VERSION,
    csv_fields,
    csv_rows,
    error_record,
    json_schema,
    no_formula,
    picture_record,
)
from agegenderemo.tasks import (
    AGE,
    DEFAULT_TASKS,
    EMOTION,
    EMOTION6,
    GENDER,
    SMILE,
    RegressionCalibration,
    TaskSpec,
    predict,
)
from agegenderemo.types import Detection, Face

PICTURE = np.zeros((240, 320, 3), np.uint8)
POINTS: Any = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (35.0, 80.0), (65.0, 80.0))
HAIR = TaskSpec("hair", "categorical", ("short", "long", "none"))
WEIGHT = TaskSpec("weight", "regression")
NETWORKS = [DEFAULT_TASKS, (AGE, EMOTION6), (SMILE,), (WEIGHT, HAIR)]
NETWORK = {"model": "net", "precision": "int8", "weights_sha256": "0" * 64}
YEARS = RegressionCalibration((0.0, 50.0), (-5.0, 40.0), (5.0, 65.0), (1.0, 9.0))


def record_of(tasks: tuple[TaskSpec, ...], calibrated: bool = False) -> dict[str, Any]:
    values: dict[str, Any] = {"regression": 25.0, "binary": 0.75}
    predictions = {
        spec.name: predict(
            spec,
            values.get(spec.kind, [1 / max(1, len(spec.classes))] * len(spec.classes)),
            YEARS if calibrated and spec.kind == "regression" else None,
        )
        for spec in tasks
    }
    face = Face(Detection((10, 20, 90, 110), 0.99, POINTS), predictions, ("small", "dark"))
    return picture_record("a photo.jpg", PICTURE, [face], "plain", NETWORK)


@pytest.mark.parametrize("tasks", NETWORKS, ids=lambda tasks: "+".join(t.name for t in tasks))
@pytest.mark.parametrize("calibrated", [False, True])
def test_records_are_what_the_schema_says(tasks: tuple[TaskSpec, ...], calibrated: bool) -> None:
    schema = json_schema(tasks)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    record = record_of(tasks, calibrated)
    validator.validate(record)
    validator.validate(picture_record("wall.png", PICTURE, [], "thorough"))
    validator.validate(error_record("gone.jpg", "Cannot read gone.jpg."))
    (face,) = record["faces"]
    assert list(face) == list(schema["$defs"]["face"]["properties"])


@pytest.mark.parametrize("key", ["box", "age", "gender_probability", "emotions", "quality_flags"])
def test_a_key_that_is_missing_or_wrong_is_no_record(key: str) -> None:
    validator = jsonschema.Draft202012Validator(json_schema(DEFAULT_TASKS))
    broken = record_of(DEFAULT_TASKS)
    broken["faces"][0][key] = "wrong"
    assert not validator.is_valid(broken)
    del broken["faces"][0][key]
    assert not validator.is_valid(broken)


def test_a_record_of_other_tasks_does_not_pass() -> None:
    validator = jsonschema.Draft202012Validator(json_schema((AGE, EMOTION6)))
    assert not validator.is_valid(record_of((AGE,)))


@pytest.mark.parametrize("tasks", NETWORKS, ids=lambda tasks: "+".join(t.name for t in tasks))
def test_a_row_a_face_fills_every_column_but_the_error(tasks: tuple[TaskSpec, ...]) -> None:
    (row,) = csv_rows(record_of(tasks, calibrated=True), tasks)
    assert set(row) == set(csv_fields(tasks)) - {"error"}
    assert row["quality_flags"] == "small; dark"
    assert (row["file"], row["face"], row["x2"]) == ("a photo.jpg", 1, 90)


def test_the_columns_of_the_usual_network() -> None:
    assert csv_fields(DEFAULT_TASKS) == (
        "file", "face", "x1", "y1", "x2", "y2", "score",
        "age", "age_low", "age_high", "age_error",
        "gender", "gender_probability", "gender_confident",
        "emotion", *EMOTION.classes, "emotion_confident",
        "quality_flags", "error", "model", "precision", "weights_sha256",
    )  # fmt: skip


def test_an_interval_has_two_columns_and_none_where_it_is_not_calibrated() -> None:
    (row,) = csv_rows(record_of((AGE, GENDER), calibrated=True), (AGE, GENDER))
    assert (row["age_low"], row["age"], row["age_high"]) == (17.5, 25.0, 35.0)
    (row,) = csv_rows(record_of((AGE, GENDER)), (AGE, GENDER))
    assert "age_low" not in row


def test_pictures_without_a_face_and_errors_have_a_row() -> None:
    (nobody,) = csv_rows(
        picture_record("wall.png", PICTURE, [], "thorough", NETWORK), DEFAULT_TASKS
    )
    assert nobody == {"file": "wall.png", "error": "", **NETWORK}
    (nobody,) = csv_rows(picture_record("wall.png", PICTURE, [], "thorough"), DEFAULT_TASKS)
    assert nobody == {"file": "wall.png", "error": ""}
    (failed,) = csv_rows(error_record("=1+1.jpg", "Cannot read it."), DEFAULT_TASKS)
    assert failed == {"file": "'=1+1.jpg", "error": "Cannot read it."}
    assert error_record("x", "y")["schema_version"] == SCHEMA_VERSION == 2


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "＝", "＠"])
def test_no_name_is_a_formula(first: str) -> None:
    assert no_formula(f"{first}cmd.jpg") == f"'{first}cmd.jpg"
    assert no_formula(f"a{first}.jpg") == f"a{first}.jpg"
