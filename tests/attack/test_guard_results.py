"""What calls make: gone at once when they fail, and never later than the clock allows."""

import copy
import io
import json
import math
import random
import re
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from pages import ASTRONAUT, SOLVAY, run_lines, run_many

from agegenderemo import Analyzer
from agegenderemo.errors import CheckpointError
from agegenderemo.report import load_card
from agegenderemo.resources import default_checkpoint
from agegenderemo.web import many, photo
from agegenderemo.web.about_text import figures_html
from agegenderemo.web.guard import Limits, Store

pytestmark = pytest.mark.slow

Call = Callable[[Analyzer, Store, list[str]], Any]


def _photo(analyzer: Analyzer, store: Store, paths: list[str]) -> Any:
    return photo._photo_shower(analyzer, store)(paths[0])


def _batch(analyzer: Analyzer, store: Store, paths: list[str]) -> Any:
    return run_many(analyzer, store, paths)


def _sent(store: Store) -> list[str]:
    return [str(store.keep(path)) for path in (ASTRONAUT, SOLVAY)]


def _files(store: Store) -> list[Path]:
    return sorted(path for path in store.folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("call", [_photo, _batch])
@pytest.mark.parametrize("whole", [0, 1])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    analyzer: Analyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call, whole: int
) -> None:
    """The disk is full from the start, and after one file."""
    with closing(Store(parent=tmp_path)) as store:
        sent = _sent(store)
        before, right, made = _files(store), store.create, []

        def create(path: Path) -> Any:
            made.append(path)
            # Every write to it fails with ENOSPC.
            return right(path) if len(made) <= whole else io.FileIO("/dev/full", "wb")

        monkeypatch.setattr(store, "create", create)
        with pytest.raises(gr.Error, match="disk is full; try again later"):
            call(analyzer, store, sent)
        assert len(made) == whole + 1
        assert _files(store) == before
        assert sorted(path.parent for path in before) == sorted(store.folder.iterdir())


def test_a_batch_that_fails_in_the_middle_leaves_nothing(
    analyzer: Analyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("whatever")

    with closing(Store(parent=tmp_path)) as store:
        sent = _sent(store)
        before = _files(store)
        monkeypatch.setattr(many._Run, "add", fails)
        with pytest.raises(RuntimeError, match="whatever"):
            run_many(analyzer, store, sent)
        assert _files(store) == before


def test_a_picture_that_takes_too_long_is_a_sentence_and_the_next_one_is_read(
    analyzer: Analyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agegenderemo.web.guard.picture_pool._IDLE_SECONDS", 0.1)
    with closing(Store(Limits(picture_seconds=0.01), tmp_path)) as store:
        _, large = _sent(store)
        message = _photo(analyzer, store, [large])[0]
        assert 'class="note bad"' in message
        assert "takes too long to read; make it smaller" in message or "busy" in message
        records = _batch(analyzer, store, [large, large])[1:-1]
        assert all("too long" in one["error"] or "busy" in one["error"] for one in records)
        assert len(records) == 2
    with closing(Store(parent=tmp_path)) as store:
        assert "1 face." in _photo(analyzer, store, _sent(store))[0]
    for thread in threading.enumerate():  # a test that ends must not end the process under them
        if thread.name == "picture":
            thread.join(30)


def test_a_run_is_ended_only_by_whom_knows_its_path(analyzer: Analyzer, tmp_path: Path) -> None:
    runs = many.Runs()
    with closing(Store(parent=tmp_path)) as store:
        sent = [str(store.keep(ASTRONAUT)) for _ in range(3)]
        run = many.batch_runner(analyzer, store, runs)(sent)
        told = next(run)
        (path,) = re.findall(r'data-path="([^"]+)"', told)
        odd: tuple[Any, ...] = (None, 1, [path], {"a": path}, path[:-1], path + " ", "", "/" * 9999)
        assert not any(runs.cancel(one) for one in odd)
        next(run)
        assert runs.cancel(path)
        assert list(run) == []
        lines = run_lines(told)
        assert [sorted(line) for line in lines[1:-1]] == [["crops", "faces", "file"]]
        assert lines[-1]["message"] == "Cancelled. 1 picture read, 1 face."
        assert not runs.cancel(path)  # it is over


def test_a_run_whose_page_is_gone_keeps_what_was_read_until_the_sweep(
    analyzer: Analyzer, tmp_path: Path
) -> None:
    with closing(Store(parent=tmp_path)) as store:
        sent = [str(store.keep(ASTRONAUT)) for _ in range(3)]
        kept = _files(store)
        run = many.batch_runner(analyzer, store, many.Runs())(sent)
        told = next(run)
        next(run)
        run.close()  # type: ignore[attr-defined]
        end = run_lines(told)[-1]
        assert end["message"].startswith("Cancelled. 1 picture read")
        assert len(json.loads(Path(end["downloads"]["JSON"]).read_text("utf-8"))) == 1
        store.sweep(time.time() + store.limits.promise_seconds)
        assert _files(store) == kept  # the examples stay, nothing of the run does


# ------------------------------------------------------------------ a damaged card


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in some JSON, as what holds it and its key there."""
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


def test_a_damaged_card_is_refused_when_it_is_loaded_and_not_when_it_is_shown(
    tmp_path: Path,
) -> None:
    whole = json.loads(default_checkpoint().with_suffix(".json").read_text("utf-8"))
    draw, said = random.Random(21), []
    odd: tuple[Any, ...] = (None, "x", [], {}, -1, 1e308, math.nan, [1], True, {"a": 1})
    for _ in range(60):
        card = copy.deepcopy(whole)
        holder, key = draw.choice(_places(card))
        holder[key] = draw.choice(odd)
        (tmp_path / "a.json").write_text(json.dumps(card), "utf-8")
        try:
            found = load_card(tmp_path / "a.safetensors", whole["weights_sha256"])
            said.append(figures_html(found))
        except CheckpointError as error:
            said.append(str(error))
    refused = [
        one for one in said if one.endswith("measure again with 'agegenderemo evaluate --card'.")
    ]
    assert 0 < len(refused) < len(said)
    assert all("damaged" in one for one in refused)
