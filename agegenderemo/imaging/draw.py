"""Pictures with their faces drawn in."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from agegenderemo.imaging.palette import NEUTRAL_COLOR, class_color, text_on
from agegenderemo.tasks import (
    BinaryPrediction,
    CategoricalPrediction,
    Prediction,
    Predictions,
    RegressionPrediction,
    speaks_alone,
)
from agegenderemo.types import Box, Face, RGBImage

_Rect = tuple[int, int, int, int]


def annotate(image: RGBImage, faces: Sequence[Face], names: Sequence[str] = ()) -> RGBImage:
    """A copy of an RGB uint8 H×W×3 picture with a box and a label for every face.

    A box has the colour of the top class of the first categorical task, else of the first binary
    one. A label is each task's `prediction_text`, in the tasks' order, as ``34 · glasses: with``;
    it is shortened, then moved, where it would cover another label or another face. ``names``,
    one a face, stand in front of it.
    """
    canvas = Image.fromarray(image).copy()
    draw = ImageDraw.Draw(canvas)
    taken: list[_Rect] = [_pixels(face.box) for face in faces]
    line = max(2, round(min(canvas.size) / 350))
    for index, (face, box) in enumerate(zip(faces, list(taken), strict=True)):
        color = face_color(face.predictions)
        draw.rectangle(box, outline=color, width=line)
        words = [prediction_text(one) for one in face.predictions.values()]
        words = [*names[index : index + 1], *words]
        text, font, place = _label(draw, words, box, canvas.size, taken)
        taken.append(place)
        draw.rectangle(place, fill=color)
        center = ((place[0] + place[2]) / 2, (place[1] + place[3]) / 2)
        draw.text(center, text, fill=text_on(color), font=font, anchor="mm")
    return np.asarray(canvas)


def prediction_text(prediction: Prediction) -> str:
    """A prediction in a word: the rounded number, or the class, after "probably" where the network
    is calibrated and not confident. A task that few know is named before it."""
    name = "" if speaks_alone(prediction.spec) else f"{prediction.spec.name}: "
    if isinstance(prediction, RegressionPrediction):
        return f"{name}{prediction.value:.0f}"
    doubt = "probably " if prediction.confident is False else ""
    return f"{name}{doubt}{prediction.label}"


def face_color(predictions: Predictions) -> str:
    """The ``#rrggbb`` that stands for a face: of the top class of the first categorical task, else
    of the first binary one, else a neutral one."""
    for kind in (CategoricalPrediction, BinaryPrediction):
        for one in predictions.values():
            if isinstance(one, kind):
                return class_color(one.spec, one.label)
    return NEUTRAL_COLOR


def _label(
    draw: ImageDraw.ImageDraw,
    words: Sequence[str],
    box: _Rect,
    size: tuple[int, int],
    taken: list[_Rect],
) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont, _Rect]:
    """Text, font and place of a label: the longest text that fits somewhere without touching."""
    width, height = size
    smallest, largest = max(10, min(size) / 75), max(12, min(size) / 28)
    points = min(max((box[2] - box[0]) / 6, smallest), largest)
    font = ImageFont.load_default(points)
    texts = [" · ".join(words[:count]) for count in range(len(words), 0, -1)] or ["face"]
    others = [rect for rect in taken if rect != box]
    # Shorter words come before a place inside the box: a label should hide no mouth.
    for inside in (False, True):
        for text in texts:
            left, _, right, _ = draw.textbbox((0, 0), text, font=font)
            w, h = round(right - left + points * 0.8), round(points * 1.5)
            for x, y in _spots(box, w, h, inside):
                x, y = max(0, min(x, width - w)), max(0, min(y, height - h))
                place = (x, y, x + w, y + h)
                blocked = others if inside else taken
                if not any(_overlap(place, rect) for rect in blocked):
                    return text, font, place
    # No free spot for even the shortest: it goes on its own face.
    return text, font, place


def _spots(box: _Rect, w: int, h: int, inside: bool) -> Iterator[tuple[int, int]]:
    """Top left corners to try for a label of w×h: above and below the box, or at its bottom."""
    x1, y1, x2, y2 = box
    for y in (y2 - h,) if inside else (y1 - h, y2):
        yield x1, y
        yield x2 - w, y
        yield (x1 + x2 - w) // 2, y


def _pixels(box: Box) -> _Rect:
    x1, y1, x2, y2 = (round(v) for v in box)
    return x1, y1, max(x1, x2), max(y1, y2)


def _overlap(a: _Rect, b: _Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
