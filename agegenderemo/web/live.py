"""Live: the browser sends one small JPEG at a time and gets the faces back."""

import base64
import binascii
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from agegenderemo.analyzer import Analyzer
from agegenderemo.images import RGBImage
from agegenderemo.labels import EMOTIONS
from agegenderemo.palette import EMOTION_COLORS, text_on

MAX_FRAME_BYTES = 300_000
MAX_FRAME_WIDTH, MAX_FRAME_HEIGHT = 1280, 960
FRAMES_AT_ONCE = 2
WAIT_SECONDS = 1.0

_PREFIX = "data:image/jpeg;base64,"
_HERE = Path(__file__).parent


class FrameError(ValueError):
    """A frame that is refused; the message is a sentence for people."""


def decode_frame(data: object) -> RGBImage:
    """RGB uint8 H×W×3 from a ``data:image/jpeg;base64,`` URL.

    Bytes and pixels are bounded before anything is decoded. Raises FrameError.
    """
    if not isinstance(data, str) or not data.startswith(_PREFIX):
        raise FrameError("A frame must be a JPEG data URL.")
    if len(data) > len(_PREFIX) + MAX_FRAME_BYTES * 4 // 3 + 4:
        raise FrameError(f"A frame may have at most {MAX_FRAME_BYTES // 1000} kB.")
    try:
        content = base64.b64decode(data[len(_PREFIX) :], validate=True)
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            width, height = image.size
            if width > MAX_FRAME_WIDTH or height > MAX_FRAME_HEIGHT:
                raise FrameError(
                    f"A frame may have at most {MAX_FRAME_WIDTH}×{MAX_FRAME_HEIGHT} pixels, "
                    f"not {width}×{height}."
                )
            return np.array(image.convert("RGB"))
    except FrameError:
        raise
    except (binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise FrameError("The frame is not a JPEG that can be read.") from error


def frame_reader(analyzer: Analyzer) -> Callable[[object], dict[str, Any]]:
    """The function behind the Live page: a frame in, ``{"width", "height", "ms", "faces"}`` out.

    A refused frame, or one that finds all places taken, gets ``{"error": sentence, "busy": bool}``.
    These calls do not go through gradio's queue, so they bound themselves.
    """
    places = threading.BoundedSemaphore(FRAMES_AT_ONCE)

    def read_frame(data: object) -> dict[str, Any]:
        if not places.acquire(timeout=WAIT_SECONDS):
            return {"error": "The server is busy with other viewers.", "busy": True}
        try:
            frame = decode_frame(data)
            start = time.perf_counter()
            faces = analyzer.analyze_frame(frame)
            spent = 1000 * (time.perf_counter() - start)
        except FrameError as error:
            return {"error": str(error), "busy": False}
        finally:
            places.release()
        height, width = frame.shape[:2]
        return {
            "width": width,
            "height": height,
            "ms": round(spent, 1),
            "faces": [face.to_dict() for face in faces],
        }

    return read_frame


def live_page(analyzer: Analyzer) -> None:
    """Lay out the Live tab."""
    gr.HTML(
        html_template=_template(),
        js_on_load=(_HERE / "live.js").read_text(encoding="utf-8"),
        server_functions=[frame_reader(analyzer)],
        apply_default_css=False,
        elem_id="live-page",
    )


def _template() -> str:
    bars = "".join(
        f'<li class="bar" data-emotion="{name}"><span class="bar-name">{name}</span>'
        f'<span class="bar-track"><span class="bar-fill" '
        f'style="background-color:{color};color:{text_on(color)}"></span></span>'
        '<span class="bar-value">0 %</span></li>'
        for name, color in ((name, EMOTION_COLORS[name]) for name in EMOTIONS)
    )
    html = (_HERE / "live.html").read_text(encoding="utf-8")
    return html.replace("<!-- bars -->", bars)
