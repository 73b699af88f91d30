"""Video: a film in; the annotated film, a timeline of its people, a table, CSV and JSON out."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from agegenderemo.errors import FilmError
from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.resources import resource_folder
from agegenderemo.tasks import TaskSpec
from agegenderemo.video.formats import FILM_SUFFIXES
from agegenderemo.video.worker import WorkLimits, read_in_process
from agegenderemo.web import assets, words
from agegenderemo.web.cards import note, table_html
from agegenderemo.web.downloads import download_text, full_disk_said, json_text
from agegenderemo.web.guard import Limits, Store, StoreError
from agegenderemo.web.picture_input import FilesInput
from agegenderemo.web.privacy import duration
from agegenderemo.web.timeline import longest_seen, summary, timeline_figure

_TOP_SHARES = 3  # classes of a person that the table names
_LEAST_SHARE = 0.05


def video_page(analyzer: Analyzer, store: Store) -> None:
    """Lay out the Video tab and its event."""
    film = FilesInput(
        file_count="single",
        file_types=sorted(FILM_SUFFIXES),
        label="Film",
        show_label=False,
        height=180,
        elem_id="video-input",
    )
    gr.Examples(
        [str(store.keep(resource_folder("examples") / "clip.mp4"))],
        film,
        label="No film at hand? Try this one",
        elem_id="video-examples",
        api_visibility="private",
    )
    start = gr.Button(
        "Read the film", variant="primary", elem_id="video-start", elem_classes="narrow"
    )
    message = gr.HTML(
        note(hint(store.limits), "hint"),
        js_on_load=assets.script("said", "message"),
        elem_id="video-message",
    )
    with gr.Column(visible=False, elem_id="video-results") as results:
        player = gr.HTML(
            js_on_load=assets.script("video"), apply_default_css=False, elem_id="video-player"
        )
        timeline = gr.Plot(show_label=False, container=False, elem_id="video-timeline")
        table = gr.HTML(elem_id="video-table", apply_default_css=False)
        with gr.Row(elem_classes="downloads"):
            json_button = gr.DownloadButton("Download JSON", elem_id="video-json", size="md")
            csv_button = gr.DownloadButton("Download CSV", elem_id="video-csv", size="md")
            film_button = gr.DownloadButton("Download film", elem_id="video-film", size="md")
    start.click(
        _film_shower(analyzer, store),
        film,
        [message, results, player, timeline, table, json_button, csv_button, film_button],
        api_visibility="private",
        concurrency_id="video",
        concurrency_limit=2,  # so that one address, which has one, never holds it
        show_progress_on=[message],
    )


def hint(limits: Limits) -> str:
    """What a film may be, from the numbers that the server keeps."""
    return (
        f"Choose a film (MP4, MOV, WebM, MKV or AVI) of up to {limits.film_bytes >> 20} MB. Its "
        f"first {duration(limits.film_seconds)} are read."
    )


def _work_limits(limits: Limits) -> WorkLimits:
    return WorkLimits(
        pixels=limits.film_pixels,
        seconds=limits.film_seconds,
        frames=limits.film_frames,
        work_seconds=limits.film_work_seconds,
        memory_bytes=limits.film_memory_bytes,
        file_bytes=limits.film_bytes,
    )


def _film_shower(
    analyzer: Analyzer, store: Store
) -> Callable[[list[str], gr.Progress], tuple[Any, ...]]:
    nothing = (gr.skip(),) * 6

    def show_film(
        paths: list[str],
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - gradio finds it by the default
    ) -> tuple[Any, ...]:
        hidden = gr.update(visible=False)
        if not paths:
            return note(hint(store.limits), "bad"), hidden, *nothing
        name = Path(paths[0]).name
        stem = Path(name).stem
        try:
            with full_disk_said(), store.all_or_nothing() as new_path:
                csv_path, film_path = new_path(f"{stem}.csv"), new_path(f"{stem}.mp4")
                with (
                    store.open(paths[0]) as film,
                    store.create(csv_path) as table,
                    store.create(film_path) as annotated,
                ):
                    answer = read_in_process(
                        analyzer, name, film, table, annotated, _work_limits(store.limits),
                        lambda done, whole: progress((int(done), ceil(whole)), unit="seconds"),
                    )  # fmt: skip
                record, people = answer["record"], answer["people"]
                json_path = download_text(store, new_path(f"{stem}.json"), json_text(record))
        except (FilmError, StoreError) as error:
            return note(str(error), "bad"), hidden, *nothing
        return (
            note(
                _said(answer),
                "bad" if "error" in record else "quiet",
                _read_out(answer, analyzer.tasks),
            ),
            gr.update(visible=True),
            player_html(str(film_path)),
            gr.update(
                # The table beside it has the ranges.
                value=timeline_figure(people, analyzer.tasks, record["seconds"], ranges=False),
                visible=bool(people),
            ),
            people_table(people, analyzer.tasks),
            json_path,
            str(csv_path),
            str(film_path),
        )

    return show_film


def _said(answer: Mapping[str, Any]) -> str:
    """What became of the film, in a line."""
    record, count = answer["record"], len(answer["people"])
    people = "Nobody was" if not count else "1 person was" if count == 1 else f"{count} people were"
    text = f"{people} seen in {record['seconds']:.1f} seconds, {record['frames']} frames."
    if count:
        text += " A click on the timeline, or on a time in the table, shows that moment."
    return " ".join(filter(None, (record.get("error"), text, answer.get("sound"))))


def _read_out(answer: Mapping[str, Any], tasks: Sequence[TaskSpec]) -> str:
    """The same for screen readers: who was seen. Nothing where the line itself says more."""
    if "error" in answer["record"] or not answer["people"]:
        return ""
    people = longest_seen(answer["people"])
    return words.spoken([summary(one, tasks) for one in people], "person", "people")


def player_html(path: str) -> str:
    """The film of a path in the store, which the page fetches from where it came from itself."""
    address = f"gradio_api/file={quote(path)}"
    return f'<video controls playsinline preload="auto" src="{address}"></video>'


def people_table(people: Sequence[Mapping[str, Any]], tasks: Sequence[TaskSpec]) -> str:
    """A row a person; the times in it are buttons."""
    if not people:
        return ""
    titles = ["Person", "From", "To", *(words.title(spec.name) for spec in tasks)]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    rows = []
    for person in longest_seen(people):
        cells = [_time(person["first"]), _time(person["last"])]
        cells += [_cell(spec, dict(person)) for spec in tasks]
        columns = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{int(person["track_id"])}</th>{columns}</tr>')
    return table_html(f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>")


def _time(seconds: float) -> str:
    return f'<button type="button" data-time="{seconds:.3f}">{seconds:.1f} s</button>'


def _cell(spec: TaskSpec, person: dict[str, Any]) -> str:
    if spec.kind == "regression":
        ends = words.interval(spec, person)
        return words.number(spec, person[spec.name]) + (f", <small>{ends}</small>" if ends else "")
    if spec.kind == "binary":
        share = words.percent(words.probability(spec, person))
        return f"{words.label_html(spec, person)} <small>{share}</small>"
    shares: dict[str, float] = person[f"{spec.name}_shares"]
    top = sorted(shares.items(), key=lambda one: -one[1])[:_TOP_SHARES]
    return ", ".join(
        f"{escape(name)} <small>{words.percent(share)}</small>"
        for name, share in top
        if share >= _LEAST_SHARE
    )
