"""Small films of real faces, made anew by every test that wants one."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from agegenderemo.types import RGBImage

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIZE = (320, 240)
RATE = 25
_CUTS = {
    "astronaut": ("astronaut.jpg", (130, 0, 330, 240)),
    "lorentz": ("solvay-1927.jpg", (533, 513, 621, 621)),
    "einstein": ("solvay-1927.jpg", (718, 503, 806, 611)),
}
Place = tuple[str, float, float, float]
"""Who, the middle of the face's picture as x and y, and its height, in pixels."""


@cache
def _picture(who: str) -> Image.Image:
    name, box = _CUTS[who]
    return Image.open(EXAMPLES / name).convert("RGB").crop(box)


def scene(places: Iterable[Place], grey: int = 140, size: tuple[int, int] = SIZE) -> RGBImage:
    """Faces on a plain ground, the later ones in front."""
    canvas = Image.new("RGB", size, (grey, grey, grey))
    for who, x, y, height in places:
        picture = _picture(who)
        width = round(height * picture.width / picture.height)
        face = picture.resize((width, round(height)))
        canvas.paste(face, (round(x - width / 2), round(y - height / 2)))
    return np.asarray(canvas)


def at_rate(
    picture_at: Callable[[float], RGBImage], seconds: float, rate: float = RATE
) -> Iterator[tuple[float, RGBImage]]:
    """Frames of a constant rate with their times."""
    for number in range(round(seconds * rate)):
        yield number / rate, picture_at(number / rate)


def write(
    path: Path,
    frames: Iterable[tuple[float, RGBImage]],
    *,
    codec: Any = "libx264",
    sound: str = "",
    rotation: int = 0,
    **options: str,
) -> Path:
    """A film of frames at their times in seconds; ``sound`` is the codec of a hum as long."""
    with av.open(str(path), "w", options=options) as film:
        stream: Any = film.add_stream(codec, rate=RATE)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        hum: Any = film.add_stream(sound, rate=48_000) if sound else None
        last = 0.0
        for number, (time, picture) in enumerate(frames):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
                if codec == "libx264":
                    stream.options = {"preset": "ultrafast", "crf": "18"}
                if rotation:
                    stream.set_display_rotation(rotation)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            film.mux(stream.encode(frame))
            last = time
        film.mux(stream.encode(None))
        if hum:
            for packet in _hum(hum, last):
                film.mux(packet)
    return path


def _hum(stream: Any, seconds: float) -> Iterator[Any]:
    count = 1024
    for start in range(0, round(48_000 * seconds), count):
        wave = np.sin(np.arange(start, start + count) / 40).astype(np.float32) / 8
        frame = av.AudioFrame.from_ndarray(np.stack((wave, wave)), "fltp", "stereo")
        frame.sample_rate, frame.pts = 48_000, start
        yield from stream.encode(frame)
    yield from stream.encode(None)
