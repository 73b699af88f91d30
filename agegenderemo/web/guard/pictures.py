"""How much work one picture of a stranger may be: pixels, scans, faces; one large decode at a
time. What a picture is, `imaging.decode` decides; here are its bounds."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from agegenderemo.detection import Found
from agegenderemo.errors import ImageError
from agegenderemo.imaging import decode
from agegenderemo.imaging.decode import Bounds, Picture
from agegenderemo.types import Detection, Face, RGBImage
from agegenderemo.web.guard.store import base_folder

__all__ = ["BOUNDS", "MAX_FACES", "Picture", "read_faces", "read_picture"]

BOUNDS = Bounds(
    jpeg_pixels=200_000_000,
    pixels=50_000_000,
    # Their decoders keep several copies, or take seconds for a megapixel.
    format_pixels={"WEBP": 36_000_000, "AVIF": 36_000_000, "JPEG2000": 16_000_000},
    python_pixels=2_100_000,  # 1920×1080
    read_pixels=30_000_000,
    deep_pixels=10_000_000,
    scans=64,
    nested=False,
)
LARGE_PIXELS = 16_000_000
"""Pictures larger than this wait for one another."""
MAX_FACES = 200
"""Faces that are read in a picture; the rest is counted."""
WAIT_SECONDS = 30.0
_LOOK_SECONDS = 0.05


class _Reads(Protocol):
    """The parts of an Analyzer that are needed here."""

    def find(self, picture: RGBImage) -> Found: ...

    def read_faces(self, picture: RGBImage, found: Sequence[Detection]) -> list[Face]: ...


def read_picture(stream: BinaryIO | bytes, name: str = "the image") -> Picture:
    """Decode a stranger's file within the bounds above.

    Raises ImageError with one sentence for people.
    """
    data = stream if isinstance(stream, bytes) else stream.read()
    return decode.read_picture(data, name, BOUNDS, _turn)


def read_faces(analyzer: _Reads, image: RGBImage) -> tuple[list[Face], int, str]:
    """The faces of a picture, the largest first, how many more there are that were not read, and
    how it was searched."""
    found, search = analyzer.find(image)
    kept = found[:MAX_FACES]
    return analyzer.read_faces(image, kept), len(found) - len(kept), search


@contextmanager
def _turn(pixels: int) -> Iterator[None]:
    if pixels <= LARGE_PIXELS:
        yield
        return
    # The lock of a folder, for the processes of a batch read pictures too.
    folder = base_folder(Path(tempfile.gettempdir())) / "large"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _acquire(lock, time.monotonic() + WAIT_SECONDS)
        yield
    finally:
        os.close(lock)


def _acquire(lock: int, until: float) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise ImageError(
                    "The server is busy with other large pictures; try again in a minute."
                ) from None
            time.sleep(_LOOK_SECONDS)
