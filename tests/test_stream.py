"""The real path over made streams: real faces moved over a background, frame by frame."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agegenderemo import Analyzer, Face, FaceTracker, load_image
from agegenderemo.errors import ImageError
from agegenderemo.imaging.geometry import iou
from agegenderemo.types import RGBImage

RATE = 20  # frames a second
Stream = Callable[[int], RGBImage]


class Scene:
    """Portraits, as tall as 240 pixels, on a plain noisy wall of 640×480."""

    def __init__(self, examples: Path, analyzer: Analyzer) -> None:
        woman = Image.fromarray(load_image(examples / "astronaut.jpg")).crop((130, 0, 330, 240))
        men = load_image(examples / "solvay-1927.jpg")
        x1, y1, x2, y2 = analyzer.detector.detect(men)[0].box
        middle, height = (x1 + x2) / 2, y2 - y1
        left, right = round(middle - 0.9 * height), round(middle + 0.9 * height)
        box = (left, round(y1 - 0.5 * height), right, round(y2 + 0.5 * height))
        man = Image.fromarray(men).crop(box).resize((216, 240), Image.Resampling.BICUBIC)
        self.portraits = {"woman": np.asarray(woman), "man": np.asarray(man)}
        rng = np.random.default_rng(0)
        self.wall = rng.normal(140, 4, (480, 640, 3))
        self.noise = rng.normal(0, 4, (8, 480, 640, 3))

    def frame(self, index: int, places: dict[str, tuple[float, float]]) -> RGBImage:
        """Later places lie in front; another noise each frame."""
        picture = self.wall.copy()
        for name, (x, y) in places.items():
            portrait = self.portraits[name]
            height, width = portrait.shape[:2]
            left, top = max(0, round(x)), max(0, round(y))
            right, bottom = min(640, round(x) + width), min(480, round(y) + height)
            if left < right and top < bottom:
                picture[top:bottom, left:right] = portrait[
                    top - round(y) : bottom - round(y), left - round(x) : right - round(x)
                ]
        noisy: RGBImage = (picture + self.noise[index % 8]).clip(0, 255).astype(np.uint8)
        return noisy


@pytest.fixture(scope="module")
def scene(examples: Path, analyzer: Analyzer) -> Scene:
    return Scene(examples, analyzer)


def play(analyzer: Analyzer, stream: Stream, frames: int) -> list[dict[int, Face]]:
    tracker, shown = analyzer.tracker(), []
    for index in range(frames):
        tracked = tracker.update(stream(index), index / RATE)
        shown.append({one.track_id: one.face for one in tracked})
    return shown


def test_a_still_face_in_noise_does_not_flicker(analyzer: Analyzer, scene: Scene) -> None:
    shown = play(analyzer, lambda i: scene.frame(i, {"woman": (220, 120)}), 3 * RATE)
    faces = [f[1] for f in shown]
    settled = faces[RATE:]
    assert np.std([f.age for f in settled]) <= 0.5
    assert {f.gender for f in faces} == {"female"}
    assert {f.emotion for f in settled} == {"happiness"}


def test_a_moving_head_is_followed(analyzer: Analyzer, scene: Scene) -> None:
    """Four head widths a second, to and fro: faster than anyone moves before a webcam."""

    def x_at(i: int) -> float:
        return 220 + 150 * float(np.sin(2 * np.pi * i / RATE / 2))

    shown = play(analyzer, lambda i: scene.frame(i, {"woman": (x_at(i), 120)}), 2 * RATE)
    assert {tuple(f) for f in shown} == {(1,)}
    offsets = np.array([f[1].box[0] - x_at(i) for i, f in enumerate(shown)])
    width = shown[0][1].box[2] - shown[0][1].box[0]
    lag = np.abs(offsets - np.median(offsets))
    assert lag.max() <= width / 10


def test_people_who_cross_keep_their_numbers(analyzer: Analyzer, scene: Scene) -> None:
    def stream(i: int) -> RGBImage:
        t = i / (2 * RATE)
        return scene.frame(i, {"man": (420 - 420 * t, 120), "woman": (420 * t, 120)})

    shown = play(analyzer, stream, 2 * RATE)
    first = {n: f.box[0] for n, f in shown[2].items()}
    last = {n: f.box[0] for n, f in shown[-1].items()}
    assert set(first) == set(last) == {1, 2}
    assert all((first[n] < 250) == (last[n] > 250) for n in (1, 2))


def test_someone_who_leaves_and_returns_is_known(analyzer: Analyzer, scene: Scene) -> None:
    def stream(i: int) -> RGBImage:
        here = i < RATE or i >= 3 * RATE
        return scene.frame(i, {"woman": (120 if i < RATE else 320, 120)} if here else {})

    shown = play(analyzer, stream, 4 * RATE)
    assert {tuple(f) for f in shown if f} == {(1,)}
    assert set(shown[-1]) == {1}
    # Once she is gone, nobody is shown.
    assert not any(shown[RATE : 3 * RATE])


def test_a_newcomer_is_found_within_half_a_second(analyzer: Analyzer, scene: Scene) -> None:
    arrival = 30

    def stream(i: int) -> RGBImage:
        newcomer = {"man": (380.0, 120.0)} if i >= arrival else {}
        return scene.frame(i, {"woman": (60, 120), **newcomer})

    shown = play(analyzer, stream, arrival + RATE)
    first = next(i for i, f in enumerate(shown) if len(f) == 2)
    assert arrival <= first <= arrival + RATE // 2 + 1
    assert all(len(f) == 2 for f in shown[first:])


def test_followed_boxes_are_those_of_a_search(analyzer: Analyzer, scene: Scene) -> None:
    tracker = FaceTracker(analyzer)
    for index in range(8):
        frame = scene.frame(index, {"woman": (220 + 4 * index, 120)})
        (followed,) = tracker.update(frame, index / RATE)
    (searched,) = analyzer.analyze(frame)
    assert iou(followed.face.box, searched.box) > 0.8


def test_frames_of_another_size_show_the_same_person(analyzer: Analyzer, scene: Scene) -> None:
    """A slow line gets smaller frames: faces lie elsewhere in them."""

    def stream(i: int) -> RGBImage:
        frame = Image.fromarray(scene.frame(i, {"woman": (220, 120)}))
        side = (320, 640)[i // 12]
        return np.asarray(frame.resize((side, side * 3 // 4)))

    shown = play(analyzer, stream, 24)
    assert [set(faces) for faces in shown] == [{1}] * 24


def test_a_tracker_takes_its_thresholds(analyzer: Analyzer, scene: Scene) -> None:
    frame = scene.frame(0, {"woman": (20, 120), "man": (380, 120)})
    assert len(analyzer.tracker().update(frame, 0.0)) == 2
    assert len(analyzer.tracker(max_faces=1).update(frame, 0.0)) == 1
    assert analyzer.tracker(min_face_size=200).update(frame, 0.0) == []
    with pytest.raises(ValueError, match="search_every"):
        analyzer.tracker(search_every=-1.0)
    with pytest.raises(TypeError, match="hue"):
        analyzer.tracker(hue=1.0)


def test_a_stream_says_when_it_last_held_a_face(analyzer: Analyzer, scene: Scene) -> None:
    tracker = analyzer.tracker(search_every=10.0)
    assert tracker.last_seen == -np.inf
    for time in (5.0, 5.1, 5.2):
        tracker.update(scene.frame(0, {"woman": (220, 120)}), time)
    assert tracker.last_seen == 5.2
    bad: Any = np.zeros((4, 4, 3), np.float32)
    with pytest.raises(ImageError, match="RGB uint8"):
        tracker.update(bad, 5.3)


def test_a_cut_to_someone_else_in_the_same_place(analyzer: Analyzer, scene: Scene) -> None:
    def stream(i: int) -> RGBImage:
        return scene.frame(i, {"woman" if i < 2 * RATE else "man": (220, 120)})

    (man,) = analyzer.analyze(stream(2 * RATE))
    shown = play(analyzer, stream, 4 * RATE)
    assert {tuple(f) for f in shown[: 2 * RATE]} == {(1,)}
    for faces in shown[2 * RATE + 3 * RATE // 2 :]:
        assert set(faces) == {2}
        assert faces[2].age == pytest.approx(man.age, abs=5)


@pytest.mark.slow
def test_a_cut_from_an_infant_to_a_man(analyzer: Analyzer, scene: Scene, data_root: Path) -> None:
    from agegenderemo.data.readers import read
    from agegenderemo.data.readers.source import read_bytes

    def portrait(age: int) -> RGBImage:
        for sample in read("utkface", data_root).only("test").samples:
            if sample.labels["age"] == age and sample.labels["gender"] == 1:
                picture = load_image(read_bytes(sample.image))
                faces = analyzer.analyze(picture)
                if len(faces) == 1 and abs(faces[0].age - age) < 2:
                    return picture
        raise AssertionError("the test split has no such face")

    people = {"infant": portrait(1), "father": portrait(38)}
    scene.portraits.update(people)

    def stream(i: int) -> RGBImage:
        return scene.frame(i, {"infant" if i < 3 * RATE else "father": (220, 120)})

    shown = play(analyzer, stream, 6 * RATE)
    assert all(f.age < 5 for faces in shown[RATE : 3 * RATE] for f in faces.values())
    for faces in shown[3 * RATE + 3 * RATE // 2 :]:
        (face,) = faces.values()
        assert 33 <= face.age <= 43


def test_a_face_in_the_dark_is_found_and_followed(analyzer: Analyzer, scene: Scene) -> None:
    """Brightened frames show it; whoever switches the light on stays the same."""

    def stream(i: int) -> RGBImage:
        frame = scene.frame(i, {"woman": (220, 120)})
        return frame if i >= 4 * RATE else (frame * 0.06).astype(np.uint8)

    assert analyzer.tracker().update(stream(0), 0.0) == []
    shown = play(analyzer, stream, 5 * RATE)
    first = next(i for i, f in enumerate(shown) if f)
    assert RATE <= first <= 2 * RATE
    assert all(f.keys() == {1} for f in shown[first:])


def test_a_face_that_lies_is_found_and_followed(analyzer: Analyzer, scene: Scene) -> None:
    def stream(i: int) -> RGBImage:
        frame = scene.frame(i, {"woman": (220, 120)})
        return np.ascontiguousarray(np.rot90(frame))

    shown = play(analyzer, stream, 3 * RATE)
    first = next(i for i, f in enumerate(shown) if f)
    assert RATE <= first <= 2 * RATE
    for faces in shown[first:]:
        (face,) = faces.values()
        assert face.roll == pytest.approx(-90, abs=15)
