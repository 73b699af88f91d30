"""Films of real faces: who is in them and when, and what is said of films that are not whole."""

import csv
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from made_films import Place, at_rate, scene, write

from agegenderemo import Analyzer
from agegenderemo.cli import main
from agegenderemo.errors import FilmError
from agegenderemo.types import RGBImage
from agegenderemo.video.cuts import CutDetector
from agegenderemo.video.film import Film, FilmLimits, Frame
from agegenderemo.video.reading import FilmStory, tell_film
from agegenderemo.web.timeline import timeline_figure, timeline_picture, with_runs


def told(analyzer: Analyzer, path: Path) -> FilmStory:
    with path.open("rb") as file:
        return tell_film(analyzer, Film(file, path.name))


def frames(path: Path, limits: FilmLimits | None = None, every: float = 0) -> list[Frame]:
    with path.open("rb") as file:
        film = Film(file, path.name, limits, every=every)
        return [one for one in film.items() if isinstance(one, Frame)]


def still(time: float) -> RGBImage:
    return scene([("astronaut", 160, 120, 150)])


def crossing(time: float) -> RGBImage:
    """The front one hides the other for half a second."""
    left, right = 60 + 100 * time, 260 - 100 * time
    return scene([("einstein", left, 110, 120), ("lorentz", right, 130, 120)])


def returning(time: float) -> RGBImage:
    here: list[Place] = [("einstein", 90, 120, 110)]
    return scene(here if 0.8 <= time < 2 else [*here, ("astronaut", 230, 120, 130)])


def cutting(time: float) -> RGBImage:
    """Somebody else in the same place."""
    who, grey = ("einstein", 60) if time < 1 else ("astronaut", 180)
    return scene([(who, 160, 120, 110)], grey)


# ------------------------------------------------------------------ people


@pytest.mark.parametrize(
    ("picture_at", "seconds", "people"),
    [
        (crossing, 2.0, [("einstein", 0, 1.96), ("lorentz", 0, 1.96)]),
        (returning, 2.6, [("astronaut", 0, 2.56), ("einstein", 0, 2.56)]),
        (cutting, 2.0, [("einstein", 0, 0.96), ("astronaut", 1.0, 1.96)]),
    ],
)
def test_people_are_told_apart(
    analyzer: Analyzer,
    tmp_path: Path,
    picture_at: Callable[[float], RGBImage],
    seconds: float,
    people: list[tuple[str, float, float]],
) -> None:
    path = write(tmp_path / "film.mp4", at_rate(picture_at, seconds))
    story = told(analyzer, path)
    assert story.record["frames"] == round(25 * seconds)
    assert "error" not in story.record
    assert len(story.people) == len(people)
    for person, (_, first, last) in zip(story.people, people, strict=True):
        assert [person.first, person.last] == pytest.approx([first, last], abs=0.05)
    for person, (who, *_) in zip(story.people, people, strict=True):
        (face,) = analyzer.analyze(scene([(who, 160, 120, 120)]))
        told_age = person.to_dict()["age"]
        assert told_age == pytest.approx(face.age, abs=5)
        low, high = person.to_dict()["age_interval"]
        assert low < told_age < high
        assert person.to_dict()["gender"] == face.gender
        assert sum(person.shares["emotion"].values()) == pytest.approx(1)


def test_a_timeline_shows_when_someone_was_there(analyzer: Analyzer, tmp_path: Path) -> None:
    story = told(analyzer, write(tmp_path / "film.mp4", at_rate(returning, 3)))
    astronaut, einstein = story.people
    (first, *_), (*_, last) = astronaut.runs, astronaut.runs
    before, after = max(pairwise(astronaut.runs), key=lambda two: two[1].start - two[0].end)
    assert before.end == pytest.approx(0.8, abs=0.1)
    assert 2 <= after.start <= 2.5  # the whole frame is searched twice a second
    assert [first.start, last.end] == pytest.approx([0, 3])
    people = [with_runs(one) for one in story.people]
    figure = timeline_figure(people, analyzer.tasks, 3)
    shown = sum(sum(bar.x) for bar in figure.data)
    assert shown == pytest.approx(astronaut.seconds + einstein.seconds, abs=0.02)
    colors = {bar.name: bar.marker.color for bar in figure.data}
    drawn = np.asarray(timeline_picture(people, analyzer.tasks, 3))
    row = drawn[2 * (44 + 28)]  # the first lane: there, gone, and there again
    color = [int(colors[first.label][i : i + 2], 16) for i in (1, 3, 5)]
    there = (row == color).all(axis=1)
    assert there[200]
    assert not there[1200]
    assert there[2200]


def test_a_cut_is_a_change_that_is_sudden() -> None:
    detector = CutDetector()
    one, other = (np.full((90, 160, 3), grey, np.uint8) for grey in (60, 160))
    assert [detector.is_cut(image) for image in (one, one, other, other, one)] == [
        False, False, True, False, True,
    ]  # fmt: skip
    noise = np.random.default_rng(0).integers(0, 255, (5, 90, 400, 3), np.uint8)
    panning = [noise[0, :, 8 * i : 8 * i + 160] for i in range(30)]
    detector = CutDetector()
    assert not any([detector.is_cut(image) for image in panning][2:])


# ------------------------------------------------------------------ frames and their times


def test_times_are_those_of_the_stream(tmp_path: Path) -> None:
    times = [0, 0.04, 0.08, 0.5, 0.52, 0.9, 2.0]
    path = write(tmp_path / "film.mp4", [(time, still(time)) for time in times])
    assert [one.time for one in frames(path)] == pytest.approx(times)
    assert [one.time for one in frames(path, every=0.4)] == pytest.approx([0, 0.5, 0.9, 2.0])


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_rotated_film_stands_upright(tmp_path: Path, rotation: int) -> None:
    # As a phone writes it that is held otherwise: its pictures lie, and the film says so.
    lying = np.ascontiguousarray(np.rot90(still(0), -rotation // 90))
    path = write(tmp_path / "film.mp4", at_rate(lambda time: lying, 0.2), rotation=rotation)
    (image, *_) = [one.image for one in frames(path)]
    assert image.shape == still(0).shape
    assert np.abs(image.astype(int) - still(0)).mean() < 8


@pytest.mark.parametrize("name", ["film.mkv", "film.mov", "film.ts"])
def test_containers_are_known_by_their_bytes(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, at_rate(still, 0.4))
    other = path.rename(tmp_path / "film.txt")
    assert len(frames(other)) == 10


def test_a_film_without_end_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mp4", at_rate(still, 1))
    for limits, count in (
        (FilmLimits(frames=5), 5),
        (FilmLimits(seconds=0.5), 13),
        (FilmLimits(work_seconds=0), 0),
    ):
        with path.open("rb") as file:
            film = Film(file, "film.mp4", limits)
            assert len(list(film.items())) == count
            assert film.problem is not None
            assert film.problem.startswith("Only the first")


# ------------------------------------------------------------------ films that are not whole


def truncated(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def moving(time: float) -> RGBImage:
    return scene([("astronaut", 110 + 40 * time, 120, 150)])


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_what_a_truncated_film_holds_is_written(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / name, at_rate(moving, 2), movflags="faststart")
    truncated(path, 0.7)
    table, drawn = tmp_path / "faces.csv", tmp_path / "drawn.mp4"
    options = ["--csv", str(table), "--annotated", str(drawn), "--json", "-"]
    assert main(["video", str(path), *options]) == 1
    said = capsys.readouterr()
    record = json.loads(said.out)
    assert said.err.strip().splitlines()[-1] == f"error: {record['error']}"
    assert "is cut off" in record["error"]
    assert 5 < record["frames"] < 48
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["track_id"] for row in rows] == ["1"] * record["frames"]
    assert float(rows[-1]["time"]) == pytest.approx((record["frames"] - 1) / 25, abs=0.01)
    assert len(frames(drawn)) == record["frames"]


def unreadable(folder: Path) -> dict[str, tuple[Path, str]]:
    """Films of which nothing can be read, and what is said of them."""
    whole = write(folder / "whole.mp4", at_rate(still, 0.5), sound="aac")
    empty, text, front = folder / "empty.mp4", folder / "text.mp4", folder / "front.mp4"
    empty.write_bytes(b"")
    text.write_text("hello " * 1000)
    front.write_bytes(whole.read_bytes()[:2000])
    sound = folder / "sound.mp4"
    with av.open(str(whole)) as film, av.open(str(sound), "w") as only:
        stream = only.add_stream_from_template(film.streams.audio[0])
        for packet in film.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                only.mux(packet)
    return {
        "empty": (empty, "the film is empty"),
        "text": (text, "it is no film of a known kind"),
        "front": (front, "damaged or cut off"),
        "sound": (sound, "it holds no moving pictures"),
    }


def test_a_film_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films = unreadable(tmp_path)
    for path, said in films.values():
        with pytest.raises(FilmError, match=said):
            frames(path)
    good = write(tmp_path / "good.mp4", at_rate(still, 0.2))
    missing = tmp_path / "missing.mp4"
    paths = [*(path for path, _ in films.values()), missing, good]
    assert main(["video", *map(str, paths)]) == 1
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["file"] for record in records] == [str(path) for path in paths]
    assert ["error" in record for record in records] == [True] * 5 + [False]
    assert len(records[-1]["people"]) == 1


def test_damage_in_the_middle_costs_its_own_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "film.ts", at_rate(moving, 2), sound="aac")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8000] = np.random.default_rng(0).bytes(8000)
    path.write_bytes(content)
    with path.open("rb") as file:
        film = Film(file, "film.ts", with_sound=True)
        times = [one.time for one in film.items() if isinstance(one, Frame)]
    assert 20 < len(times) <= 50
    assert times == sorted(set(times))


def test_a_camera_is_lines_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "film.mp4", at_rate(still, 0.4))
    assert main(["camera", str(path)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["time"] for line in lines] == pytest.approx([i / 25 for i in range(10)])
    assert {face["track_id"] for line in lines for face in line["faces"]} == {1}
    assert main(["camera", str(tmp_path / "nothing")]) == 2
    assert "neither a camera nor a film" in capsys.readouterr().err
