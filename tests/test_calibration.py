"""Error bars, temperatures and thresholds: on data whose right answer is known, and by the
command."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tiny  # noqa: F401 - registers the network of this name
from numpy.typing import NDArray
from synthetic import prepared_sets

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.errors import DatasetError
from agegenderemo.evaluation.calibrate import (
    BINARY_GOAL,
    CATEGORICAL_GOAL,
    FEWEST_FACES,
    calibrate,
    confidence_for,
    fit_binary,
    fit_categorical,
    fit_task,
)
from agegenderemo.evaluation.intervals import fit_regression
from agegenderemo.evaluation.metrics import CalibrationError
from agegenderemo.evaluation.predict import TorchPredictor
from agegenderemo.evaluation.truth import Classes, Truth
from agegenderemo.models import create_model
from agegenderemo.report import LEVEL
from agegenderemo.tasks import (
    AGE,
    DEFAULT_TASKS,
    EMOTION,
    EMOTION6,
    GENDER,
    CategoricalPrediction,
    ClassCalibration,
    RegressionCalibration,
    RegressionPrediction,
    TaskSpec,
    predict,
)
from agegenderemo.types import InputSpec

FLAT = RegressionCalibration((0.0, 50.0), (0.0, 40.0), (10.0, 70.0), (2.0, 8.0))
HEIGHT = TaskSpec("height", "regression", unit="m")


class Faces(NamedTuple):
    """What a network said of faces, and what is true."""

    age: NDArray[np.float64]
    true_age: NDArray[np.float64]
    male: NDArray[np.float64]
    is_male: NDArray[np.bool_]
    emotions: NDArray[np.float64]
    emotion: NDArray[np.int64]


class Fitted(NamedTuple):
    age: RegressionCalibration
    gender: ClassCalibration
    emotion: ClassCalibration


def faces(seed: int, temperature: float = 1.0, count: int = 4000) -> Faces:
    """Ages whose error grows with them, and honest probabilities sharpened by a temperature."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(0, 80, count)
    true = (age + rng.normal(0, 1 + age / 10)).clip(0)
    logit = rng.normal(0, 2, count)
    male = rng.random(count) < 1 / (1 + np.exp(-logit))
    scores = rng.normal(0, 2, (count, 8))
    p = np.exp(scores)
    p /= p.sum(axis=1, keepdims=True)
    emotion = np.array([rng.choice(8, p=row) for row in p])
    sharp = np.exp(scores * temperature)
    sharp /= sharp.sum(axis=1, keepdims=True)
    return Faces(age, true, 1 / (1 + np.exp(-logit * temperature)), male, sharp, emotion)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    seen = faces(1, temperature=3.0)
    return Fitted(
        fit_regression(AGE, seen.age, seen.true_age),
        fit_binary(seen.male, seen.is_male),
        fit_categorical(seen.emotions, seen.emotion),
    )


def interval(own: RegressionCalibration, value: float, spec: TaskSpec = AGE) -> tuple[float, float]:
    prediction = predict(spec, value, own)
    assert isinstance(prediction, RegressionPrediction)
    assert prediction.interval is not None
    return prediction.interval


def test_intervals_hold_as_often_as_they_say_at_every_age(fitted: Fitted) -> None:
    fresh = faces(2)
    ends = np.array([interval(fitted.age, a) for a in fresh.age])
    held = (ends[:, 0] <= fresh.true_age) & (fresh.true_age <= ends[:, 1])
    assert held.mean() == pytest.approx(LEVEL, abs=0.03)
    for low in range(0, 80, 20):
        band = (fresh.age >= low) & (fresh.age < low + 20)
        assert held[band].mean() == pytest.approx(LEVEL, abs=0.06)
    width = ends[:, 1] - ends[:, 0]
    assert width[fresh.age > 70].mean() > 3 * width[fresh.age < 10].mean()


def test_intervals_of_any_unit_hold_as_often_as_they_say() -> None:
    """Metres: a hundredth of one is much. The same numbers as ages would be rounded away."""

    def heights(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rng = np.random.default_rng(seed)
        predicted = rng.uniform(-0.4, 0.4, 3000)
        return predicted, predicted + rng.normal(0, 0.01 + 0.05 * np.abs(predicted))

    own = fit_regression(HEIGHT, *heights(1))
    predicted, true = heights(2)
    ends = np.array([interval(own, value, HEIGHT) for value in predicted])
    held = (ends[:, 0] <= true) & (true <= ends[:, 1])
    assert held.mean() == pytest.approx(LEVEL, abs=0.03)
    assert held[np.abs(predicted) < 0.1].mean() == pytest.approx(LEVEL, abs=0.08)
    assert ends.min() < -0.4  # no minimum: negative numbers are numbers


def test_expected_errors_grow_with_the_age(fitted: Fitted) -> None:
    for age in (5.0, 30.0, 60.0):  # mean of |normal|
        error = predict(AGE, age, fitted.age)
        assert isinstance(error, RegressionPrediction)
        assert error.error == pytest.approx((1 + age / 10) * 0.8, rel=0.35)


def test_temperatures_are_found(fitted: Fitted) -> None:
    assert fitted.gender.temperature == pytest.approx(3, rel=0.1)
    assert fitted.emotion.temperature == pytest.approx(3, rel=0.1)


def test_tempered_probabilities_are_honest(fitted: Fitted) -> None:
    fresh = faces(2, temperature=3.0)
    gaps = [CalibrationError() for _ in range(4)]
    for p, truth, row, label in zip(
        fresh.male, fresh.is_male, fresh.emotions, fresh.emotion, strict=True
    ):
        for gap, q in ((gaps[0], p), (gaps[1], fitted.gender.temper(p))):
            gap.update(max(q, 1 - q), (q >= 0.5) == truth)
        for gap, qs in ((gaps[2], row), (gaps[3], fitted.emotion.temper(row))):
            gap.update(max(qs), int(np.argmax(qs)) == label)
    before_gender, after_gender, before_emotion, after_emotion = (g.compute() or 0 for g in gaps)
    assert after_gender < 0.02 < before_gender
    assert after_emotion < 0.02 < before_emotion


def test_confident_answers_reach_their_goals(fitted: Fitted) -> None:
    fresh = faces(3, temperature=3.0)
    q = np.array([fitted.gender.temper(p) for p in fresh.male])
    confident = np.maximum(q, 1 - q) >= fitted.gender.threshold
    right = (q >= 0.5) == fresh.is_male
    assert right[confident].mean() == pytest.approx(BINARY_GOAL, abs=0.015)
    rows = np.array([fitted.emotion.temper(row) for row in fresh.emotions])
    confident = rows.max(axis=1) >= fitted.emotion.threshold
    right = rows.argmax(axis=1) == fresh.emotion
    assert right[confident].mean() == pytest.approx(CATEGORICAL_GOAL, abs=0.03)


def test_the_lowest_confidence_that_reaches_a_goal() -> None:
    confidence, right = [0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1]
    assert confidence_for(confidence, right, 1.0) == 0.8
    assert confidence_for(confidence, right, 0.75) == 0.6
    assert confidence_for([0.9], [0], 0.5) == 1.0


def test_intervals_hold_the_age_and_are_no_negative_years() -> None:
    assert interval(FLAT, 25.0) == (20.0, 40.0)
    assert interval(FLAT, 90.0) == (40.0, 90.0)
    assert interval(FLAT, 0.0) == (0.0, 10.0)


def test_calibration_error_counts_by_bins() -> None:
    gap = CalibrationError(bins=10)
    assert gap.compute() is None
    for confidence, right in ((0.95, True), (0.95, False), (0.65, True), (0.0, False), (1.0, True)):
        gap.update(confidence, right)
    # the last bin: 0.95 + 0.95 + 1 said, 2 right; then 0.65 said, 1 right; then 0 said, 0 right
    assert gap.compute() == pytest.approx((0.9 + 0.35 + 0) / 5)


def moods(count: int, label: str) -> list[tuple[Truth, dict[str, CategoricalPrediction]]]:
    """Faces of which a network with six emotions is rather sure that they are happy."""
    said = CategoricalPrediction(EMOTION6, (0.1, 0.0, 0.9, 0.0, 0.0, 0.0))
    return [({"emotion": Classes(label, label)}, {"emotion": said}) for _ in range(count)]


def test_classes_are_matched_by_name_and_unknown_ones_left_out() -> None:
    seen = moods(FEWEST_FACES, "happiness")
    own = fit_task(EMOTION6, [*seen, *moods(1000, "contempt")])
    assert isinstance(own, ClassCalibration)
    assert own.temperature == pytest.approx(0.1, abs=0.01)  # all that are counted are right
    assert own == fit_task(EMOTION6, seen)
    assert fit_task(EMOTION6, seen[1:]) is None  # one face too few


def test_a_task_without_faces_stays_uncalibrated(tmp_path: Path) -> None:
    sets = prepared_sets(tmp_path / "sets", count=500)
    opened = [PreparedSet.open(sets / name) for name in ("faces", "bands")]
    predictor = TorchPredictor(create_model("tiny", DEFAULT_TASKS), InputSpec(32))
    found = calibrate(predictor, opened, progress=False)
    assert list(found) == ["age", "gender"]  # 50 faces each; no emotions anywhere
    with pytest.raises(DatasetError, match="a task; there are 0 for emotion"):
        calibrate(
            TorchPredictor(create_model("tiny", (EMOTION,)), InputSpec(32)),
            opened,
            progress=False,
        )
    with pytest.raises(ValueError, match="not calibrated ones"):
        calibrate(TorchPredictor(predictor.model, predictor.input, found), opened, progress=False)


def test_the_command_calibrates_a_checkpoint(tmp_path: Path) -> None:
    from agegenderemo.cli import main
    from agegenderemo.export.onnx import write_checkpoint
    from agegenderemo.model_info import ModelInfo
    from agegenderemo.models.checkpoint import load_checkpoint

    sets = prepared_sets(tmp_path / "sets", count=500)
    path = tmp_path / "a.safetensors"
    model = create_model("tiny", DEFAULT_TASKS)
    info = ModelInfo("tiny", DEFAULT_TASKS, InputSpec(32), provenance={"of": "a test"})
    write_checkpoint(path, model, info)
    before = load_checkpoint(path)
    assert before.info.calibration == {}
    assert main(["calibrate", "--prepared", str(sets), "--checkpoint", str(path)]) == 0
    after = load_checkpoint(path)
    assert set(after.info.calibration) == {"age", "gender", "emotion"}
    assert (after.info.recipe, after.info.input) == (before.info.recipe, before.info.input)
    held_out = {"bands": 50, "faces": 50, "moods": 50}
    assert after.info.provenance == {**before.info.provenance, "calibration_faces": held_out}
    weights = before.model.state_dict()
    assert all(weights[k].equal(v) for k, v in after.model.state_dict().items())
    # Calibrating again starts from the network's own answers, not from corrected ones.
    assert main(["calibrate", "--prepared", str(sets), "--checkpoint", str(path)]) == 0
    assert load_checkpoint(path).info.calibration == after.info.calibration
    assert GENDER.name in after.info.calibration
