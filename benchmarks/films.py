"""Films and frames of real faces, for `live.py` to show to Chromium's fake camera."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
FACE = (130, 0, 330, 240)  # of the astronaut: her face with some air
PANEL = 30  # frames of a film, at 30 a second


def picture(count: int, shift: float) -> Image.Image:
    """640×480 with one large face, or with several smaller ones, moved right by some pixels."""
    face = Image.open(ROOT / "examples" / "astronaut.jpg").convert("RGB").crop(FACE)
    canvas = Image.new("RGB", (640, 480), (140, 140, 140))
    if count == 1:
        canvas.paste(face.resize((360, 432)), (round(120 + shift), 30))
    for index in range(count if count > 1 else 0):
        canvas.paste(face.resize((180, 216)), (
            round(60 + 320 * (index % 2) + shift), 15 + 235 * (index // 2)
        ))  # fmt: skip
    return canvas


def write_film(path: Path, count: int, rate: int = 30) -> Path:
    """A y4m film for Chromium's fake camera: the faces go to and fro."""
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W640 H480 F%d:1 Ip A1:1 C420jpeg\n" % rate)
        for i in range(PANEL):
            frame = picture(count, 40 * np.sin(2 * np.pi * i / PANEL)).convert("YCbCr")
            y, cb, cr = (np.asarray(channel) for channel in frame.split())
            file.write(b"FRAME\n" + y.tobytes() + cb[::2, ::2].tobytes() + cr[::2, ::2].tobytes())
    return path


def jpeg(count: int, shift: float = 0.0) -> str:
    """The same as a live frame."""
    stream = io.BytesIO()
    picture(count, shift).save(stream, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
