"""What a run over a film writes, and what it must never overwrite."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from made_films import at_rate, scene, write

from agegenderemo.cli import main
from agegenderemo.errors import AgeGenderEmoError, FilmError
from agegenderemo.types import RGBImage
from agegenderemo.video.ahead import ahead
from agegenderemo.video.film import Film, Frame
from agegenderemo.video.outputs import check_outputs, whole_file
from agegenderemo.video.writer import FilmWriter


def still(time: float) -> RGBImage:
    return scene([("astronaut", 160, 120, 150)])


# ------------------------------------------------------------------ inputs are kept


@pytest.mark.parametrize("kind", ["itself", "relative", "symbolic link", "hard link"])
def test_an_output_that_is_read_is_refused(tmp_path: Path, kind: str) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"precious")
    output = tmp_path / "other.mp4"
    if kind == "itself":
        output = film
    elif kind == "relative":
        output = tmp_path / "folder" / ".." / "film.mp4"
    elif kind == "symbolic link":
        output.symlink_to(film)
    else:
        output.hardlink_to(film)
    for option in ("--annotated", "--csv", "--json"):
        assert main(["video", str(film), option, str(output)]) == 2
    assert film.read_bytes() == b"precious"
    with pytest.raises(AgeGenderEmoError, match="is read, so it cannot be written"):
        check_outputs([film], [output])


def test_outputs_are_different_and_can_be_replaced(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with pytest.raises(AgeGenderEmoError, match="named as the output twice"):
        check_outputs([film], [tmp_path / "a.csv", tmp_path / "b" / ".." / "a.csv"])
    for special in (tmp_path, Path("/dev/null")):
        with pytest.raises(AgeGenderEmoError, match="is no regular file"):
            check_outputs([film], [special])
    check_outputs([film], [tmp_path / "a.csv", tmp_path / "a.json"])


@pytest.mark.parametrize(
    "options",
    [["--annotated", "a.avi"], ["--timeline", "a.pdf"], ["--every", "-1"], ["--every", "nan"],
     ["b.mp4", "--timeline", "a.png"]],
)  # fmt: skip
def test_wrong_options_are_a_sentence(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["video", "a.mp4", *options]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_a_file_is_there_whole_or_as_before(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(0o640)

    def fail() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["a.csv"]


# ------------------------------------------------------------------ annotated films


def annotated(path: Path, output: Path) -> tuple[list[float], list[str], RGBImage]:
    """Times of the frames of what the command writes, the codecs in it, and a frame."""
    assert main(["video", str(path), "--annotated", str(output)]) == 0
    with output.open("rb") as file:
        items = [one for one in Film(file, output.name).items() if isinstance(one, Frame)]
    with av.open(str(output)) as film:
        codecs = [one.codec_context.name for one in film.streams]
    return [one.time for one in items], codecs, items[-1].image


def test_an_annotated_film_keeps_times_and_sound(tmp_path: Path) -> None:
    times = [0, 0.04, 0.2, 0.24, 0.7]
    path = write(tmp_path / "a.mp4", [(time, still(time)) for time in times], sound="aac")
    again, codecs, image = annotated(path, tmp_path / "b.mp4")
    assert again == pytest.approx(times, abs=1e-3)
    assert codecs == ["h264", "aac"]
    assert np.abs(image.astype(int) - still(0)).mean() > 1  # a box is drawn
    with av.open(str(path)) as film, av.open(str(tmp_path / "b.mp4")) as copy:
        sounds = [[bytes(p) for p in one.demux(audio=0) if p.size] for one in (film, copy)]
    assert sounds[0] == sounds[1]


@pytest.mark.parametrize(
    ("sound", "name", "said"),
    [("", "b.mp4", ""), ("aac", "b.webm", "The sound cannot be copied into this kind of film")],
)
def test_a_film_may_be_silent(
    tmp_path: Path, sound: str, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.mp4", at_rate(still, 0.2), sound=sound)
    times, codecs, _ = annotated(path, tmp_path / name)
    assert len(times) == 5
    assert codecs in (["h264"], ["vp9"], ["libvpx-vp9"])
    assert said in capsys.readouterr().err


def test_vp9_is_written_where_h264_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with path.open("wb") as file:
        writer = FilmWriter(file, "mp4", 25, encoders=("no-such-encoder", "libvpx-vp9"))
        for number in range(3):
            writer.frame(scene([], size=(321, 241)), number / 25)  # odd sides are none of VP9's
        writer.close()
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert "vp9" in stream.codec_context.name
        assert (stream.width, stream.height) == (320, 240)
    with path.open("rb") as file:
        assert len(list(Film(file, "a.mp4").items())) == 3
    with path.open("wb") as file, pytest.raises(FilmError, match=r"neither H\.264 nor VP9"):
        FilmWriter(file, "mp4", 25, encoders=("no-such-encoder",))


@pytest.mark.parametrize("suffix", ["html", "png"])
def test_a_timeline_is_a_file_of_its_own(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / "a.mp4", at_rate(still, 0.2))
    output = tmp_path / f"t.{suffix}"
    assert main(["video", str(path), "--timeline", str(output)]) == 0
    content = output.read_bytes()
    if suffix == "png":
        assert content.startswith(b"\x89PNG")
    else:
        assert b"Plotly" in content
        assert b'<script src="http' not in content


# ------------------------------------------------------------------ work ahead


def test_work_ahead_keeps_order_errors_and_bounds() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number
        raise KeyError("the end")

    found = []
    stream = ahead(numbers(), 3)
    found.append(next(stream))
    time.sleep(0.05)
    assert len(made) <= 5
    with pytest.raises(KeyError, match="the end"):
        found.extend(stream)
    assert found == list(range(100))
    before = threading.active_count()
    stream = ahead(numbers(), 3)
    next(stream)
    stream.close()
    assert threading.active_count() == before
