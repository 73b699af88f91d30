"""Answers that settle while a face is followed, on made streams."""

import itertools
import math
import pickle

import numpy as np
import pytest
from made_streams import (
    CALM,
    HAPPY,
    RATE,
    Frame,
    detection,
    embedding,
    emotions,
    face,
    glimpse,
    play,
    tracks,
)

from agegenderemo.imaging.quality import DISTRUSTED_FLAGS
from agegenderemo.inference.settling import (
    SettledClasses,
    SettledLogit,
    SettledNumber,
    SettlingRates,
)
from agegenderemo.inference.tracks import (
    Observation,
    Tracks,
)
from agegenderemo.model_info import ModelInfo
from agegenderemo.tasks import (
    DEFAULT_TASKS,
    EMOTION,
    GENDER,
    BinaryPrediction,
    CategoricalPrediction,
    ClassCalibration,
    Prediction,
    RegressionCalibration,
    RegressionPrediction,
    TaskCalibration,
    TaskSpec,
    decode,
)
from agegenderemo.types import QUALITY_FLAGS, InputSpec, TrackedFace


def test_a_noisy_but_still_face_settles() -> None:
    rng = np.random.default_rng(0)

    def frame(i: int) -> Frame:
        noisy = face(
            100 + rng.normal(0, 1), age=30 + rng.normal(0, 4), male=0.5 + 0.35 * rng.normal() / 3,
            mood=emotions(CALM, float(rng.uniform(0.4, 0.8))), look=embedding(1, 10, i),
        )  # fmt: skip
        return [(0, noisy)]

    faces = [f[0][1] for f in play(frame, 200)][RATE:]  # after the first second
    assert np.std([f.age for f in faces]) <= 0.5
    assert np.mean([f.age for f in faces]) == pytest.approx(30, abs=1.5)
    assert len({f.gender for f in faces}) == 1
    assert {f.emotion for f in faces} == {"neutral"}


def test_a_new_expression_shows_within_300_ms() -> None:
    step = 40
    moods = [emotions(CALM)] * step + [emotions(HAPPY)] * step
    shown = play(lambda i: [(0, face(100, mood=moods[i]))], 2 * step)
    first = next(i for i, f in enumerate(shown) if f[0][1].emotion == "happiness")
    assert (first - step) / RATE <= 0.3


def test_one_odd_frame_changes_little() -> None:
    for flag in sorted(DISTRUSTED_FLAGS):
        odd = face(100, age=75, male=0.01, flags=(flag,))
        shown = play(lambda i, odd=odd: [(0, odd if i == 60 else face(100))], 80)  # type: ignore[misc]
        ages = [f[0][1].age for f in shown]
        assert max(abs(a - 30) for a in ages) < 0.5
        assert {f[0][1].gender for f in shown} == {"male"}


def test_only_flags_that_the_data_bear_lower_the_weight() -> None:
    def pull(*flags: str) -> float:
        odd = face(100, age=75, flags=flags)
        shown = play(lambda i: [(0, odd if i == 60 else face(100))], 61)
        return shown[60][0][1].age - 30

    assert set(QUALITY_FLAGS) >= DISTRUSTED_FLAGS != frozenset()
    for flag in QUALITY_FLAGS:
        assert (pull(flag) < 0.5 * pull()) == (flag in DISTRUSTED_FLAGS)


def test_one_answer_pulls_no_more_than_the_limit() -> None:
    def pulled(limit: float, new: float) -> float:
        spec, rates = TaskSpec("tilt", "regression"), SettlingRates(regression_outlier=limit)
        settled = SettledNumber(10.0, 1.0)
        return settled.toward(RegressionPrediction(spec, new), 1e-9, 1.0, rates).value - 10

    assert pulled(8.0, 12.0) == pytest.approx(1.0)
    assert pulled(8.0, 90.0) == pytest.approx(4.0)
    assert pulled(8.0, -90.0) == pytest.approx(-4.0)
    assert pulled(2.0, 90.0) == pytest.approx(1.0)


def test_an_average_forgets() -> None:
    state = tracks()
    for i in range(18 * RATE):
        (shown,) = state.update([face(100, age=30 if i < 10 * RATE else 36)], i / RATE)
    assert shown.face.age == pytest.approx(36, abs=1)


def test_a_logit_moves_by_time_and_weight() -> None:
    def moved(seconds: float, weight: float) -> float:
        start, new = SettledLogit(0.0, True), BinaryPrediction(GENDER, 0.9)
        return start.toward(new, seconds, weight, SettlingRates()).logit / math.log(9)

    assert moved(1.0, 1.0) == pytest.approx(1 - math.exp(-1))
    assert moved(0.05, 1.0) == pytest.approx(1 - math.exp(-0.05))
    assert moved(1.0, 0.25) == pytest.approx(0.25 * (1 - math.exp(-1)))


def test_large_changes_of_classes_are_followed_faster_than_small_ones() -> None:
    def moved(change: float) -> float:
        before, after = (1.0, *[0.0] * 7), (1 - change, change, *[0.0] * 6)
        new = CategoricalPrediction(EMOTION, after)
        settled = SettledClasses(before).toward(new, 0.05, 1.0, SettlingRates())
        return settled.probabilities[1] / change

    calm, quick = 1 - math.exp(-0.05 / 0.5), 1 - math.exp(-0.05 / 0.06)
    assert (moved(0.1), moved(0.15)) == pytest.approx((calm, calm))
    assert (moved(0.45), moved(1.0)) == pytest.approx((quick, quick))
    assert calm < moved(0.3) < quick


def test_the_gender_changes_in_the_end_if_the_answer_does() -> None:
    shown = play(lambda i: [(0, face(100, male=0.9 if i < 20 else 0.1))], 120)
    genders = [f[0][1].gender for f in shown]
    assert genders[19] == "male"
    assert genders[-1] == "female"
    assert sum(a != b for a, b in itertools.pairwise(genders)) == 1


def test_settling_depends_on_time_and_not_on_the_rate() -> None:
    def age_after(rate: int) -> float:
        state, age = tracks(), math.nan
        for i in range(3 * rate):
            t = i / rate
            (shown,) = state.update([face(100, age=30 if t < 1 else 36)], t)
            age = shown.face.age
        return age

    assert age_after(10) == pytest.approx(age_after(40), abs=0.6)


def test_settled_answers_are_calibrated_ones() -> None:
    bars = RegressionCalibration((0.0, 50.0), (0.0, 40.0), (10.0, 70.0), (2.0, 8.0))
    calibration: dict[str, TaskCalibration] = {
        "age": bars,
        # A temperature is in the predictions already: it must not be applied again.
        "gender": ClassCalibration(3.0, 0.7),
        "emotion": ClassCalibration(3.0, 0.5),
    }
    info = ModelInfo("made", DEFAULT_TASKS, InputSpec(64), calibration=calibration)
    (shown,) = Tracks(info).update([face(100, male=0.6)], 0.0)
    records = shown.face.to_dict()
    assert shown.face.age_interval == (24.0, 46.0)
    assert not records["gender_confident"]
    assert records["emotion_confident"]
    assert shown.face.gender_probability == pytest.approx(0.6)


def test_any_task_settles_by_its_kind() -> None:
    specs = (
        TaskSpec("tilt", "regression", unit="degrees"),
        TaskSpec("glasses", "binary", ("without", "with")),
        TaskSpec("hair", "categorical", ("short", "long", "none")),
    )
    state = Tracks(ModelInfo("made", specs, InputSpec(64)))

    def seen(*values: float | tuple[float, ...]) -> Observation:
        pairs = zip(specs, values, strict=True)
        read: dict[str, Prediction] = {spec.name: decode(spec, value) for spec, value in pairs}
        return Observation(detection(100), embedding(1), (), read)

    for i in range(2 * RATE):
        late = i >= RATE
        (shown,) = state.update(
            [seen(3.0 if late else -3.0, 0.95, (0.1, 0.8, 0.1) if late else (0.8, 0.1, 0.1))],
            i / RATE,
        )
    record = shown.face.to_dict()
    assert -3 < record["tilt"] < 3
    assert (record["glasses"], record["hair"]) == ("with", "long")
    again = pickle.loads(pickle.dumps(state)).update([seen(3.0, 0.95, (0.1, 0.8, 0.1))], 2.0)
    assert [one.track_id for one in again] == [1]


def cut(
    looks: tuple[int, int], ages: tuple[float, float], at: int, frames: int
) -> list[TrackedFace]:
    """One place, in which someone is followed by someone else."""
    state = tracks()
    shown = []
    for i in range(frames):
        late = int(i >= at)
        seen = face(100, age=ages[late], look=embedding(looks[late], 10, i))
        shown += state.update([seen], i / RATE)
    return shown


def test_a_cut_to_someone_else_starts_anew() -> None:
    shown = cut((1, 2), (1.0, 38.0), 3 * RATE, 5 * RATE)
    before, after = shown[: 3 * RATE], shown[3 * RATE :]
    assert {one.track_id for one in before} == {1}
    first = next(i for i, one in enumerate(after) if one.track_id == 2)
    assert first / RATE <= 0.5
    assert not any(one.settled for one in after[:first])
    for one in after[first:]:
        assert one.settled
        assert one.face.age == pytest.approx(38, abs=1)


def test_someone_who_returns_after_a_cut_is_known_again() -> None:
    state = tracks()
    for i in range(6 * RATE):
        who = int(2 * RATE <= i < 4 * RATE)
        (shown,) = state.update([face(100, age=20 + 40 * who, look=embedding(1 + who))], i / RATE)
    assert shown.track_id == 1
    assert shown.face.age == pytest.approx(20, abs=3)


def test_readings_that_contradict_again_and_again_start_anew() -> None:
    """The look alone does not tell: a child and a grown-up may be as alike as this."""
    shown = cut((1, 1), (1.0, 38.0), 3 * RATE, 5 * RATE)
    late = shown[3 * RATE + int(1.5 * RATE) :]
    assert {one.track_id for one in shown} == {1}
    assert all(33 <= one.face.age <= 43 for one in late)
    few = cut((1, 1), (38.0, 1.0), 3 * RATE, 3 * RATE + 5)
    assert few[-1].face.age > 30


def test_answers_are_first_guesses_until_three_readings_agree() -> None:
    settled = [one.settled for one in cut((1, 1), (30.0, 30.0), 9, 9)]
    assert settled == [False, False, True, True, True, True, True, True, True]
    state = tracks()
    ages = (30.0, 60.0, 30.0, 61.0, 30.0, 31.0)
    given = [state.update([face(100, age=a)], i / RATE)[0].settled for i, a in enumerate(ages)]
    assert given[:2] == [False, False]
    glanced = tracks()
    glanced.update([face(100)], 0.0)
    assert not glanced.update([glimpse(100)], 0.05)[0].settled
    assert not glanced.update([glimpse(100)], 0.1)[0].settled


def test_a_still_face_is_never_doubted() -> None:
    rng = np.random.default_rng(1)
    state = tracks()
    for i in range(30 * RATE):
        seen = face(100, age=30 + rng.normal(0, 4), look=embedding(1, 10, i))
        (shown,) = state.update([seen], i / RATE)
        assert shown.track_id == 1
        assert shown.settled or i < 3 + 2
