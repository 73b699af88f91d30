"""HTML pieces that the Photo and Many photos pages share: face cards, tables and notes."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from PIL import Image

from agegenderemo.images import RGBImage
from agegenderemo.palette import EMOTION_COLORS
from agegenderemo.records import Box, Face

CROP_SIDE = 96  # pixels of a card's picture
_MARGIN = 0.25  # of the box's longer side, around it


def face_cards(image: RGBImage, faces: Sequence[Face]) -> str:
    """A button a face with its crop, age, gender and top emotion; the first one is selected."""
    cards = []
    for index, face in enumerate(faces):
        color = EMOTION_COLORS[face.emotion]
        cards.append(
            f'<button type="button" class="face-card" data-face="{index}" '
            f'aria-pressed="{str(index == 0).lower()}">'
            f'<img src="{_crop_url(image, face.box)}" alt="Face {index + 1}" '
            f'width="{CROP_SIDE}" height="{CROP_SIDE}">'
            f'<span class="face-text">'
            f'<span class="face-age">{face.age:.0f} <small>years</small></span>'
            f"{_range(face)}"
            f"<span>{_perhaps(face.gender, face.attributes.gender_sure)} "
            f"{_percent(face.gender_probability)}</span>"
            f'<span class="face-emotion" style="--emotion:{color}">'
            f"{_perhaps(face.emotion, face.attributes.emotion_sure)}</span>"
            f"{_doubts(face.doubts)}"
            "</span></button>"
        )
    return f'<div class="face-cards" role="group" aria-label="Faces">{"".join(cards)}</div>'


def face_table(results: Iterable[dict[str, Any]], *, with_file: bool = False) -> str:
    """A table row a face; a picture with an error or without faces has one row that says so.

    ``results`` are dicts in the documented JSON shape.
    """
    head = ["Face", "Age", "Gender", "Emotion", "Detector", "Doubts"]
    if with_file:
        head.insert(0, "Picture")
    rows = []
    for result in results:
        file = f'<th scope="row">{escape(result["file"])}</th>' if with_file else ""
        if "error" in result:
            rows.append(_note_row(file, "bad", escape(result["error"]), 6))
        elif not result["faces"]:
            rows.append(_note_row(file, "none", "No face was found.", 6))
        for number, face in enumerate(result.get("faces", ()), start=1):
            emotion = face["emotion"]
            cells = (
                str(number),
                f"{face['age']:.0f}" + _years(face["age_interval"]),
                f"{_perhaps(face['gender'], face['gender_sure'])} "
                f"<small>{_percent(face['gender_probability'])}</small>",
                f'<span class="face-emotion" style="--emotion:{EMOTION_COLORS[emotion]}">'
                f"{_perhaps(emotion, face['emotion_sure'])}</span> "
                f"<small>{_percent(face['emotions'][emotion])}</small>",
                _percent(face["score"]),
                ", ".join(face["doubts"]),
            )
            rows.append(f"<tr>{file}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    return (
        '<div class="table-scroll" tabindex="0"><table class="face-table">'
        f"<thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def note(text: str, kind: str = "quiet") -> str:
    """A sentence on its own line; ``kind`` is ``"quiet"``, ``"hint"`` or ``"bad"``."""
    return f'<p class="note {kind}">{escape(text)}</p>'


def _note_row(file: str, kind: str, text: str, columns: int) -> str:
    return f'<tr class="row-{kind}">{file}<td colspan="{columns}">{text}</td></tr>'


def _range(face: Face) -> str:
    """The years that hold four such faces in five, and their mean error."""
    if face.age_interval is None or face.attributes.age_error is None:
        return ""
    low, high = face.age_interval
    text = f"{low:.0f} to {high:.0f}, ± {face.attributes.age_error:.0f}"
    return f'<span class="face-range">{text}</span>'


def _years(interval: Sequence[float] | None) -> str:
    return "" if not interval else f" <small>{interval[0]:.0f} to {interval[1]:.0f}</small>"


def _perhaps(word: str, sure: bool) -> str:
    return word if sure else f'<span class="not-sure">not sure, perhaps {word}</span>'


def _doubts(doubts: Sequence[str]) -> str:
    return f'<span class="face-doubts">{", ".join(doubts)}</span>' if doubts else ""


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _crop_url(image: RGBImage, box: Box) -> str:
    """The face with some margin as a small square JPEG data URL."""
    x1, y1, x2, y2 = box
    half = (0.5 + _MARGIN) * max(x2 - x1, y2 - y1)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    square = (round(x - half), round(y - half), round(x + half), round(y + half))
    side = 2 * CROP_SIDE  # sharp on dense screens
    # Cut from the array first: PIL would copy the whole picture for every face.
    height, width = image.shape[:2]
    left, top = max(0, square[0]), max(0, square[1])
    part = Image.fromarray(image[top : min(height, square[3]), left : min(width, square[2])])
    crop = part.crop((square[0] - left, square[1] - top, square[2] - left, square[3] - top))
    stream = io.BytesIO()
    crop.resize((side, side)).save(stream, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
