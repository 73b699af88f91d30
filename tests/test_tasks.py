"""Tasks as data: specs, raw outputs and what they stand for, calibration."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agegenderemo.errors import TaskError
from agegenderemo.tasks import (
    AGE,
    AGE_BANDS,
    DEFAULT_TASKS,
    EMOTION,
    EMOTION6,
    EMOTION7,
    GENDER,
    SMILE,
    VOCABULARY,
    BinaryPrediction,
    CategoricalPrediction,
    ClassCalibration,
    RegressionCalibration,
    RegressionPrediction,
    TaskCalibration,
    TaskSpec,
    activate,
    age_band,
    age_band_name,
    by_name,
    calibration_from_dict,
    calibration_to_dict,
    csv_columns,
    decode,
    json_keys,
    predict,
    task,
    value_of,
)

GLASSES = TaskSpec("glasses", "binary", ("without", "with"))
HAIR = TaskSpec("hair", "categorical", ("short", "long", "none"))
YEARS = RegressionCalibration((0.0, 50.0), (-5.0, 40.0), (5.0, 65.0), (1.0, 9.0))


def test_the_order_of_emotions_is_alphabetical_and_smaller_sets_are_parts() -> None:
    for spec, count in ((EMOTION, 8), (EMOTION7, 7), (EMOTION6, 6)):
        assert tuple(sorted(spec.classes)) == spec.classes
        assert len(spec.classes) == count
        assert set(spec.classes) <= set(EMOTION.classes)


@pytest.mark.parametrize("spec", [*VOCABULARY.values(), GLASSES, HAIR], ids=lambda s: s.name)
def test_a_spec_comes_back_from_its_record(spec: TaskSpec) -> None:
    assert TaskSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    "build",
    [
        lambda: TaskSpec("Age", "regression"),
        lambda: TaskSpec("two words", "regression"),
        lambda: TaskSpec("score", "regression"),
        lambda: TaskSpec("hat", "binary", ("no",)),
        lambda: TaskSpec("hat", "binary", ("no", "no")),
        lambda: TaskSpec("hat", "categorical", ("no", "yes")),
        lambda: TaskSpec("hat", "regression", ("no", "yes")),
        lambda: TaskSpec("hat", "guess"),  # type: ignore[arg-type]
        lambda: TaskSpec("hat", "binary", (0, 1)),  # type: ignore[arg-type]
        lambda: TaskSpec(1, "regression"),  # type: ignore[arg-type]
        lambda: TaskSpec("hat", "regression", minimum=math.nan),
        lambda: TaskSpec("hat", "categorical", ("a", "b", "c"), plural="box"),
        lambda: TaskSpec("hat", "categorical", ("a", "b", "c"), plural="hat"),
        lambda: TaskSpec("hat", "categorical", ("x1", "b", "c"), plural="hats"),
        lambda: TaskSpec("hat", "categorical", ("hat", "b", "c"), plural="hats"),
        lambda: TaskSpec.from_dict({"name": "hat"}),
        lambda: TaskSpec.from_dict({"name": "hat", "kind": "regression", "minimum": "low"}),
        lambda: task("hat"),
        lambda: by_name((EMOTION, EMOTION6)),
        lambda: by_name((HAIR, TaskSpec("hair_probabilities", "regression"))),
        lambda: by_name((EMOTION, TaskSpec("fear", "regression"))),
    ],
)
def test_impossible_tasks_are_one_sentence(build: Callable[[], Any]) -> None:
    with pytest.raises(TaskError, match=r"^[A-Z].*\.$"):
        build()


def test_keys_and_columns_go_by_the_kind() -> None:
    assert json_keys(AGE) == ("age", "age_interval", "age_error")
    assert csv_columns(AGE) == ("age", "age_low", "age_high", "age_error")
    assert json_keys(GLASSES) == ("glasses", "glasses_probability", "glasses_confident")
    assert json_keys(HAIR) == ("hair", "hair_probabilities", "hair_confident")
    assert csv_columns(HAIR) == (
        "hair", "hair_short", "hair_long", "hair_none", "hair_confident",
    )  # fmt: skip
    assert csv_columns(EMOTION6) == ("emotion", *EMOTION6.classes, "emotion_confident")


@pytest.mark.parametrize(
    ("spec", "raw", "value"),
    [
        (AGE, [31.5, -2.0], [31.5, -2.0]),
        (GENDER, [0.0, math.log(3), -1000.0], [0.5, 0.75, 0.0]),
        (HAIR, [[0.0, 0.0, math.log(2)], [1000.0, 0.0, 0.0]], [[0.25, 0.25, 0.5], [1, 0, 0]]),
    ],
)
def test_raw_outputs_become_values(spec: TaskSpec, raw: Any, value: Any) -> None:
    assert activate(spec, raw) == pytest.approx(np.array(value))
    assert activate(spec, raw).shape == np.shape(raw)


def test_values_become_predictions_and_back() -> None:
    assert decode(AGE, -2.0) == RegressionPrediction(AGE, 0.0)
    assert decode(SMILE, 0.5) == BinaryPrediction(SMILE, 0.5)
    assert decode(SMILE, 0.5).to_dict()["smile"] == "smile"
    tied = decode(HAIR, (0.4, 0.4, 0.2))
    assert isinstance(tied, CategoricalPrediction)
    assert (tied.label, tied.index, tied.probability) == ("short", 0, 0.4)
    for spec, value in ((AGE, 30.0), (SMILE, 0.2), (HAIR, (0.4, 0.4, 0.2))):
        assert value_of(decode(spec, value)) == value


@pytest.mark.parametrize(
    "build",
    [
        lambda: RegressionPrediction(AGE, float("nan")),
        lambda: RegressionPrediction(AGE, 30, (31.0, 40.0)),
        lambda: RegressionPrediction(GENDER, 0.5),
        lambda: BinaryPrediction(GENDER, 1.5),
        lambda: BinaryPrediction(GENDER, float("nan")),
        lambda: CategoricalPrediction(HAIR, (1.0,)),
        lambda: CategoricalPrediction(HAIR, (0.5, 0.5, 0.5)),
        lambda: RegressionCalibration((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
        lambda: RegressionCalibration((0.0, 1.0), (0.0,), (0.0,), (0.0,)),
        lambda: ClassCalibration(0.0, 0.5),
        lambda: ClassCalibration(1.0, 1.5),
    ],
)
def test_impossible_answers_are_not_built(build: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"must|wanted|not"):
        build()


def test_a_calibrated_number_has_an_interval_that_holds_it() -> None:
    middle = predict(AGE, 25.0, YEARS)
    assert isinstance(middle, RegressionPrediction)
    assert middle.interval == pytest.approx((17.5, 35.0))
    assert middle.error == pytest.approx(5.0)
    young = predict(AGE, 1.0, YEARS)
    assert isinstance(young, RegressionPrediction)
    assert young.interval is not None
    assert young.interval[0] == 0.0  # never below the task's minimum


def test_a_temperature_softens_and_the_threshold_judges_after_it() -> None:
    soft = ClassCalibration(2.0, 0.7)
    two = predict(GENDER, 0.9, soft)
    assert isinstance(two, BinaryPrediction)
    assert two.positive == pytest.approx(0.75)  # 9 to 1 becomes 3 to 1
    assert two.confident is True
    three = predict(HAIR, (0.64, 0.16, 0.2), soft)
    assert isinstance(three, CategoricalPrediction)
    roots = np.sqrt([0.64, 0.16, 0.2])
    assert three.probabilities == pytest.approx(roots / roots.sum())
    assert three.confident is False
    assert predict(HAIR, (0.64, 0.16, 0.2), None) == decode(HAIR, (0.64, 0.16, 0.2))


def test_a_calibration_comes_back_from_its_record() -> None:
    found: dict[str, TaskCalibration] = {"age": YEARS, "gender": ClassCalibration(1.5, 0.8)}
    assert calibration_from_dict(calibration_to_dict(found), DEFAULT_TASKS) == found
    assert calibration_from_dict(None, DEFAULT_TASKS) == {}


def test_a_calibration_of_version_1_is_read() -> None:
    old = {
        "ages": [0, 50], "low": [-5, 40], "high": [5, 65], "error": [1, 9],
        "gender_temperature": 1.5, "gender_threshold": 0.8,
        "emotion_temperature": 1.2, "emotion_threshold": 0.5,
    }  # fmt: skip
    assert calibration_from_dict(old, DEFAULT_TASKS) == {
        "age": YEARS,
        "gender": ClassCalibration(1.5, 0.8),
        "emotion": ClassCalibration(1.2, 0.5),
    }
    assert set(calibration_from_dict(old, (AGE, GENDER))) == {"age", "gender"}


@pytest.mark.parametrize(
    ("age", "name"), [(0, "0-9"), (9.99, "0-9"), (10, "10-19"), (69.9, "60-69"), (70, "70+")]
)
def test_age_bands_are_half_open(age: float, name: str) -> None:
    assert age_band_name(age_band(age)) == name


@pytest.mark.parametrize("age", [-0.1, math.nan])
def test_no_band_holds_what_is_no_age(age: float) -> None:
    with pytest.raises(ValueError, match="no age band"):
        age_band(age)


def test_age_bands_leave_no_gap() -> None:
    assert all(high == low for (_, high), (low, _) in itertools.pairwise(AGE_BANDS))
    assert (AGE_BANDS[0][0], AGE_BANDS[-1][1]) == (0, math.inf)
