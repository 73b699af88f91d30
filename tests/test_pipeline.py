"""Whole pictures beside prepared crops, by the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agegenderemo.cli import main


@pytest.mark.slow
def test_whole_pictures_are_read_as_the_app_reads_them(
    tmp_path: Path, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "utkface"
    folder.mkdir()
    face = Image.open(examples / "astronaut.jpg").crop((140, 30, 310, 200))
    face.save(folder / "35_1_0_20170101000000000.jpg.chip.jpg", quality=95)
    wall = Image.fromarray(np.full((200, 200, 3), 120, np.uint8))
    wall.save(folder / "40_0_0_20170101000000001.jpg.chip.jpg")
    out = tmp_path / "figures.json"
    options = ["--data", "utkface", "--root", str(folder), "--split", "all", "--json", str(out)]
    assert main(["evaluate", *options, "--pipeline"]) == 0
    figures = json.loads(out.read_text())["figures"]["utkface"]["pipeline"]
    assert (figures["n"], figures["missed"]) == (2, 1)
    pictures, crops = figures["pictures"]["tasks"], figures["crops"]["tasks"]
    assert pictures["gender"]["accuracy"] == 1
    # Another search finds slightly other landmarks; over many faces that cancels out.
    assert pictures["age"]["mae"] == pytest.approx(crops["age"]["mae"], abs=3)
    assert "whole pictures (1 of 2 without a face found)" in capsys.readouterr().out
