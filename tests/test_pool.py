"""The pool of processes: order, bounds, deaths, and the command that uses it."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from PIL import Image

from agegenderemo.batch.pool import _AHEAD, cores, map_ordered
from agegenderemo.cli import main
from agegenderemo.errors import AgeGenderEmoError

Item = TypeVar("Item")


def _slower_first(item: int) -> int:
    time.sleep(0.05 if item % 2 == 0 else 0)
    return item * item


def _start(call: Callable[[Item], Item]) -> Callable[[Item], Item]:
    return call


def _gives_up(item: int) -> int:
    return -item


def _dies_at(folder: Path, deaths: int, item: int) -> int:
    """Kills its process at item 5, the first so many times."""
    marks = len(list(folder.iterdir()))
    if item == 5 and marks < deaths:
        (folder / str(marks)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def _fails(item: int) -> int:
    raise ValueError(f"no {item}")


def _never_starts() -> Callable[[int], int]:
    os._exit(3)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    found = map_ordered(partial(_start, _slower_first), range(20), workers, _gives_up)
    assert list(found) == [n * n for n in range(20)]


def _turned_over(item: bytes) -> bytes:
    time.sleep(0.02)  # while the next one comes
    return item[::-1]


def _none(item: bytes) -> bytes:
    return b""


def test_neither_side_waits_for_the_other_to_take_something_large() -> None:
    """More than a pipe holds, as the photos of phones and their drawings are."""
    items = [bytes([number]) * 3_000_000 + b"!" for number in range(6)]
    ended = threading.Event()

    def run() -> None:
        found = list(map_ordered(partial(_start, _turned_over), items, 2, _none))
        assert found == [item[::-1] for item in items]
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    assert ended.wait(30)


def _sleeps_at(item: int) -> int:
    time.sleep(60 if item == 2 else 0)
    return item


def test_an_item_that_takes_too_long_is_given_up_and_the_next_ones_are_read() -> None:
    begun = time.monotonic()
    found = map_ordered(partial(_start, _sleeps_at), range(5), 1, _gives_up, seconds=1)
    assert list(found) == [0, 1, -2, 3, 4]
    assert time.monotonic() - begun < 30


def test_no_items_are_no_results() -> None:
    assert list(map_ordered(partial(_start, _slower_first), [], 2, _gives_up)) == []


def test_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10_000):
            taken.append(number)
            yield number

    results = map_ordered(partial(_start, _slower_first), items(), 2, _gives_up)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    results.close()  # type: ignore[attr-defined]
    assert len(taken) <= 3 + 2 * _AHEAD


@pytest.mark.parametrize(("deaths", "fifth"), [(1, 5), (2, -5)])
def test_a_killed_process_costs_nothing_but_what_kills_twice(
    deaths: int, fifth: int, tmp_path: Path
) -> None:
    start = partial(_start, partial(_dies_at, tmp_path, deaths))
    found = list(map_ordered(start, range(12), 2, _gives_up))
    assert found == [fifth if n == 5 else n for n in range(12)]


def test_errors_reach_the_caller() -> None:
    with pytest.raises(ValueError, match=r"no \d"):
        list(map_ordered(partial(_start, _fails), range(3), 2, _gives_up))


def test_processes_that_cannot_start_are_one_sentence() -> None:
    with pytest.raises(AgeGenderEmoError, match="end before they begin"):
        list(map_ordered(_never_starts, range(3), 2, _gives_up))


def test_there_is_a_core() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


@pytest.fixture
def folder(tmp_path: Path, examples: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    with Image.open(examples / "astronaut.jpg") as photo:
        small = photo.crop((130, 20, 330, 220))
    for number in range(6):
        small.rotate(number).save(photos / f"{number}.jpg")
    (photos / "3.jpg").write_bytes(b"no picture")
    return photos


def test_workers_say_what_one_process_says(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {}
    for workers in ("1", "3"):
        drawn, table = tmp_path / f"drawn{workers}", tmp_path / f"{workers}.csv"
        options = ["--csv", str(table), "--annotated", str(drawn), "--json", "-"]
        assert main(["analyze", str(folder), "--workers", workers, *options]) == 1
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [Path(line["file"]).stem for line in lines] == list("012345")
        assert ["error" in line for line in lines] == [n == 3 for n in range(6)]
        said[workers] = (lines, table.read_text(), sorted(p.name for p in drawn.iterdir()))
    assert said["1"] == said["3"]


@pytest.mark.parametrize("workers", ["0", "-1"])
def test_fewer_than_one_is_refused(
    workers: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    assert main(["analyze", str(folder), "--workers", workers, "--json", str(out)]) == 2
    assert "--workers must be at least 1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [folder]
