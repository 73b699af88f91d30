"""Cameras of this machine, as the newest of their frames."""

import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import av

from agegenderemo.errors import FilmError
from agegenderemo.video.film import Frame, upright

_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


def is_device(source: str) -> bool:
    """Whether a source is a camera: a number, or a device file."""
    return source.isdecimal() or Path(source).is_char_device()


class Camera:
    """A camera by its device file or its number. Raises FilmError where it cannot be opened."""

    def __init__(self, source: str) -> None:
        kind = _FORMATS.get(sys.platform, "v4l2")
        name = f"/dev/video{source}" if kind == "v4l2" and source.isdecimal() else source
        try:
            self._container: Any = av.open(name, "r", format=kind, timeout=10)
        except (ValueError, OSError) as error:  # those of FFmpeg are of both kinds
            raise FilmError(f"The camera {source} cannot be opened: {error}.") from error

    def close(self) -> None:
        self._container.close()

    def frames(self) -> Generator[Frame, None, None]:
        """Frames as they come, with their times in seconds from the first, until the camera
        ends."""
        start = None
        try:
            for frame in self._container.decode(video=0):
                now = time.monotonic()
                start = now if start is None else start
                yield Frame(upright(frame, None), now - start)
        except av.error.FFmpegError as error:
            raise FilmError(f"The camera stopped: {error.strerror}.") from error
