"""The command line as a user meets it: real files, real checkpoint, exit statuses."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from agegenderemo import Analyzer, __version__
from agegenderemo.cli import COMMANDS, main
from agegenderemo.files import sha256
from agegenderemo.resources import default_checkpoint
from agegenderemo.results import csv_fields, json_schema
from agegenderemo.tasks import EMOTION

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
        assert set(records[name]) == {"schema_version", "file", "error"}
    assert records["wall.png"]["faces"] == []

    record = records["a face.jpg"]
    assert (record["width"], record["height"]) == (512, 512)
    (face,) = record["faces"]
    assert list(face) == [
        "box", "score", "landmarks", "roll", "age", "age_interval", "age_error", "gender",
        "gender_probability", "gender_confident", "emotion", "emotions", "emotion_confident",
        "quality_flags",
    ]  # fmt: skip
    assert face["gender"] == "female"
    assert 0 < face["age"] < 100
    assert list(face["emotions"]) == list(EMOTION.classes)
    assert sum(face["emotions"].values()) == pytest.approx(1, abs=1e-4)
    assert face["emotion"] == max(face["emotions"], key=face["emotions"].get)
    assert np.shape(face["landmarks"]) == (5, 2)
    x1, y1, x2, y2 = face["box"]
    assert 150 < x1 < x2 < 320
    assert 40 < y1 < y2 < 260


def test_every_line_is_what_the_schema_says(
    photos: Path, analyzer: Analyzer, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["analyze", str(photos)])
    validator = jsonschema.Draft202012Validator(json_schema(analyzer.tasks))
    for record in lines(capsys.readouterr().out):
        validator.validate(record)


def test_analyze_writes_csv_json_and_pictures(
    photos: Path, analyzer: Analyzer, tmp_path: Path
) -> None:
    out, table, pictures = tmp_path / "out.jsonl", tmp_path / "out.csv", tmp_path / "annotated"
    options = ["--json", str(out), "--csv", str(table), "--annotated", str(pictures)]
    assert main(["analyze", str(photos), *options]) == 1
    records = lines(out.read_text())
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert tuple(rows[0]) == csv_fields(analyzer.tasks)
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


def test_good_files_alone_end_with_status_0(
    examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
        "schema_version": 2,
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
        ["evaluate", "--data", "utkface", "--split", "most"],
    ],
)
def test_usage_errors_are_status_2(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
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
        (["evaluate", "--data", "celeba"], "known are utkface, ferplus, fairface, ffhq"),
        (["prepare", "--data", "celeba", "--root", ".", "--out", "."], "known are utkface"),
        (["evaluate", "--data", "utkface"], "Give --root"),
        (["evaluate", "--data", "ffhq", "--images", "{empty}"], "Give both --images and --labels"),
        (["train", "--prepared", "{empty}"], "holds no prepared set"),
        (["train"], "Give --prepared"),
        (
            ["train", "--prepared", "{empty}", "--recipe", "best"],
            "known are quick, agegendernet-v1, ffhq",
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


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit) as raised:
        main([*command, "--help"])
    assert raised.value.code == 0
    return capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys)
    assert text.startswith("usage: agegenderemo ")
    for command in COMMANDS:
        assert f"\n  {command.name:9}  {command.help}\n" in text


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_commands_read_like_one_tool(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, command)
    assert text.startswith(f"usage: agegenderemo {command} ")
    described = text.split("\n\n")[1]
    assert described[0].isupper()
    assert described.endswith(".")
    # Every option says what it is for.
    for option in re.findall(r"^  (-.*)$", text, re.MULTILINE):
        assert len(re.split(r"\s{2,}", option)) == 2 or f"  {option}\n      " in text, option


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agegenderemo", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.startswith("usage: agegenderemo ")


def test_train_py_is_the_train_command() -> None:
    done = subprocess.run(
        [sys.executable, "train.py", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.startswith("usage: agegenderemo train ")


def test_version_names_package_model_digest_and_licences(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--version"])
    assert raised.value.code == 0
    text = capsys.readouterr().out
    for part in (
        f"agegenderemo {__version__}", "agegendernet", sha256(default_checkpoint().read_bytes()),
        "MIT (code)", "non-commercial research (weights)",
    ):  # fmt: skip
        assert part in text


@pytest.mark.slow
def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--size", "64"]) == 0
    text = capsys.readouterr().out
    for part in ("agegendernet ", "9,365,552 ", "mobilenet_v1_face ", "timm:NAME", "64×64 pixels"):
        assert part in text


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("models", "train"),
        ("evaluate --data utkface --root .", "train"),
        ("calibrate --prepared . --checkpoint x", "train"),
        ("export --out x.onnx", "train"),
        ("train --prepared .", "train"),
        ("demo", "app"),
    ],
)
def test_a_missing_extra_is_one_sentence(command: str, extra: str) -> None:
    code = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "safetensors", "gradio", "plotly"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from agegenderemo.cli import main
sys.exit(main({command.split()!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    what = {"demo": "The page"}.get(command, f"agegenderemo {command.split()[0]}")
    assert done.stderr.splitlines()[-1] == (
        f"error: {what} needs more packages: pip install 'agegenderemo[{extra}]'."
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_error() -> None:
    photo = "examples/astronaut.jpg"
    done = subprocess.run(
        f"{sys.executable} -m agegenderemo analyze {' '.join([photo] * 4)} | head -n 1",
        shell=True, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert len(lines(done.stdout)) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--model", None])
def test_a_name_that_no_file_can_have_is_one_sentence(
    option: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "x" * 300
    photo = str(ROOT / "examples" / "astronaut.jpg")
    assert main(["analyze", long] if option is None else ["analyze", photo, option, long]) != 0
    out, err = capsys.readouterr()
    assert long in out + err
    assert "Errno" not in out + err


def test_a_full_device_has_no_part_file_to_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(ROOT / "examples" / "astronaut.jpg"), "--csv", "/dev/full"]) == 2
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert "None" not in err
