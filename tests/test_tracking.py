"""Numbers that stay with their person, on made streams."""

import math

import numpy as np
import pytest
from made_streams import RATE, Frame, detection, embedding, face, glimpse, play, tracks

from agegenderemo import Analyzer, FaceTracker
from agegenderemo.inference.tracks import (
    Thresholds,
    appearance_embedding,
)


def test_a_hidden_face_does_not_become_the_memory_of_its_person() -> None:
    def remembered(likeness: float) -> float:
        """How much of the first appearance is left after three seconds of another."""
        first, other = embedding(1), embedding(2)
        other = other - float(other @ first) * first
        other /= np.linalg.norm(other)
        mixed = (likeness * first + math.sqrt(1 - likeness**2) * other).astype(np.float32)
        state = tracks()
        state.update([face(100, look=first)], 0.0)
        for i in range(1, 3 * RATE):
            assert [one.track_id for one in state.update([face(100, look=mixed)], i / RATE)] == [1]
        return float(state.people[0].embedding @ first)

    assert remembered(0.7) == pytest.approx(1.0)
    assert remembered(0.9) == pytest.approx(0.9, abs=0.01)


def test_the_closest_pairs_go_together() -> None:
    state = tracks()
    state.update([face(100), face(140)], 0.0)
    shown = state.update([face(142), face(102)], 0.05)
    assert [one.track_id for one in shown] == [2, 1]


@pytest.mark.parametrize("far", [0.0, 30.0])
def test_two_people_who_cross_keep_their_numbers(far: float) -> None:
    """Past each other in two seconds; at ``far`` 0 the front one hides the other for a moment."""

    def frame(i: int) -> Frame:
        t = i / RATE
        left, right = 50 + 150 * t, 350 - 150 * t
        people = [
            (0, face(left, age=20, look=embedding(1, 10, i))),
            (1, face(right, 100 + far, age=60, look=embedding(2, 10, i))),
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
        return [(0, face(100 if i < 20 else 300, look=embedding(1, 10, i)))]

    shown = [f[0][0] for f in play(frame, 40 + 5 * RATE) if f]
    assert len(set(shown)) == 1


def test_someone_else_in_the_same_place_is_someone_else() -> None:
    def frame(i: int) -> Frame:
        if 20 <= i < 20 + 2 * RATE:
            return []
        who = int(i >= 20)
        return [(who, face(100, age=20 + 40 * who, look=embedding(1 + who, 10, i)))]

    shown = play(frame, 40 + 2 * RATE)
    assert {f[0][0] for f in shown if 0 in f} == {1}
    assert {f[1][0] for f in shown if 1 in f} == {2}
    assert next(f for f in shown if 1 in f)[1][1].age == 60


def test_a_long_absence_is_forgotten() -> None:
    state = tracks()
    state.update([face(100)], 0.0)
    state.update([], 29.0)
    assert len(state.people) == 1
    (shown,) = state.update([face(100)], 31.0)
    assert shown.track_id == 2
    assert len(state.people) == 1


def test_a_crowd_that_passes_fills_no_memory() -> None:
    state = tracks(max_people=10)
    for i in range(100):
        state.update([face(100, look=embedding(i))], 2.0 * i / RATE + i * 1.1)
    assert len(state.people) <= 10
    ids = [one.track_id for one in state.people]
    assert ids == sorted(ids, reverse=True)  # those who were seen last
    crowd = [face(90.0 * i, look=embedding(200 + i)) for i in range(12)]
    assert len(state.update(crowd, 200.0)) == 12


def test_a_moving_face_is_expected_where_it_will_be() -> None:
    state = tracks()
    for i in range(10):
        state.update([face(100 + 20 * i)], i / RATE)
    (box,) = state.expected(10 / RATE)
    assert box[0] == pytest.approx(300, abs=4)
    assert state.expected(12.0) == []


def test_new_faces_are_read_at_once_and_known_ones_in_turns() -> None:
    faces = [face(90.0 * i, look=embedding(i)) for i in range(4)]
    boxes, looks = [f.detection.box for f in faces], [embedding(i) for i in range(4)]
    state = tracks()
    assert state.due(boxes, looks, 0.0) == [0, 1, 2, 3]
    state.update(faces, 0.0)
    assert state.due(boxes, looks, 0.02) == []
    readings = [0] * 4
    for i in range(1, 41):
        chosen = state.due(boxes, looks, 0.1 * i)
        assert len(chosen) == 1
        for index in chosen:
            readings[index] += 1
        seen = [f if k in chosen else glimpse(90.0 * k, look=k) for k, f in enumerate(faces)]
        state.update(seen, 0.1 * i)
    assert readings == [10, 10, 10, 10]
    chosen = state.due([*boxes, detection(400.0).box], [*looks, embedding(9)], 4.1)
    assert 4 in chosen


def test_several_who_return_after_they_were_forgotten_are_all_read() -> None:
    faces = [face(90.0 * i, look=embedding(i)) for i in range(4)]
    state = tracks()
    state.update(faces, 0.0)
    chosen = state.due([f.detection.box for f in faces], [f.embedding for f in faces], 31.0)
    assert chosen == [0, 1, 2, 3]
    assert [one.track_id for one in state.update(faces, 31.0)] == [5, 6, 7, 8]


def test_a_glimpse_moves_the_box_and_leaves_the_answers() -> None:
    state = tracks()
    (before,) = state.update([face(100, age=40)], 0.0)
    moved = glimpse(120, ("dark",))
    (after,) = state.update([moved], 0.05)
    assert after.track_id == 1
    assert after.face.box == moved.detection.box
    assert after.face.quality_flags == ("dark",)
    assert after.face.predictions == before.face.predictions
    with pytest.raises(ValueError, match="new"):
        tracks().update([moved], 0.0)


def test_nothing_in_nothing_out() -> None:
    state = tracks()
    assert state.update([], 0.0) == []
    assert state.people == ()
    assert state.expected(0.0) == []


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_thresholds_are_checked(value: float) -> None:
    with pytest.raises(ValueError, match="near must be a number from 0"):
        Thresholds(near=value)


@pytest.mark.parametrize("time", [math.nan, math.inf])
def test_a_time_that_is_none_is_refused(time: float) -> None:
    """It would stop every later search."""
    tracker = FaceTracker(Analyzer.from_checkpoint())
    with pytest.raises(ValueError, match="finite number of seconds"):
        tracker.update(np.zeros((64, 64, 3), np.uint8), time)


def test_embeddings_ignore_light_and_tell_faces_apart() -> None:
    crop = np.random.default_rng(0).integers(0, 200, (128, 128, 3), dtype=np.uint8)
    dim = (crop * 0.5 + 20).astype(np.uint8)
    assert float(appearance_embedding(crop) @ appearance_embedding(dim)) > 0.98
    assert abs(float(embedding(1) @ embedding(2))) < 0.3
    assert np.isfinite(appearance_embedding(np.zeros((128, 128, 3), np.uint8))).all()
