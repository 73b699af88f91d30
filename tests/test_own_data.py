"""The README's paragraph on your own pictures, run as it stands there."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agegenderemo.cli import main
from agegenderemo.data.dataset import PreparedSet
from agegenderemo.detection import MtcnnDetector
from agegenderemo.tasks import AGE, GENDER

ROOT = Path(__file__).parent.parent
COUNT = 24
QUICK = ["--set", "stages=[[32, 1]]", "--set", "batch=8"]


@pytest.fixture
def own(tmp_path: Path, examples: Path) -> Path:
    """A folder of faces, and a csv with an age or a gender for each, or both."""
    photo = Image.open(examples / "solvay-1927.jpg").convert("RGB")
    rows = [["file", "age", "gender"]]
    (tmp_path / "photos").mkdir()
    for number, face in enumerate(MtcnnDetector().detect(np.asarray(photo))[:COUNT]):
        x1, y1, x2, y2 = face.box
        margin = (x2 - x1) * 0.5
        box = (int(x1 - margin), int(y1 - margin), int(x2 + margin), int(y2 + margin))
        photo.crop(box).resize((200, 200)).save(tmp_path / "photos" / f"{number}.png")
        age = "" if number % 5 == 0 else str(30 + number)
        rows.append([f"photos/{number}.png", age, "" if number % 7 == 2 else "male"])
    with (tmp_path / "faces.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path


def commands() -> list[list[str]]:
    """The shell lines of the paragraph."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"\*\*Your own pictures\*\*.*?```sh\n(.*?)```", text, re.DOTALL)
    assert block
    return [shlex.split(line) for line in block[1].strip().splitlines()]


@pytest.mark.slow
def test_the_paragraph_of_the_readme_works(own: Path) -> None:
    lines = commands()
    assert [line[:2] for line in lines] == [
        ["agegenderemo", "prepare"], ["python", "train.py"], ["agegenderemo", "evaluate"],
    ]  # fmt: skip
    said = []
    for line in lines:
        if line[1] == "train.py":
            line = [sys.executable, str(ROOT / "train.py"), *line[2:], *QUICK]
        else:
            line = [sys.executable, "-m", "agegenderemo", *line[1:]]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(line, cwd=own, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[0].startswith(f"faces: {COUNT} samples; splits: ")
    prepared = PreparedSet.open(own / "prepared" / "faces")
    assert prepared.tasks == (AGE, GENDER)
    assert len(prepared.rows("train")) > 8
    assert (own / "runs/faces/model.safetensors").is_file()
    assert "faces" in said[2]
    assert f"{len(prepared.rows('test'))}" in said[2]


def test_own_sets_stand_beside_each_other(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(own / "prepared")
    line = ["prepare", "--data", "csv", "--root", str(own / "faces.csv"), "--out", out, "--aligned"]
    assert main([*line, "--processes", "1"]) == 0
    assert main([*line, "--processes", "1", "--name", "mine-2", "--size", "64"]) == 0
    found = {path.name: PreparedSet.open(path).crops.shape for path in Path(out).iterdir()}
    assert found == {"faces": (COUNT, 128, 128, 3), "mine-2": (COUNT, 64, 64, 3)}
    assert f"mine-2: {COUNT} pictures taken whole" in capsys.readouterr().out.replace(
        f"{COUNT} samples; ", ""
    )
    assert main([*line, "--name", "../up"]) == 2
    assert "--name is letters, digits" in capsys.readouterr().err
