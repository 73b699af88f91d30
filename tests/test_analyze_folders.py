"""Folders as people have them before ``analyze``: nothing is destroyed, nothing stops the rest."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agegenderemo.cli import main
from agegenderemo.cli.sources import collect
from agegenderemo.inference.analyzer import Analyzer

ROOT = Path(__file__).parent.parent
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def one_analyzer(analyzer: Analyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one, opened once for all of these tests."""
    monkeypatch.setattr(Analyzer, "from_checkpoint", lambda checkpoint, **_: analyzer)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.open(ASTRONAUT).crop((100, 0, 350, 250)).save(folder / "a.jpg")
    return folder


def records(text: str) -> dict[str, dict[str, Any]]:
    return {one["file"]: one for one in map(json.loads, text.splitlines())}


def state(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ------------------------------------------------------------------ outputs


def _hard(path: Path) -> str:
    os.link(path, path.parent.parent / "hard.csv")
    return str(path.parent.parent / "hard.csv")


def _soft(path: Path) -> str:
    (path.parent.parent / "soft.csv").symlink_to(path)
    return str(path.parent.parent / "soft.csv")


@pytest.mark.parametrize("option", ["--json", "--csv"])
@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (lambda photo: str(photo), "a picture's suffix"),
        (lambda photo: str(photo.with_name("new.PNG")), "a picture's suffix"),
        (lambda photo: str(photo.with_name("new.jfif")), "a picture's suffix"),
        (_hard, "also an input"),
        (_soft, "also an input"),
        (lambda photo: str(photo.parent), "it is a folder"),
        (lambda photo: str(photo.parent / "no" / "out.csv"), "No such file"),
    ],
)
def test_outputs_that_would_destroy_are_refused(
    option: str, output: Any, reason: str, photos: Path, capsys: Capture
) -> None:
    target = output(photos / "a.jpg")
    before = state(photos.parent)
    assert main(["analyze", str(photos), option, target]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert option in error
    assert state(photos.parent) == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--json", "{0}/out.txt", "--csv", "{0}/out.txt"], "--json names it too"),
        (["--json", "{0}/out.txt", "--csv", "{0}/photos/../OUT.txt"], "--json names it too"),
        (["--json", "-", "--csv", "-"], "--json names it too"),
        (["--csv", "{0}/x", "--annotated", "{0}/x"], "--csv names it too"),
        (["--annotated", "{0}/photos"], "also an input"),
        (["--annotated", "{0}/photos/a.jpg"], "it is a file"),
        (["--csv", "{0}/net.json", "--checkpoint", "{0}/net.safetensors"], "also an input"),
    ],
)
def test_outputs_that_are_each_other_are_refused(
    options: list[str], reason: str, photos: Path, capsys: Capture
) -> None:
    (photos.parent / "net.json").write_text("{}")
    before = state(photos.parent)
    assert main(["analyze", str(photos), *(one.format(photos.parent) for one in options)]) == 2
    assert reason in capsys.readouterr().err
    assert state(photos.parent) == before


def test_an_input_without_a_suffix_is_no_output(photos: Path, capsys: Capture) -> None:
    plain = photos / "photo"
    shutil.copy(photos / "a.jpg", plain)
    assert main(["analyze", str(plain), "--csv", str(photos / "." / "photo")]) == 2
    assert "also an input" in capsys.readouterr().err
    assert plain.read_bytes() == (photos / "a.jpg").read_bytes()


def test_a_second_run_leaves_its_own_output_out(photos: Path, capsys: Capture) -> None:
    options = ["--annotated", str(photos / "drawn"), "--csv", str(photos / "faces.csv")]
    for _ in range(2):
        assert main(["analyze", str(photos), *options]) == 0
        assert len((photos / "faces.csv").read_text().splitlines()) == 2
        assert [p.name for p in (photos / "drawn").iterdir()] == ["a.jpg.png"]
    assert "output of this command (1)" in capsys.readouterr().err
    # Nor are the drawings photos for a run that does not name their folder.
    assert main(["analyze", str(photos)]) == 0
    out, err = capsys.readouterr()
    assert list(records(out)) == [str(photos / "a.jpg")]
    assert "output of this command (1)" in err


def test_drawings_never_replace_what_others_made(photos: Path) -> None:
    drawn = photos.parent / "drawn"
    drawn.mkdir()
    Image.new("RGB", (9, 9)).save(drawn / "a.jpg.png")
    mine = (drawn / "a.jpg.png").read_bytes()
    for _ in range(2):
        assert main(["analyze", str(photos), "--annotated", str(drawn)]) == 0
    assert (drawn / "a.jpg.png").read_bytes() == mine
    assert {p.name for p in drawn.iterdir()} == {"a.jpg.png", "a-2.jpg.png"}


def test_outputs_take_their_place_when_all_is_done(photos: Path) -> None:
    table, link = photos.parent / "faces.csv", photos.parent / "link.csv"
    table.write_text("old")
    table.chmod(0o640)
    link.symlink_to(table)
    assert main(["analyze", str(photos), "--csv", str(link)]) == 0
    assert link.is_symlink()
    assert len(table.read_text().splitlines()) == 2
    assert table.stat().st_mode & 0o777 == 0o640
    assert not list(photos.parent.glob("*.part*"))


@pytest.mark.slow
def test_what_was_done_survives_a_kill(photos: Path) -> None:
    for number in range(100):
        shutil.copy(photos / "a.jpg", photos / f"{number}.jpg")
    table = photos.parent / "faces.csv"
    table.write_text("old")
    part = table.with_name("faces.csv.part")
    command = ["analyze", str(photos), "--csv", str(table)]
    process = subprocess.Popen(
        [sys.executable, "-m", "agegenderemo", *command], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 60
    while time.monotonic() < end and not (part.exists() and part.read_bytes().count(b"\n") > 3):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = list(csv.DictReader(io.StringIO(part.read_text())))
    assert 2 < len(done) < 100
    assert all(row["face"] for row in done)
    assert table.read_text() == "old"


@pytest.mark.slow
def test_standard_input_and_the_table_on_the_screen(photos: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agegenderemo", "analyze", "-", str(photos), "--csv", "-"],
        cwd=ROOT, input=ASTRONAUT.read_bytes(), capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = csv.DictReader(io.StringIO(done.stdout.decode()))
    assert (first["file"], first["face"]) == ("'-", "1")
    assert second["file"] == str(photos / "a.jpg")


# ------------------------------------------------------------------ what lies in folders


def test_no_bad_item_stops_the_rest(photos: Path, capsys: Capture) -> None:
    photo = photos / "a.jpg"
    long = "n" * 251 + ".jpg"
    shutil.copy(photo, photos / long)
    odd = os.fsencode(photos) + b"/caf\xe9.jpg"
    shutil.copy(os.fsencode(photo), odd)
    os.mkfifo(photos / "pipe.jpg")
    (photos / "device.png").symlink_to("/dev/zero")
    (photos / "gone.jpg").symlink_to("nowhere")
    (photos / "folder.jpg").mkdir()
    shutil.copy(photo, photos / "folder.jpg" / "inside.jpg")
    (photos / "around").symlink_to(photos)
    (photos / "._a.jpg").write_bytes(b"shadow")
    (photos / "notes.txt").write_bytes(b"text")
    with (photos / "huge.tif").open("wb") as file:
        file.truncate(2**40)
    empty = photos.parent / "empty"
    empty.mkdir()
    outputs = [photos.parent / name for name in ("out.jsonl", "out.csv", "drawn")]
    options = ["--json", str(outputs[0]), "--csv", str(outputs[1]), "--annotated", str(outputs[2])]
    start = time.monotonic()
    assert main(["analyze", str(empty), str(photos), *options]) == 1
    assert time.monotonic() - start < 30
    found = records(outputs[0].read_text())
    rows = list(csv.DictReader(io.StringIO(outputs[1].read_text())))
    assert [row["file"] for row in rows] == list(found)
    errors = {Path(name).name: one["error"] for name, one in found.items() if "error" in one}
    for name, words in {
        "empty": "holds no images",
        "pipe.jpg": "named pipe",
        "device.png": "a device",
        "gone.jpg": "No such file",
        "folder.jpg": "is a folder",
        "huge.tif": "larger than 1024 MB",
    }.items():
        assert words in errors.pop(name)
    assert errors == {}
    read = {Path(name).name for name, one in found.items() if one.get("faces")}
    assert read == {"a.jpg", long, "caf\\udce9.jpg", "inside.jpg"}
    names = {os.fsencode(p.name) for p in outputs[2].rglob("*.png")}
    assert names == {
        b"a.jpg.png", b"n" * 247 + b".jpg.png", b"caf\xe9.jpg.png", b"inside.jpg.png"
    }  # fmt: skip
    assert capsys.readouterr().err.endswith(
        "Left out: file with no picture's suffix (1), linked folder (1), macOS shadow (1).\n"
    )


def test_a_closed_folder_is_a_row(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "closed").mkdir()
    scandir = os.scandir

    def guarded(path: str) -> Any:  # for root, no folder is closed
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    first, second = collect([photos]).found
    assert (first.path.name, first.error) == ("a.jpg", None)
    assert second.error == f"The folder {photos / 'closed'} cannot be read: Permission denied."


@pytest.mark.parametrize("part", ["analyze", "annotate", "save"])
def test_whatever_fails_the_rest_is_done(
    part: str, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    shutil.copy(photos / "a.jpg", photos / "b.jpg")
    drawn = photos.parent / "drawn"
    failed: list[int] = []

    def once(real: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            if not failed:
                failed.append(1)
                raise RuntimeError("first\nline")
            return real(*given, **named)

        return call

    if part == "analyze":
        monkeypatch.setattr(Analyzer, "read_faces", once(Analyzer.read_faces))
    elif part == "annotate":
        from agegenderemo.imaging import draw

        monkeypatch.setattr(draw, "annotate", once(draw.annotate))
    else:
        drawn.mkdir()
        (drawn / "a.jpg.png").mkdir()  # no file can stand there
        (drawn / "a-2.jpg.png").symlink_to("/dev/full")
        failed.append(1)
    assert main(["analyze", str(photos), "--annotated", str(drawn), "--json", "-"]) == (
        part != "save"
    )
    out, err = capsys.readouterr()
    first, second = records(out).values()
    assert ("error" in first) == (part == "analyze")
    assert len(second["faces"]) == 1
    assert ("warning: the drawing of" in err) == (part == "annotate")
    assert "first line" in (out if part == "analyze" else err) or part == "save"
    assert (drawn / "b.jpg.png").is_file()


@pytest.mark.slow
def test_a_phone_picture_of_108_megapixels_is_read(photos: Path, capsys: Capture) -> None:
    large = Image.open(ASTRONAUT).convert("L").resize((12000, 9000))
    large.save(photos / "a.jpg", quality=30)
    assert main(["analyze", str(photos)]) == 0
    (record,) = records(capsys.readouterr().out).values()
    assert (record["width"], record["height"]) == (12000, 9000)
    x1, _, x2, _ = record["faces"][0]["box"]
    assert 3500 < x1 < x2 < 7500


def test_pictures_of_every_suffix_are_found(photos: Path) -> None:
    names = ["b.JFIF", "c.avif", "d.heic", "e.tif", "f.webp", "g.jpe", "h.jp2", "i.tga", "j.ico"]
    for name in names:
        (photos / name).touch()
    assert [one.path.name for one in collect([photos]).found] == ["a.jpg", *names]


def test_mutated_pictures_are_rows(photos: Path, capsys: Capture) -> None:
    draw = np.random.default_rng(25)
    whole = [(photos / "a.jpg").read_bytes()]
    for kind in ("PNG", "WEBP", "TIFF"):
        stream = io.BytesIO()
        Image.open(ASTRONAUT).resize((64, 64)).save(stream, kind)
        whole.append(stream.getvalue())
    for number in range(20):
        content = bytearray(whole[number % 4])
        for _ in range(int(draw.integers(1, 12))):
            content[draw.integers(len(content))] = draw.integers(256)
        (photos / f"{number}.bin.jpg").write_bytes(content)
    assert main(["analyze", str(photos)]) in (0, 1)
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 21
    assert "Traceback" not in out + err
