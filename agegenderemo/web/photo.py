"""Photo: one picture, its faces as cards, a chart of the chosen face, and the public endpoint."""

import json
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from agegenderemo.errors import ImageError
from agegenderemo.imaging.draw import annotate, face_color, prediction_text
from agegenderemo.imaging.load import shrink
from agegenderemo.imaging.palette import text_on
from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.resources import PHOTOS, resource_folder
from agegenderemo.tasks import RegressionPrediction, TaskSpec
from agegenderemo.types import Face, RGBImage
from agegenderemo.web import assets, words
from agegenderemo.web.cards import face_cards, face_table, note
from agegenderemo.web.charts import class_figure
from agegenderemo.web.downloads import (
    csv_text,
    download_picture,
    download_text,
    full_disk_said,
    json_text,
)
from agegenderemo.web.guard import Store, StoreError
from agegenderemo.web.guard.picture_pool import PicturePool
from agegenderemo.web.networks import ENDPOINT
from agegenderemo.web.picture_input import PictureFile
from agegenderemo.web.reading import Photo, read_photo

_ABOUT_EXAMPLES = (
    "Eileen Collins, Grace Hopper, and the Solvay conference of 1927, in which AgeGenderNet "
    "takes Marie Curie for a man."
)
MAX_SHOWN_SIDE = 2400
"""Pixels of the longer side of a picture that is shown: more would only load the browser."""

_AT_ONCE = 2
_HINT = "Choose a picture, paste one, or take a snapshot. Its faces appear here."


def photo_page(analyzer: Analyzer, store: Store, endpoint: str = ENDPOINT) -> None:
    """Lay out the Photo tab and its events; ``endpoint`` is what programs call."""
    faces = gr.State([], time_to_live=store.limits.keep_seconds)
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=5, min_width=300):
            picture = PictureFile(
                sources=["upload", "clipboard", "webcam"],
                type="filepath",
                label="Picture",
                show_label=False,
                buttons=[],
                height=340,
                placeholder="Drop a picture here\nor click to choose one",
                elem_id="photo-input",
                webcam_options=gr.WebcamOptions(mirror=False),
            )
            gr.Examples(
                [str(store.keep(resource_folder("examples") / name)) for name in PHOTOS],
                picture,
                label="Or try one of these",
                elem_id="photo-examples",
                api_visibility="private",
            )
            gr.HTML(note(_ABOUT_EXAMPLES), apply_default_css=False)
        with gr.Column(scale=7, min_width=300):
            message = gr.HTML(
                note(_HINT, "hint"),
                js_on_load=assets.script("said", "message"),
                elem_id="photo-message",
            )
            shown = gr.HTML(visible=False, apply_default_css=False, elem_id="photo-picture")
    with gr.Column(visible=False, elem_id="photo-results") as results:
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=7, min_width=300):
                cards = gr.HTML(
                    js_on_load=assets.script("stage", "photo"),
                    apply_default_css=False,
                    elem_id="photo-cards",
                )
            charted = bool(words.categorical(analyzer.tasks))
            with gr.Column(scale=5, min_width=300, visible=charted):
                chart_title = gr.HTML(elem_id="photo-chart-title", apply_default_css=False)
                chart = gr.Plot(show_label=False, container=False, elem_id="photo-chart")
        table = gr.HTML(elem_id="photo-table", apply_default_css=False)
        with gr.Row(elem_classes="downloads"):
            json_button = gr.DownloadButton("Download JSON", elem_id="photo-json", size="md")
            csv_button = gr.DownloadButton("Download CSV", elem_id="photo-csv", size="md")
            jpeg_button = gr.DownloadButton("Download picture", elem_id="photo-jpeg", size="md")

    picture.change(
        _photo_shower(analyzer, store),
        picture,
        [
            message,
            shown,
            results,
            cards,
            chart_title,
            chart,
            table,
            json_button,
            csv_button,
            jpeg_button,
            faces,
        ],
        api_visibility="private",
        concurrency_id="analyze",
        concurrency_limit=_AT_ONCE,
        show_progress_on=[message],
        trigger_mode="always_last",
    )
    cards.click(
        face_chooser(analyzer.tasks),
        faces,
        [chart_title, chart],
        api_visibility="private",
        show_progress="hidden",
    )

    api_picture = PictureFile(label="Picture", type="filepath", visible=False)
    api_result = gr.JSON(label="Result", visible=False)
    api_button = gr.Button(visible=False)
    api_button.click(
        _endpoint(analyzer, store),
        api_picture,
        api_result,
        api_name=endpoint,
        api_description=(
            f"{words.names_of(analyzer.tasks)} of every face of a picture, the largest face first."
        ),
        concurrency_id="analyze",
        concurrency_limit=_AT_ONCE,
    )


def _pool(store: Store) -> PicturePool:
    """As many threads as gradio has workers for it: one address, which has one call at a time,
    never holds both."""
    return PicturePool(_AT_ONCE, store.limits.picture_seconds, nice=5)


def _read_upload(analyzer: Analyzer, store: Store, pool: PicturePool, path: str) -> Photo:
    """The same for a file of the store; raises gr.Error with one sentence for people."""
    try:
        with store.open(path) as file:
            return pool.run(lambda: read_photo(analyzer, file, Path(path).name))
    except (ImageError, StoreError) as error:
        raise gr.Error(str(error), print_exception=False) from error


def face_chooser(
    tasks: Sequence[TaskSpec],
) -> Callable[[list[Face], gr.EventData], tuple[str, Any]]:
    """The function behind a click on a card: title and chart of that face."""

    def choose_face(faces: list[Face], event: gr.EventData) -> tuple[str, Any]:
        """``event.face`` is the index of the card."""
        try:
            index = event.face
        except (AttributeError, TypeError):  # the event carries none
            index = None
        if type(index) is not int or not 0 <= index < len(faces):
            raise gr.Error("That face is gone; choose the picture again.", print_exception=False)
        return _chart(index, faces[index], tasks)

    return choose_face


def _chart(index: int, face: Face, tasks: Sequence[TaskSpec]) -> tuple[str, Any]:
    shown = words.categorical(tasks)
    if not shown:
        return "", None
    what = words.listed([words.several(spec) for spec in shown])
    title = f'<h2 data-face="{index}">Face {index + 1}: {escape(what)}</h2>'
    return title, class_figure(face, tasks)


def _legend(face: Face) -> str:
    """What the ranges below the numbers mean, where there are any."""
    names = [
        words.plain(one.spec.name)
        for one in face.predictions.values()
        if isinstance(one, RegressionPrediction) and one.interval
    ]
    if not names:
        return ""
    return (
        f' "Probably" means: the true {words.listed(names)} of four in five such faces lies in '
        "that range."
    )


def _photo_shower(analyzer: Analyzer, store: Store) -> Callable[[str | None], tuple[Any, ...]]:
    pool = _pool(store)
    nothing = (gr.skip(),) * 7

    def show_photo(path: str | None) -> tuple[Any, ...]:
        hidden = gr.update(visible=False)
        if path is None:
            return note(_HINT, "hint"), hidden, hidden, *nothing, []
        try:
            photo = _read_upload(analyzer, store, pool, path)
        except gr.Error as error:
            return note(error.message, "bad"), hidden, hidden, *nothing, []
        with full_disk_said(), store.all_or_nothing() as new_path:
            return show(photo, Path(path).stem, new_path)

    def show(photo: Photo, stem: str, new_path: Callable[[str], Path]) -> tuple[Any, ...]:
        image, faces, result = photo.picture.image, photo.faces, photo.record
        plain, _ = shrink(image, MAX_SHOWN_SIDE)
        picture = download_picture(store, new_path(f"{stem}.jpg"), plain)
        shown = gr.update(value=picture_html(picture, image, faces), visible=True)
        if not faces:
            text = "No face was found. Faces should be at least 20 pixels wide and not far turned."
            return note(text), shown, gr.update(visible=False), *nothing, []
        drawn, _ = shrink(annotate(image, faces), MAX_SHOWN_SIDE)
        return (
            note(_count(photo) + _legend(faces[0]), said=words.spoken(labels(faces))),
            shown,
            gr.update(visible=True),
            face_cards(image, faces, analyzer.tasks),
            *_chart(0, faces[0], analyzer.tasks),
            face_table([result], analyzer.tasks),
            download_text(store, new_path(f"{stem}.json"), json_text(result)),
            download_text(store, new_path(f"{stem}.csv"), csv_text([result], analyzer.tasks)),
            download_picture(store, new_path(f"{stem}-faces.jpg"), drawn),
            faces,
        )

    return show_photo


def labels(faces: Sequence[Face]) -> list[str]:
    """What a label says of each face: its answers in the tasks' order."""
    return [" · ".join(prediction_text(one) for one in face.predictions.values()) for face in faces]


def picture_html(path: str, image: RGBImage, faces: Sequence[Face]) -> str:
    """A picture of the store, over which the page's script draws the faces: their boxes in shares
    of width and height, their colours and their labels, as percent-encoded JSON."""
    height, width = image.shape[:2]
    drawn = []
    for face, text in zip(faces, labels(faces), strict=True):
        x1, y1, x2, y2 = face.box
        color = face_color(face.predictions)
        box = [round(x1 / width, 5), round(y1 / height, 5), round(x2 / width, 5),
               round(y2 / height, 5)]  # fmt: skip
        drawn.append({"box": box, "color": color, "ink": text_on(color), "words": text})
    told = "The picture; its faces are listed below." if faces else "The picture."
    return (
        f'<div class="photo-frame"><div class="photo-place" style="--wide: {width / height:.4f}" '
        f'data-faces="{quote(json.dumps(drawn))}">'
        f'<img src="gradio_api/file={quote(path)}" width="{width}" height="{height}" alt="{told}">'
        '<canvas width="0" height="0"></canvas></div></div>'
        '<button type="button" class="button" id="photo-full">Full screen</button>'
    )


def _count(photo: Photo) -> str:
    read = len(photo.faces)
    if photo.left:
        return f"The {read} largest of {read + photo.left} faces are read, the largest first."
    return "1 face." if read == 1 else f"{read} faces, the largest first."


def _endpoint(analyzer: Analyzer, store: Store) -> Callable[[str], dict[str, Any]]:
    pool = _pool(store)

    def analyze(image: str) -> dict[str, Any]:
        if not image:
            raise gr.Error("No picture was sent.", print_exception=False)
        return _read_upload(analyzer, store, pool, image).record

    return analyze
