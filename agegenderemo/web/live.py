"""Live: the browser sends one small JPEG at a time and gets the people in it back."""

import base64
import binascii
import io
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.inference.tracker import FaceTracker
from agegenderemo.tasks import TaskSpec
from agegenderemo.types import RGBImage
from agegenderemo.web import assets, words

MAX_FRAME_BYTES = 300_000
MAX_FRAME_WIDTH, MAX_FRAME_HEIGHT = 1280, 960
MAX_VIEWERS = 1024  # a stream is a few kB; someone with ever new names must not push others out
MAX_LEFT = 1024  # names of viewers who left, so that a late frame does not bring them back
STATE_SECONDS = 60  # after which a viewer who sends nothing is forgotten
ACTIVE_SECONDS = 2.0  # within which a viewer who is here sends a frame, also on a full server
SEARCHES = 24
"""Whole frames that are searched a second, at most, for all viewers whose faces are in sight: a
search costs as much as three readings of a face."""

MAX_SCANS = 16
"""Of a frame. A camera's has one, a progressive JPEG about ten; 300 kB have room for 20,000, which
take a minute."""

_PREFIX = "data:image/jpeg;base64,"
_SCAN = b"\xff\xda"
_UNREADABLE = (binascii.Error, OSError, SyntaxError, ValueError, MemoryError,
               Image.DecompressionBombError)  # fmt: skip
_SCRIPTS = ("words", "bars", "ribbon", "stage", "camera", "line", "save", "record", "said",
            "people", "sources", "live", "live_tab")  # fmt: skip


class FrameError(AgeGenderEmoError):
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
        if content.count(_SCAN) > MAX_SCANS:
            raise FrameError("A frame must be a JPEG of few scans.")
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
    except _UNREADABLE as error:
        raise FrameError("The frame is not a JPEG that can be read.") from error


class Viewers:
    """The streams that are watched now: a tracker for each.

    Bounded, so that viewers who left cost nothing: the one unseen for longest makes room. Frames of
    one viewer come one after the other; the guard's pool sees to that.
    """

    def __init__(self, new_tracker: Callable[[], FaceTracker], most: int = MAX_VIEWERS) -> None:
        self._new_tracker = new_tracker
        self._most = most
        self._lock = threading.Lock()
        self._trackers: OrderedDict[str, FaceTracker] = OrderedDict()  # the last seen comes last
        self._left: OrderedDict[str, None] = OrderedDict()

    @contextmanager
    def turn(self, viewer: str, now: float) -> Iterator[FaceTracker]:
        """A viewer's stream, whose tracker this is. A new one is kept when a frame was followed,
        ``now`` is on its clock."""
        with self._lock:
            tracker = self._trackers.pop(viewer, None) or self._new_tracker()
            while self._trackers and now - next(iter(self._trackers.values())).last_seen > (
                STATE_SECONDS
            ):
                self._trackers.popitem(last=False)
            self._keep(viewer, tracker)
        try:
            yield tracker
        finally:
            with self._lock:
                self._keep(viewer, tracker)

    def search_every(self, tracker: FaceTracker, now: float) -> float:
        """Seconds between two searches of a stream's whole frame: more where many are watched."""
        with self._lock:
            recent = (
                now - one.last_seen < ACTIVE_SECONDS for one in reversed(self._trackers.values())
            )
            active = sum(1 for _ in takewhile(bool, recent))
        return max(tracker.thresholds.search_every, active / SEARCHES)

    def _keep(self, viewer: str, tracker: FaceTracker) -> None:
        if viewer in self._left or not math.isfinite(tracker.last_seen):
            return
        self._trackers[viewer] = tracker
        self._trackers.move_to_end(viewer)
        while len(self._trackers) > self._most:
            self._trackers.popitem(last=False)

    def leave(self, viewer: str) -> None:
        """Forget a viewer, who closed the page or stopped the camera. Frames of that name that
        are under way, or arrive after this, are answered and not remembered."""
        with self._lock:
            self._trackers.pop(viewer, None)
            self._left[viewer] = None
            while len(self._left) > MAX_LEFT:
                self._left.popitem(last=False)

    def __len__(self) -> int:
        return len(self._trackers)


def frame_reader(viewers: Viewers) -> Callable[[object], dict[str, Any]]:
    """The function behind the Live page.

    A message ``{"viewer": name, "frame": JPEG data URL}`` in, ``{"width", "height", "ms",
    "faces"}`` out, each face with the ``track_id`` of its person. A message without a frame says
    that the viewer left. A refused frame gets ``{"error": sentence, "busy": bool}``. These calls do
    not go through gradio's queue: the guard calls them, on threads of its own and in fair turns.
    """

    def read_frame(message: object) -> dict[str, Any]:
        try:
            viewer, parts = _parts(message)
            if "frame" not in parts:
                viewers.leave(viewer)
                return {"faces": []}
            with viewers.turn(viewer, time.monotonic()) as tracker:
                frame = decode_frame(parts["frame"])
                start = time.perf_counter()
                now = time.monotonic()
                every = viewers.search_every(tracker, now)
                tracked = tracker.update(frame, now, search_every=every)
                spent = 1000 * (time.perf_counter() - start)
        except FrameError as error:
            return {"error": str(error), "busy": False}
        height, width = frame.shape[:2]
        return {
            "width": width,
            "height": height,
            "ms": round(spent, 1),
            "faces": [
                {"track_id": one.track_id, "settled": one.settled, **one.face.to_dict()}
                for one in tracked
            ],
        }

    return read_frame


def _parts(message: object) -> tuple[str, dict[str, Any]]:
    if not isinstance(message, dict) or not isinstance(viewer := message.get("viewer"), str):
        raise FrameError("A message must name its viewer.")
    if not 8 <= len(viewer) <= 64:
        raise FrameError("The name of a viewer must have 8 to 64 characters.")
    return viewer, message


def live_page(analyzer: Analyzer, device: str | None = None) -> None:
    """Lay out the Live tab. ``device`` is the address of what a browser loads to read its frames
    itself, where the server offers that."""
    import gradio as gr

    gr.HTML(
        html_template=live_html(analyzer.tasks, device=device),
        js_on_load=assets.script(*_SCRIPTS),
        server_functions=[frame_reader(Viewers(analyzer.tracker))],
        apply_default_css=False,
        elem_id="live-page",
    )


def live_html(
    tasks: Sequence[TaskSpec],
    *,
    device: str | None = None,
    where: str = "Its frames go to this server, which keeps none.",
) -> str:
    """The page before its script runs, which finds the tasks in it, and what ``device`` offers;
    ``where`` says what becomes of frames."""
    bars = ", each with its own bars" if words.categorical(tasks) else ""
    parts = {
        "tasks": assets.tasks_attribute(tasks),
        "device": quote(device or ""),
        "counted": words.counted(tasks),
        "where": where,
        "empty": f"Faces appear here{bars}.",
    }
    html = assets.read("live.html")
    for name, text in parts.items():
        html = html.replace(f"@{name}@", text)
    return html
