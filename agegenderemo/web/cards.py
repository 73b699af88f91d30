"""HTML pieces that the Photo and Many pages share: face cards, tables and notes."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from PIL import Image

from agegenderemo.tasks import TaskSpec, speaks_alone
from agegenderemo.types import Box, Face, RGBImage
from agegenderemo.web import words

CROP_SIDE = 96  # pixels of a card's picture
_MARGIN = 0.25  # of the box's longer side, around it


def face_cards(image: RGBImage, faces: Sequence[Face], tasks: Sequence[TaskSpec]) -> str:
    """A button a face with its crop and a line a task; the first one is selected."""
    cards = []
    for index, face in enumerate(faces):
        record = face.to_dict()
        cards.append(
            f'<button type="button" class="face-card" data-face="{index}" '
            f'aria-pressed="{str(index == 0).lower()}">'
            f'<span class="face-index" aria-hidden="true">{index + 1}</span>'
            f'<img src="{crop_url(image, face.box)}" alt="Face {index + 1}" '
            f'width="{CROP_SIDE}" height="{CROP_SIDE}">'
            f'<span class="face-text">{"".join(_card_line(spec, record) for spec in tasks)}'
            f"{_flags(face.quality_flags)}</span></button>"
        )
    return f'<div class="face-cards" role="group" aria-label="Faces">{"".join(cards)}</div>'


def face_table(
    results: Iterable[dict[str, Any]], tasks: Sequence[TaskSpec], *, with_file: bool = False
) -> str:
    """A table row a face; a picture with an error or without faces has one row that says so.

    ``results`` are dicts in the documented JSON shape.
    """
    head = ["Face", *(words.title(spec.name) for spec in tasks), "Detector", "Notes"]
    width = len(head)
    if with_file:
        head.insert(0, "Picture")
    rows = []
    for result in results:
        file = f'<th scope="row">{escape(result["file"])}</th>' if with_file else ""
        if "error" in result:
            rows.append(_note_row(file, "bad", escape(result["error"]), width))
        elif not result["faces"]:
            rows.append(_note_row(file, "none", "No face was found.", width))
        for number, face in enumerate(result.get("faces", ()), start=1):
            cells = (
                str(number),
                *(cell(spec, face) for spec in tasks),
                words.percent(face["score"]),
                ", ".join(face["quality_flags"]),
            )
            rows.append(f"<tr>{file}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    return table_html(f"<thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody>")


def table_html(content: str) -> str:
    """A table in a frame of its own that scrolls, by keyboard too."""
    return (
        f'<div class="table-scroll" tabindex="0"><table class="face-table">{content}</table></div>'
    )


def note(text: str, kind: str = "quiet", said: str = "") -> str:
    """A sentence on its own line; ``kind`` is ``"quiet"``, ``"hint"`` or ``"bad"``. Screen readers
    say ``said`` in its place, where it is given."""
    spoken = f' data-said="{escape(said)}"' if said else ""
    return f'<p class="note {kind}"{spoken}>{escape(text)}</p>'


def _note_row(file: str, kind: str, text: str, columns: int) -> str:
    return f'<tr class="row-{kind}">{file}<td colspan="{columns}">{text}</td></tr>'


def _card_line(spec: TaskSpec, face: dict[str, Any]) -> str:
    named = "" if speaks_alone(spec) else f"{words.title(spec.name)}: "
    if spec.kind == "categorical":
        return f"<span>{named}{words.label_html(spec, face)}</span>"
    if spec.kind == "binary":
        share = words.percent(words.probability(spec, face))
        return f"<span>{named}{words.label_html(spec, face)} {share}</span>"
    named = f"<small>{named}</small>" if named else ""
    value = words.number(spec, face[spec.name])
    unit = f" <small>{escape(spec.unit)}</small>" if spec.unit else ""
    return f'<span class="face-number">{named}{value}{unit}</span>{_range(spec, face)}'


def _range(spec: TaskSpec, face: dict[str, Any]) -> str:
    ends = words.interval(spec, face)
    return f'<span class="face-range">{ends}</span>' if ends else ""


def cell(spec: TaskSpec, face: dict[str, Any]) -> str:
    if spec.kind == "regression":
        ends = words.interval(spec, face)
        return words.number(spec, face[spec.name]) + (f", <small>{ends}</small>" if ends else "")
    share = words.percent(words.probability(spec, face))
    return f"{words.label_html(spec, face)} <small>{share}</small>"


def _flags(flags: Sequence[str]) -> str:
    return f'<span class="face-flags">{", ".join(flags)}</span>' if flags else ""


def crop_url(image: RGBImage, box: Box, shown: int = CROP_SIDE) -> str:
    """The face with some margin as a square JPEG data URL, shown at so many pixels."""
    x1, y1, x2, y2 = box
    half = (0.5 + _MARGIN) * max(x2 - x1, y2 - y1)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    square = (round(x - half), round(y - half), round(x + half), round(y + half))
    side = 2 * shown  # sharp on dense screens
    # Cut from the array first: PIL would copy the whole picture for every face.
    height, width = image.shape[:2]
    left, top = max(0, square[0]), max(0, square[1])
    part = Image.fromarray(image[top : min(height, square[3]), left : min(width, square[2])])
    crop = part.crop((square[0] - left, square[1] - top, square[2] - left, square[3] - top))
    stream = io.BytesIO()
    crop.resize((side, side)).save(stream, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
