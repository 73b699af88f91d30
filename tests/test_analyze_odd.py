"""What a terminal, a spreadsheet and links in a circle make of a folder's names."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from agegenderemo.cli import main
from agegenderemo.files import PartFile, write_atomically
from agegenderemo.inference.analyzer import Analyzer

ROOT = Path(__file__).parent.parent
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def one_analyzer(analyzer: Analyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one, opened once for all of these tests."""
    monkeypatch.setattr(Analyzer, "from_checkpoint", lambda checkpoint, **_: analyzer)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one picture, in which the command runs."""
    Image.open(ASTRONAUT).crop((100, 0, 350, 250)).save(tmp_path / "a.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_links_in_a_circle_are_rows(here: Path, capsys: Capture) -> None:
    (here / "loop.jpg").symlink_to("loop.jpg")
    (here / "there.png").symlink_to("back.png")
    (here / "back.png").symlink_to("there.png")
    (here / "self").symlink_to(".")
    assert main(["analyze", ".", "--csv", "-"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["file"] for row in rows] == ["a.jpg", "back.png", "loop.jpg", "there.png"]
    assert all("symbolic links" in row["error"] for row in rows[1:])


@pytest.mark.parametrize("option", ["--json", "--csv", "--annotated"])
def test_an_output_that_is_a_circle_is_no_traceback(
    here: Path, option: str, capsys: Capture
) -> None:
    (here / "loop").symlink_to("loop")
    drawing = option == "--annotated"
    assert main(["analyze", "a.jpg", option, "loop"]) == int(drawing)
    assert capsys.readouterr().err.count("\n") == int(drawing)
    assert (here / "loop").is_symlink() == drawing  # a link that leads nowhere makes room


def test_what_no_picture_can_be_read_of_is_told_of_each(here: Path, capsys: Capture) -> None:
    names = ["empty", "=1+2", "a\n\x1b[31mb"]
    for name in names:
        (here / name).mkdir()
    assert main(["analyze", *names]) == 2
    said = capsys.readouterr().err
    assert said.count("holds no images") == 3
    assert said.count("\n") == 3
    assert "\x1b" not in said


def test_no_cell_is_a_formula(here: Path, capsys: Capture) -> None:
    (here / "=1+2").mkdir()
    (here / "-3.jpg").mkdir()
    assert main(["analyze", "=1+2", "a.jpg", ".", "--csv", "-"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["error"][:6] for row in rows} == {"", "'=1+2 ", "'-3.jp"}
    assert not any(cell.startswith(("=", "-")) for row in rows for cell in row.values())


def test_a_closed_standard_input_is_one_sentence(here: Path) -> None:
    command = f"{sys.executable} -m agegenderemo analyze - <&-"
    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert ended.returncode == 1
    assert '"error": "Cannot read standard input: it is closed."' in ended.stdout


def test_a_full_disk_behind_standard_output_is_one_sentence(here: Path) -> None:
    command = f"{sys.executable} -m agegenderemo analyze a.jpg > /dev/full"
    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert ended.returncode == 2
    assert ended.stderr == "error: The output cannot be used: No space left on device.\n"


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_nothing_is_written_through_a_link_in_the_way(here: Path, link: object) -> None:
    photo = (here / "a.jpg").read_bytes()
    assert callable(link)
    link(here / "a.jpg", here / "x.tmp")
    link(here / "a.jpg", here / "y.part")
    write_atomically(here / "x", b"new")
    with PartFile(here / "y") as stream:
        stream.write("new")
    assert (here / "x").read_bytes() == (here / "y").read_bytes() == b"new"
    assert (here / "a.jpg").read_bytes() == photo
