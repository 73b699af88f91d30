"""Numbers that stay with their person and answers that settle, on made streams."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from agegenderemo.calibration import Calibration
from agegenderemo.labels import EMOTIONS
from agegenderemo.records import Attributes, Detection, Face
from agegenderemo.tracking import Glimpse, Look, Tracks, due, follow, look_of

RATE = 20  # frames a second
HAPPY, CALM = EMOTIONS.index("happiness"), EMOTIONS.index("neutral")


def emotions(top: int, share: float = 0.9) -> tuple[float, ...]:
    return tuple(share if i == top else (1 - share) / 7 for i in range(8))


def face(
    x: float,
    y: float = 100.0,
    age: float = 30.0,
    male: float = 0.9,
    mood: tuple[float, ...] = emotions(CALM),
    side: float = 80.0,
    doubts: tuple[str, ...] = (),
) -> Face:
    box = (x, y, x + side, y + side)
    points = tuple((x + side * a, y + side * b) for a, b in
                   ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)))  # fmt: skip
    return Face(Detection(box, 0.99, points), Attributes(age, male, mood), doubts)  # type: ignore[arg-type]


def look(seed: int, noise: float = 0.0, frame: int = 0) -> Look:
    """A face of its own; noise makes each frame a little different."""
    crop = np.random.default_rng(seed).uniform(0, 255, (16, 16, 1)).repeat(8, 0).repeat(8, 1)
    crop = crop + noise * np.random.default_rng((seed, frame)).normal(size=crop.shape)
    return look_of(crop.clip(0, 255).astype(np.uint8).repeat(3, 2))


Frame = list[tuple[int, Face, Look]]


def play(frame_at: Callable[[int], Frame], frames: int) -> list[dict[int, tuple[int, Face]]]:
    """Each frame's answer by the true person: the number given and the settled face."""
    tracks, shown = Tracks(), []
    for i in range(frames):
        people = frame_at(i)
        tracks, given = follow(tracks, [f for _, f, _ in people], [v for *_, v in people], i / RATE)
        shown.append({who: pair for (who, *_), pair in zip(people, given, strict=True)})
    return shown


def test_a_noisy_but_still_face_settles() -> None:
    rng = np.random.default_rng(0)

    def frame(i: int) -> Frame:
        noisy = face(
            100 + rng.normal(0, 1), age=30 + rng.normal(0, 4), male=0.5 + 0.35 * rng.normal() / 3,
            mood=emotions(CALM, float(rng.uniform(0.4, 0.8))),
        )  # fmt: skip
        return [(0, noisy, look(1, 10, i))]

    faces = [f[0][1] for f in play(frame, 200)][RATE:]  # after the first second
    assert np.std([f.age for f in faces]) <= 0.5
    assert np.mean([f.age for f in faces]) == pytest.approx(30, abs=1.5)
    assert len({f.gender for f in faces}) == 1
    assert {f.emotion for f in faces} == {"neutral"}


def test_a_new_expression_shows_within_300_ms() -> None:
    step = 40
    moods = [emotions(CALM)] * step + [emotions(HAPPY)] * step
    shown = play(lambda i: [(0, face(100, mood=moods[i]), look(1))], 2 * step)
    first = next(i for i, f in enumerate(shown) if f[0][1].emotion == "happiness")
    assert (first - step) / RATE <= 0.3


def test_one_odd_frame_changes_little() -> None:
    odd = face(100, age=75, male=0.01, mood=emotions(CALM), doubts=("turned",))
    shown = play(lambda i: [(0, odd if i == 60 else face(100), look(1))], 80)
    ages = [f[0][1].age for f in shown]
    assert max(abs(a - 30) for a in ages) < 0.5
    assert {f[0][1].gender for f in shown} == {"male"}


def test_the_gender_changes_in_the_end_if_the_answer_does() -> None:
    shown = play(lambda i: [(0, face(100, male=0.9 if i < 20 else 0.1), look(1))], 120)
    genders = [f[0][1].gender for f in shown]
    assert genders[19] == "male"
    assert genders[-1] == "female"
    assert sum(a != b for a, b in itertools.pairwise(genders)) == 1


@pytest.mark.parametrize("far", [0.0, 30.0])
def test_two_people_who_cross_keep_their_numbers(far: float) -> None:
    """Past each other in two seconds; at ``far`` 0 the front one hides the other for a moment."""

    def frame(i: int) -> Frame:
        t = i / RATE
        left, right = 50 + 150 * t, 350 - 150 * t
        people = [
            (0, face(left, age=20), look(1, 10, i)),
            (1, face(right, 100 + far, age=60), look(2, 10, i)),
        ]
        hidden = far == 0 and abs(left - right) < 40
        return people[:1] if hidden else people

    shown = play(frame, 2 * RATE)
    for who in (0, 1):
        assert len({f[who][0] for f in shown if who in f}) == 1
    assert shown[-1][0][1].age == pytest.approx(20, abs=1)
    assert shown[-1][1][1].age == pytest.approx(60, abs=1)


def test_someone_who_returns_is_known_again() -> None:
    def frame(i: int) -> Frame:
        if 20 <= i < 20 + 5 * RATE:
            return []
        return [(0, face(100 if i < 20 else 300), look(1, 10, i))]

    shown = [f[0][0] for f in play(frame, 40 + 5 * RATE) if f]
    assert len(set(shown)) == 1


def test_someone_else_in_the_same_place_is_someone_else() -> None:
    def frame(i: int) -> Frame:
        if 20 <= i < 20 + 2 * RATE:
            return []
        who = int(i >= 20)
        return [(who, face(100, age=20 + 40 * who), look(1 + who, 10, i))]

    shown = play(frame, 40 + 2 * RATE)
    assert {f[0][0] for f in shown if 0 in f} == {1}
    assert {f[1][0] for f in shown if 1 in f} == {2}
    assert next(f for f in shown if 1 in f)[1][1].age == 60


def test_a_long_absence_is_forgotten() -> None:
    tracks, _ = follow(Tracks(), [face(100)], [look(1)], 0.0)
    later, _ = follow(tracks, [], [], 29.0)
    assert len(later.people) == 1
    later, shown = follow(tracks, [face(100)], [look(1)], 31.0)
    assert shown[0][0] == 2
    assert len(later.people) == 1


def test_a_moving_face_is_expected_where_it_will_be() -> None:
    tracks = Tracks()
    for i in range(10):
        tracks, _ = follow(tracks, [face(100 + 20 * i)], [look(1)], i / RATE)
    (box,) = tracks.expected(10 / RATE)
    assert box[0] == pytest.approx(300, abs=4)
    assert tracks.expected(12.0) == []


def test_settling_depends_on_time_and_not_on_the_rate() -> None:
    def age_after(rate: int) -> float:
        tracks, shown = Tracks(), []
        for i in range(3 * rate):
            t = i / rate
            tracks, shown = follow(tracks, [face(100, age=30 if t < 1 else 36)], [look(1)], t)
        return shown[0][1].age

    assert age_after(10) == pytest.approx(age_after(40), abs=0.6)


def test_settled_answers_are_calibrated_ones() -> None:
    bars = Calibration((0.0, 50.0), (0.0, 40.0), (10.0, 70.0), (2.0, 8.0), 1.0, 1.0, 0.7, 0.5)
    _, ((_, shown),) = follow(Tracks(), [face(100, male=0.6)], [look(1)], 0.0, bars)
    assert shown.age_interval == bars.interval(30)
    assert not shown.attributes.gender_sure
    assert shown.attributes.emotion_sure


def test_new_faces_are_read_at_once_and_known_ones_in_turns() -> None:
    faces = [face(90.0 * i) for i in range(4)]
    boxes, looks = [f.box for f in faces], [look(i) for i in range(4)]
    assert due(Tracks(), boxes, looks, 0.0) == [0, 1, 2, 3]
    tracks, _ = follow(Tracks(), faces, looks, 0.0)
    assert due(tracks, boxes, looks, 0.02) == []
    readings = [0] * 4
    for i in range(1, 41):
        chosen = due(tracks, boxes, looks, 0.1 * i)
        assert len(chosen) == 1
        for index in chosen:
            readings[index] += 1
        seen = [f if k in chosen else Glimpse(f.detection) for k, f in enumerate(faces)]
        tracks, _ = follow(tracks, seen, looks, 0.1 * i)
    assert readings == [10, 10, 10, 10]
    newcomer = face(400.0)
    chosen = due(tracks, [*boxes, newcomer.box], [*looks, look(9)], 4.1)
    assert 4 in chosen


def test_several_who_return_after_they_were_forgotten_are_all_read() -> None:
    faces, looks = [face(90.0 * i) for i in range(4)], [look(i) for i in range(4)]
    tracks, _ = follow(Tracks(), faces, looks, 0.0)
    chosen = due(tracks, [f.box for f in faces], looks, 31.0)
    assert chosen == [0, 1, 2, 3]
    _, shown = follow(tracks, faces, looks, 31.0)
    assert [number for number, _ in shown] == [5, 6, 7, 8]


def test_a_glimpse_moves_the_box_and_leaves_the_answers() -> None:
    tracks, ((_, before),) = follow(Tracks(), [face(100, age=40)], [look(1)], 0.0)
    moved = Glimpse(face(120, age=70).detection, ("dark",))
    _, ((number, after),) = follow(tracks, [moved], [look(1)], 0.05)
    assert number == 1
    assert after.box == moved.box
    assert after.doubts == ("dark",)
    assert after.attributes == before.attributes
    with pytest.raises(ValueError, match="new"):
        follow(Tracks(), [moved], [look(1)], 0.0)


def test_nothing_in_nothing_out() -> None:
    tracks, shown = follow(Tracks(), [], [], 0.0)
    assert (tracks.people, shown) == ((), [])
    assert tracks.expected(0.0) == []
    assert math.isinf(tracks.searched)


def test_looks_ignore_light_and_tell_faces_apart() -> None:
    crop = np.random.default_rng(0).integers(0, 200, (128, 128, 3), dtype=np.uint8)
    dim = (crop * 0.5 + 20).astype(np.uint8)
    assert float(look_of(crop) @ look_of(dim)) > 0.98
    assert abs(float(look(1) @ look(2))) < 0.3
    assert np.isfinite(look_of(np.zeros((128, 128, 3), np.uint8))).all()
