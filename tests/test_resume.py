"""``analyze --resume`` and ``--parquet``: whatever ends a run, the next one finishes with every row
once."""

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

import pytest
from PIL import Image

from agegenderemo.cli import main
from agegenderemo.inference.analyzer import Analyzer

ROOT = Path(__file__).parent.parent
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def reads(analyzer: Analyzer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The real analyzer, opened once; the list grows with each picture that is searched."""
    calls: list[int] = []
    find = analyzer.find

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(analyzer, name)

        def find(self, *args: Any) -> Any:
            calls.append(1)
            return find(*args)

    monkeypatch.setattr(Analyzer, "from_checkpoint", lambda checkpoint, **_: Counting())
    return calls


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six pictures, one of which is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        Image.open(ASTRONAUT).crop((100, 0, 350 + number, 250)).save(folder / f"{number}.jpg")
    (folder / "bad.jpg").write_bytes(b"no picture")
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_was_written_is_kept_and_the_rest_done(photos: Path, reads: list[int]) -> None:
    out, table = photos.parent / "out.jsonl", photos.parent / "out.csv"
    command = ["analyze", str(photos), "--json", str(out)]
    assert main(command) == 1  # for the bad one
    whole, text = lines(out), out.read_bytes()
    assert len(reads) == 5
    # Killed: three lines and a half; the first of them says what no network would.
    first = json.dumps(whole[0] | {"width": 7}).encode()
    rows = text.split(b"\n")
    out.unlink()
    part = out.with_name("out.jsonl.part")
    part.write_bytes(b"\n".join([first, rows[1], rows[2], rows[3][:100]]))
    reads.clear()
    assert main([*command, "--csv", str(table), "--resume"]) == 1
    assert len(reads) == 2
    assert lines(out) == [whole[0] | {"width": 7}, *whole[1:]]
    assert [row["file"] for row in csv.DictReader(io.StringIO(table.read_text()))] == [
        one["file"] for one in whole
    ]
    assert sorted(path.name for path in photos.parent.iterdir()) == [
        "out.csv",
        "out.jsonl",
        "photos",
    ]
    # A finished run has nothing left to do but what came since.
    Image.open(ASTRONAUT).save(photos / "new.jpg")
    reads.clear()
    assert main([*command, "--resume"]) == 1
    assert len(reads) == 1
    assert len(lines(out)) == 7
    # Of pictures that are not named this time nothing is lost either.
    before = lines(out)
    out.with_name("out.csv.part").write_text("file,face")  # of a run that was killed
    named = ["analyze", str(photos / "new.jpg"), "--json", str(out), "--csv", str(table)]
    assert main([*named, "--resume"]) == 0
    assert len(reads) == 1
    assert lines(out) == [before[-1], *before[:-1]]
    assert len(table.read_text().splitlines()) == 1 + 7
    assert not out.with_name("out.csv.part").exists()


@pytest.mark.parametrize("change", ["size", "time", "search", "weights"])
def test_what_changed_is_read_again(photos: Path, reads: list[int], change: str) -> None:
    out = photos.parent / "out.jsonl"
    command = ["analyze", str(photos), "--json", str(out)]
    main(command)
    one = photos / "3.jpg"
    if change == "size":
        Image.open(ASTRONAUT).crop((0, 0, 300, 300)).save(one)
    elif change == "time":
        os.utime(one, (1, 1))
    elif change == "search":
        command += ["--search", "plain"]
    else:
        whole = next(record for record in lines(out) if record["file"] == str(one))
        whole["network"]["weights_sha256"] = "0" * 64
        out.write_text(json.dumps(whole) + "\n")
    reads.clear()
    main([*command, "--resume"])
    assert len(reads) == (1 if change in ("size", "time") else 5)
    assert len(lines(out)) == 6


def test_drawings_that_are_missing_are_made(photos: Path, reads: list[int]) -> None:
    drawn = photos.parent / "drawn"
    command = ["analyze", str(photos), "--json", str(photos.parent / "out.jsonl")]
    main(command)
    whole = lines(photos.parent / "out.jsonl")
    for missing in (5, 1, 0):
        reads.clear()
        assert main([*command, "--resume", "--annotated", str(drawn)]) == 1
        assert len(reads) == missing
        assert sorted(path.name for path in drawn.iterdir()) == [f"{n}.jpg.png" for n in range(5)]
        assert lines(photos.parent / "out.jsonl") == whole
        if missing == 5:
            (drawn / "3.jpg.png").unlink()


def test_resume_wants_an_output_that_says_what_was_done(photos: Path, capsys: Capture) -> None:
    for outputs in ([], ["--json", "-"], ["--csv", "x.csv"], ["--csv", "x.csv", "--parquet", "x"]):
        assert main(["analyze", str(photos), "--resume", *outputs]) == 2
        assert "--json FILE" in capsys.readouterr().err


# ------------------------------------------------------------------ Parquet


def table(folder: Path) -> list[dict[str, Any]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("part-*.parquet")):
        rows += parquet.read_table(path).to_pylist()
    return rows


def test_parquet_holds_what_csv_and_json_hold(
    photos: Path, reads: list[int], capsys: Capture
) -> None:
    pytest.importorskip("pyarrow")
    folder, out, cells = (photos.parent / name for name in ("rows", "out.jsonl", "out.csv"))
    command = ["analyze", str(photos), "--parquet", str(folder)]
    main([*command, "--json", str(out), "--csv", str(cells)])
    rows, records = table(folder), lines(out)
    assert [path.name for path in folder.iterdir()] == ["part-00000.parquet"]
    for row, record, cell in zip(
        rows, records, csv.DictReader(io.StringIO(cells.read_text())), strict=True
    ):
        assert row["file"] == record["file"]
        assert row["input_bytes"] == record["input"]["bytes"] == Path(row["file"]).stat().st_size
        for name, value in cell.items():
            assert str("" if row[name] is None else row[name]) == value, name
    assert main(command) == 2
    assert "holds 1 parts of an earlier run; go on with them by --resume" in capsys.readouterr().err
    reads.clear()
    main([*command, "--resume"])
    assert (reads, table(folder)) == ([], rows)
    (photos / "4.jpg").touch()
    main([*command, "--resume"])
    assert len(reads) == 1
    assert [row["file"] for row in table(folder)] == [*(row["file"] for row in rows),
                                                      str(photos / "4.jpg")]  # fmt: skip


def test_a_part_is_whole_or_not_there(tmp_path: Path, analyzer: Analyzer) -> None:
    pytest.importorskip("pyarrow")
    from agegenderemo.batch.parquet import ParquetParts, written_keys
    from agegenderemo.errors import AgeGenderEmoError

    known = {"bytes": 1, "modified": 2, "search": "auto"}

    def interrupted() -> None:
        with ParquetParts(tmp_path, analyzer.tasks, rows=2) as rows:
            for number in range(5):
                rows.write({"file": f"=a{number}.jpg", "error": "no", "input": known})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"part-0000{number}.parquet" for number in range(3)
    ]
    assert [row["file"] for row in table(tmp_path)] == [f"=a{number}.jpg" for number in range(5)]
    (tmp_path / "part-00007.parquet").write_bytes(b"PAR1")
    with pytest.raises(AgeGenderEmoError, match=r"part-00007\.parquet is no part"):
        written_keys(tmp_path)


# ------------------------------------------------------------------ kills


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "all"])
def test_a_kill_costs_time_and_no_row(tmp_path: Path, victim: str) -> None:
    folder, out, rows = tmp_path / "photos", tmp_path / "out.jsonl", tmp_path / "rows"
    folder.mkdir()
    Image.open(ASTRONAUT).crop((100, 0, 350, 250)).save(folder / "0.jpg")
    for number in range(1, 60):
        shutil.copy(folder / "0.jpg", folder / f"{number}.jpg")
    command = [sys.executable, "-m", "agegenderemo", "analyze", str(folder), "--json", str(out)]
    command += ["--workers", "2"]
    with_parquet = victim == "all" and bool(pytest.importorskip("pyarrow"))
    command += ["--parquet", str(rows)] if with_parquet else []
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    part = out.with_name("out.jsonl.part")
    end = time.monotonic() + 60
    while time.monotonic() < end and not (part.exists() and part.read_bytes().count(b"\n") > 5):
        time.sleep(0.02)
    if victim == "worker":
        os.kill(_children(process.pid)[-1], signal.SIGKILL)
        assert process.wait(60) == 0
    else:
        process.kill()
        process.wait()
        assert not out.exists()
        subprocess.run([*command, "--resume"], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    expected = sorted(str(path) for path in folder.iterdir())
    assert [one["file"] for one in lines(out)] == expected
    assert all(len(one["faces"]) == 1 for one in lines(out))
    if with_parquet:
        assert sorted(row["file"] for row in table(rows)) == expected
    assert not list(tmp_path.glob("*.part*"))


def _children(number: int) -> list[int]:
    """The processes of a pool, those that multiprocessing keeps for itself left out."""
    text = Path(f"/proc/{number}/task/{number}/children").read_text()
    return [
        int(child)
        for child in text.split()
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
