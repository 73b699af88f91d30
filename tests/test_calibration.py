"""Error bars, temperatures and thresholds: on data whose right answer is known, and as shipped."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agegenderemo.calibration import (
    EMOTION_GOAL,
    GENDER_GOAL,
    LEVEL,
    Calibration,
    confidence_for,
    fit_calibration,
)
from agegenderemo.metrics import CalibrationError

FLAT = Calibration((0.0, 50.0), (0.0, 40.0), (10.0, 70.0), (2.0, 8.0), 1.0, 1.0, 0.7, 0.5)


def faces(seed: int, temperature: float = 1.0, count: int = 4000) -> tuple[Any, ...]:
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
    return age, true, 1 / (1 + np.exp(-logit * temperature)), male, sharp, emotion


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    return fit_calibration(*faces(1, temperature=3.0))


def test_intervals_hold_as_often_as_they_say_at_every_age(fitted: Calibration) -> None:
    age, true, *_ = faces(2)
    ends = np.array([fitted.interval(a) for a in age])
    held = (ends[:, 0] <= true) & (true <= ends[:, 1])
    assert held.mean() == pytest.approx(LEVEL, abs=0.03)
    for low in range(0, 80, 20):
        band = (age >= low) & (age < low + 20)
        assert held[band].mean() == pytest.approx(LEVEL, abs=0.06)
    width = ends[:, 1] - ends[:, 0]
    assert width[age > 70].mean() > 3 * width[age < 10].mean()


def test_expected_errors_grow_with_the_age(fitted: Calibration) -> None:
    for age in (5.0, 30.0, 60.0):  # mean of |normal|
        assert fitted.expected_error(age) == pytest.approx((1 + age / 10) * 0.8, rel=0.35)


def test_temperatures_are_found(fitted: Calibration) -> None:
    assert fitted.gender_temperature == pytest.approx(3, rel=0.1)
    assert fitted.emotion_temperature == pytest.approx(3, rel=0.1)


def test_tempered_probabilities_are_honest(fitted: Calibration) -> None:
    _, _, male, is_male, emotions, emotion = faces(2, temperature=3.0)
    gaps = [CalibrationError() for _ in range(4)]
    for p, truth, row, label in zip(male, is_male, emotions, emotion, strict=True):
        for gap, q in ((gaps[0], p), (gaps[1], fitted.male(p))):
            gap.update(max(q, 1 - q), (q >= 0.5) == truth)
        for gap, qs in ((gaps[2], row), (gaps[3], fitted.emotions(row))):
            gap.update(max(qs), int(np.argmax(qs)) == label)
    before_gender, after_gender, before_emotion, after_emotion = (g.compute() for g in gaps)
    assert after_gender < 0.02 < before_gender
    assert after_emotion < 0.02 < before_emotion


def test_temperatures_never_change_the_answer(fitted: Calibration) -> None:
    for p in (0.0, 1e-9, 0.3, 0.5, 0.9, 1.0):
        assert (fitted.male(p) >= 0.5) == (p >= 0.5)
        assert 0 <= fitted.male(p) <= 1
    row = (0.5, 0.2, 0.1, 0.1, 0.1, 0.0, 0.0, 0.0)
    tempered = fitted.emotions(row)
    assert tempered.index(max(tempered)) == 0
    assert sum(tempered) == pytest.approx(1)


def test_sure_answers_reach_their_goals(fitted: Calibration) -> None:
    _, _, male, is_male, emotions, emotion = faces(3, temperature=3.0)
    q = np.array([fitted.male(p) for p in male])
    sure = np.maximum(q, 1 - q) >= fitted.gender_threshold
    assert ((q >= 0.5) == is_male)[sure].mean() == pytest.approx(GENDER_GOAL, abs=0.015)
    rows = np.array([fitted.emotions(row) for row in emotions])
    sure = rows.max(axis=1) >= fitted.emotion_threshold
    assert (rows.argmax(axis=1) == emotion)[sure].mean() == pytest.approx(EMOTION_GOAL, abs=0.03)


def test_the_lowest_confidence_that_reaches_a_goal() -> None:
    confidence, right = [0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1]
    assert confidence_for(confidence, right, 1.0) == 0.8
    assert confidence_for(confidence, right, 0.75) == 0.6
    assert confidence_for([0.9], [0], 0.5) == 1.0


def test_intervals_hold_the_age_and_are_no_negative_years() -> None:
    assert FLAT.interval(25.0) == (20.0, 40.0)
    assert FLAT.interval(90.0) == (40.0, 90.0)
    assert FLAT.interval(0.0) == (0.0, 10.0)
    assert FLAT.expected_error(25.0) == 5.0


def test_a_calibration_survives_json(fitted: Calibration) -> None:
    assert Calibration.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


@pytest.mark.parametrize(
    "change",
    [
        {"low": (1.0,)},
        {"ages": (50.0, 0.0)},
        {"ages": (), "low": (), "high": (), "error": ()},
        {"gender_temperature": 0.0},
    ],
)
def test_impossible_calibrations_are_not_built(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must"):
        dataclasses.replace(FLAT, **change)


def test_a_task_without_faces_cannot_be_calibrated() -> None:
    age, true, male, is_male, _, _ = faces(1)
    with pytest.raises(ValueError, match="needs held-out faces"):
        fit_calibration(age, true, male, is_male, np.empty((0, 8)), [])


def test_calibration_error_counts_by_bins() -> None:
    gap = CalibrationError(bins=10)
    assert gap.compute() is None
    for confidence, right in ((0.95, True), (0.95, False), (0.65, True), (0.0, False), (1.0, True)):
        gap.update(confidence, right)
    # the last bin: 0.95 + 0.95 + 1 said, 2 right; then 0.65 said, 1 right; then 0 said, 0 right
    assert gap.compute() == pytest.approx((0.9 + 0.35 + 0) / 5)


def test_the_command_calibrates_a_checkpoint(tmp_path: Path) -> None:
    from synthetic import prepared_sets

    from agegenderemo.checkpoint import load_checkpoint
    from agegenderemo.cli import main
    from agegenderemo.recipes import Stage, TrainConfig
    from agegenderemo.training import fit

    sets = prepared_sets(tmp_path / "sets")
    config = TrainConfig(
        shares={"faces": 1.0, "moods": 1.0}, stages=(Stage(32, 1),), batch=16, seed=3
    )
    path = fit(config, sets, tmp_path)
    before = load_checkpoint(path)
    assert before.calibration is None
    assert before.origin["training_faces"] == {"faces": 48, "moods": 48}
    assert main(["calibrate", "--prepared", str(sets), "--checkpoint", str(path)]) == 0
    after = load_checkpoint(path)
    assert after.calibration is not None
    assert (after.recipe, after.input, after.origin) == (before.recipe, before.input, before.origin)
    weights = before.model.state_dict()
    assert all(weights[k].equal(v) for k, v in after.model.state_dict().items())
    # Calibrating again starts from the network's own answers, not from corrected ones.
    assert main(["calibrate", "--prepared", str(sets), "--checkpoint", str(path)]) == 0
    assert load_checkpoint(path).calibration == after.calibration
