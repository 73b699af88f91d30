"""Many: pictures and zips in; a table that grows as they are read, a summary and files out.

A run writes JSON lines into a file of the store, which the page's script reads as it grows. Its
path has 128 random bits; the page keeps it in the tab's ``sessionStorage``, so that a reload shows
the same results, until the file is deleted as all others are.
"""

import json
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from agegenderemo.imaging.formats import IMAGE_SUFFIXES
from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.tasks import TaskSpec
from agegenderemo.web import assets, words
from agegenderemo.web.batch import Outcome, count_items, read_all, read_items
from agegenderemo.web.cards import cell
from agegenderemo.web.downloads import csv_text, download_text, full_disk_said, json_text
from agegenderemo.web.guard import Store
from agegenderemo.web.guard.names import safe_name
from agegenderemo.web.guard.picture_pool import PicturePool
from agegenderemo.web.picture_input import FilesInput
from agegenderemo.web.zero_gpu import card_of

_CHOSEN = """() => '<span hidden data-chosen="' + performance.now() + '"></span>'"""
HINT = "Choose several pictures, or a zip of them."


def many_page(analyzer: Analyzer, store: Store) -> None:
    """Lay out the Many tab and its events."""
    files = FilesInput(
        file_count="multiple",
        file_types=["image", *sorted(IMAGE_SUFFIXES), ".zip"],
        label="Pictures or a zip",
        show_label=False,
        height=180,
        elem_id="batch-input",
    )
    start = gr.Button("Analyze", variant="primary", elem_id="batch-start", elem_classes="narrow")
    # What the script below reads: the path of the run's file.
    run = gr.HTML(elem_id="batch-run", apply_default_css=False)
    runs = Runs()

    def cancel_run(path: object) -> bool:  # gradio writes on it, which a method does not allow
        return runs.cancel(path)

    gr.HTML(
        html_template=many_html(analyzer.tasks),
        js_on_load=assets.script("said", "tally", "many"),
        server_functions=[cancel_run],
        apply_default_css=False,
        elem_id="batch-board",
    )
    start.click(
        batch_runner(analyzer, store, runs),
        files,
        run,
        api_visibility="private",
        concurrency_id="batch",
        concurrency_limit=2,  # so that one address, which has one, never holds it
        show_progress="hidden",
        trigger_mode="multiple",  # a click is not lost while a run is being cancelled
    )
    # Results belong to the files that are chosen. No server is asked: nothing old is ever shown.
    files.change(None, None, run, js=_CHOSEN, api_visibility="private")


def many_html(tasks: Sequence[TaskSpec]) -> str:
    """The page before its script runs."""
    html = assets.read("many.html")
    parts = {"tasks": assets.tasks_attribute(tasks), "hint": escape(HINT)}
    for name, text in parts.items():
        html = html.replace(f"@{name}@", text)
    return html


class Runs:
    """The runs that are under way, by the paths of their files, which nobody guesses."""

    def __init__(self) -> None:
        self._cancelled: dict[str, threading.Event] = {}

    @contextmanager
    def under_way(self, path: Path) -> Iterator[threading.Event]:
        """An event that is set when this run is cancelled."""
        self._cancelled[str(path)] = threading.Event()
        try:
            yield self._cancelled[str(path)]
        finally:
            del self._cancelled[str(path)]

    def cancel(self, path: object) -> bool:
        """Whether there was such a run, which ends after the picture that it is at."""
        event = self._cancelled.get(path) if isinstance(path, str) else None
        if event is not None:
            event.set()
        return event is not None


def batch_runner(
    analyzer: Analyzer, store: Store, runs: Runs
) -> Callable[[list[str] | None], Iterator[Any]]:
    """The function behind the button: it says where the run's file is, and then reads."""
    pool = PicturePool(1, store.limits.picture_seconds, nice=5)
    card = card_of(analyzer, store.limits.picture_seconds)
    first = card.outcomes if card else None

    def run_batch(paths: list[str] | None) -> Iterator[Any]:
        if not paths:
            yield f'<span hidden data-nothing="{time.monotonic()}"></span>'
            return
        with full_disk_said(), store.all_or_nothing() as new_path:
            run = _Run(analyzer.tasks, store, new_path, count_items(paths, store))
            items = read_items(paths, store, run.shadows)
            outcomes = read_all(analyzer, items, run.total, store.limits, pool, first)
            # Cancelled, or its page is gone: what was read is a result too.
            with suppress(GeneratorExit), run, closing(outcomes), runs.under_way(run.path) as end:
                yield f'<span hidden data-path="{escape(str(run.path))}"></span>'
                for outcome in outcomes:
                    run.add(outcome)
                    yield gr.skip()
                    if end.is_set():
                        run.cancelled = True
                        break

    return run_batch


class _Run:
    """The file of one run, and what is made of its results at the end, also where it is cancelled.

    Its lines are ``{"total"}``, then one a picture: ``{"file", "error"}`` or ``{"file", "crops",
    "faces"}``, whose faces are their cells, and at the end ``{"end", "message", "downloads"}``.
    """

    def __init__(
        self, tasks: Sequence[TaskSpec], store: Store, new_path: Callable[[str], Path], total: int
    ) -> None:
        self._tasks, self._store, self._new_path = tasks, store, new_path
        self.total = total
        self.path = new_path("run.jsonl")
        self._pictures = new_path("annotated.zip")
        self._results: list[dict[str, Any]] = []
        self._left: Counter[str] = Counter()
        self.shadows: Counter[str] = Counter()
        self.cancelled = False

    def __enter__(self) -> "_Run":
        self._lines = self._store.create(self.path)
        self._write({"total": self.total})
        self._zip_file = self._store.create(self._pictures)
        self._zip = zipfile.ZipFile(self._zip_file, "w")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """A run that was cancelled (its generator is closed) keeps what was read; one that failed
        leaves nothing."""
        try:
            if kind is None or issubclass(kind, GeneratorExit):
                self.cancelled |= kind is not None
                self._finish()
        finally:
            for file in (self._zip, self._lines, self._zip_file):
                with suppress(OSError):  # a full disk was told already
                    file.close()

    def add(self, outcome: Outcome) -> None:
        """Write a line for a picture, and keep what the downloads need."""
        record, number = outcome.record, len(self._results) + 1
        self._results.append(record)
        if outcome.left:
            self._left[record["file"]] += outcome.left
        if outcome.drawn:
            name = safe_name(f"{number:03}-{Path(record['file']).stem}.jpg")
            self._zip.writestr(name, outcome.drawn)
        if "error" in record:
            self._write({"file": record["file"], "error": record["error"]})
            return
        faces = [
            {
                "cells": [
                    *({"html": cell(spec, face), "value": face[spec.name]} for spec in self._tasks),
                    {"html": words.percent(face["score"]), "value": face["score"]},
                    {"html": ", ".join(face["quality_flags"]), "value": len(face["quality_flags"])},
                ]
            }
            for face in record["faces"]
        ]
        self._write({"file": record["file"], "crops": outcome.crops, "faces": faces})

    def _finish(self) -> None:
        self._zip.close()
        self._zip_file.flush()
        json_path, csv_path = self._new_path("faces.json"), self._new_path("faces.csv")
        downloads = {
            "JSON": download_text(self._store, json_path, json_text(self._results)),
            "CSV": download_text(self._store, csv_path, csv_text(self._results, self._tasks)),
            "pictures": str(self._pictures),
        }
        text = summary(self._results, self._left, self.shadows)
        if self.cancelled:
            text = f"Cancelled. {text}"
        self._write({"end": True, "message": text, "downloads": downloads})

    def _write(self, line: dict[str, Any]) -> None:
        self._lines.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
        self._lines.flush()


def summary(results: Sequence[dict[str, Any]], left: Counter[str], shadows: Counter[str]) -> str:
    """What became of a run, in a line."""
    faces = sum(len(result.get("faces", ())) for result in results)
    bad = sum("error" in result for result in results)
    text = f"{_counted(len(results) - bad, 'picture')} read, {_counted(faces, 'face')}"
    text += f"; {bad} could not be read, the table says why." if bad else "."
    if left:
        text += f" {_counted(left.total(), 'face')} more in crowded pictures were left out."
    if shadows:
        text += f" {_counted(shadows.total(), 'macOS shadow')} left out."
    return text


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
