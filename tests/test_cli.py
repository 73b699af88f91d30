"""The command line as a user meets it: real files, real checkpoint, exit statuses."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agegenderemo.cli import main
from agegenderemo.labels import EMOTIONS
from agegenderemo.results import CSV_FIELDS

ROOT = Path(__file__).parent.parent


@pytest.fixture
def photos(tmp_path: Path, examples: Path) -> Path:
    """A folder with a face, no face, and files that cannot be read."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    face = (examples / "astronaut.jpg").read_bytes()
    (folder / "a face.jpg").write_bytes(face)
    (folder / "more" / "cut.jpg").write_bytes(face[:3000])
    (folder / "more" / "text.png").write_text("not an image")
    (folder / "empty.webp").write_bytes(b"")
    (folder / "notes.txt").write_text("ignored")
    Image.new("RGB", (320, 240), "grey").save(folder / "wall.png")
    return folder


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_analyze_writes_a_line_an_image(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(photos)]) == 1  # some files are bad
    records = {Path(r["file"]).name: r for r in lines(capsys.readouterr().out)}
    assert set(records) == {"a face.jpg", "cut.jpg", "text.png", "empty.webp", "wall.png"}
    for name in ("cut.jpg", "text.png", "empty.webp"):
        assert set(records[name]) == {"file", "error"}
    assert records["wall.png"]["faces"] == []

    record = records["a face.jpg"]
    assert (record["width"], record["height"]) == (512, 512)
    (face,) = record["faces"]
    assert list(face) == [
        "box", "score", "landmarks", "age", "age_interval", "age_error", "gender",
        "gender_probability", "gender_sure", "emotion", "emotions", "emotion_sure", "doubts",
    ]  # fmt: skip
    assert face["gender"] == "female"
    assert 0 < face["age"] < 100
    assert list(face["emotions"]) == list(EMOTIONS)
    assert sum(face["emotions"].values()) == pytest.approx(1, abs=1e-4)
    assert face["emotion"] == max(face["emotions"], key=face["emotions"].get)
    assert np.shape(face["landmarks"]) == (5, 2)
    x1, y1, x2, y2 = face["box"]
    assert 150 < x1 < x2 < 320
    assert 40 < y1 < y2 < 260


def test_analyze_writes_csv_json_and_pictures(photos: Path, tmp_path: Path) -> None:
    out, table, pictures = tmp_path / "out.jsonl", tmp_path / "out.csv", tmp_path / "annotated"
    options = ["--json", str(out), "--csv", str(table), "--annotated", str(pictures)]
    assert main(["analyze", str(photos), *options]) == 1
    records = lines(out.read_text())
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert tuple(rows[0]) == CSV_FIELDS
    assert len(rows) == len(records) == 5
    (face,) = [row for row in rows if row["face"]]
    expected = next(r for r in records if r.get("faces"))["faces"][0]
    assert float(face["age"]) == expected["age"]
    assert float(face["x2"]) == expected["box"][2]
    assert float(face["happiness"]) == expected["emotions"]["happiness"]
    assert sum(bool(row["error"]) for row in rows) == 3
    assert {p.name for p in pictures.rglob("*.png")} == {"a face.jpg.png", "wall.png.png"}
    with Image.open(pictures / "a face.jpg.png") as drawn, Image.open(photos / "a face.jpg") as old:
        assert drawn.size == old.size
        assert np.any(np.asarray(drawn) != np.asarray(old))


def test_good_files_alone_end_with_status_0(examples: Path, capsys: Any) -> None:
    assert main(["analyze", str(examples / "astronaut.jpg"), "--json", "-"]) == 0
    assert len(lines(capsys.readouterr().out)) == 1


def test_files_of_one_name_do_not_overwrite_each_other(tmp_path: Path, examples: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        shutil.copy(examples / "astronaut.jpg", tmp_path / folder / "me.jpg")
    paths = [str(tmp_path / folder / "me.jpg") for folder in ("x", "y")]
    assert main(["analyze", *paths, "--annotated", str(tmp_path / "out")]) == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"me.jpg.png", "me-2.jpg.png"}


def test_a_path_that_is_not_there_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "gone.jpg"]) == 1
    (record,) = lines(capsys.readouterr().out)
    assert record == {
        "file": "gone.jpg",
        "error": "Cannot read gone.jpg: No such file or directory.",
    }


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["analyze"],
        ["analyse", "x.jpg"],
        ["analyze", "x.jpg", "--frobnicate"],
        ["evaluate", "--data", "celeba", "--root", "."],
    ],
)
def test_usage_errors_are_status_2(command: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as raised:
        main(command)
    assert raised.value.code == 2


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["analyze", "{empty}"], "holds no images"),
        (["analyze", "x.jpg", "--checkpoint", "gone.safetensors"], "no checkpoint at"),
        (["analyze", "x.jpg", "--json", "{empty}/no/out.json"], "No such file"),
        (["evaluate", "--data", "utkface", "--root", "{empty}/gone"], "nothing at"),
        (["evaluate", "--data", "utkface", "--root", "{empty}"], "no readable sample"),
        (["prepare", "--data", "ffhq", "--root", "{empty}", "--out", "{empty}"], "none of"),
        (["evaluate", "--data", "utkface"], "Give --root"),
        (["evaluate", "--data", "ffhq", "--images", "{empty}"], "Give both --images and --labels"),
        (["train", "--prepared", "{empty}"], "holds no prepared set"),
        (["train"], "Give --prepared"),
        (
            ["train", "--prepared", "{empty}", "--recipe", "best"],
            "known are ffhq, first, second, third, fourth, fifth, teacher, sixth, "
            "seventh, second-teacher, shipped",
        ),
    ],
)
def test_what_cannot_run_is_one_sentence_and_status_2(
    command: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert main([part.format(empty=folder) for part in command]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error


def test_an_interrupted_run_has_written_every_finished_image(
    tmp_path: Path, examples: Path
) -> None:
    for index in range(200):
        shutil.copy(examples / "astronaut.jpg", tmp_path / f"{index:03}.jpg")
    process = subprocess.Popen(
        [sys.executable, "-m", "agegenderemo", "analyze", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        # What a shell starts in the background, these tests perhaps, ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    first = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGINT)
    rest, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in error
    assert "Traceback" not in error
    records = lines("".join(first) + rest)
    assert 3 <= len(records) < 200
    assert all(len(record["faces"]) == 1 for record in records)


def test_help_is_quick_and_names_the_commands() -> None:
    code = """
import sys
from agegenderemo.cli import main
try:
    main(["--help"])
except SystemExit:
    assert "torch" not in sys.modules
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in ("analyze", "evaluate", "prepare", "train"):
        assert name in result.stdout
