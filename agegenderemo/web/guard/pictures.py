"""How much work one picture may be: pixels, scans, faces; one large decode at a time."""

import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from agegenderemo.detection import Found
from agegenderemo.errors import ImageError
from agegenderemo.imaging.load import load_image
from agegenderemo.types import Box, Detection, Face, Landmarks, RGBImage

JPEG_PIXELS = 200_000_000
"""Of a JPEG in one scan, which can be decoded smaller than it is."""
OTHER_PIXELS = 50_000_000
READ_PIXELS = 30_000_000
"""A larger picture is read at a half, a quarter or an eighth of its size."""
DEEP_PIXELS = 10_000_000
"""The same for 16 bits and floats, which take ten times the memory on their way to 8 bits."""
WEBP_PIXELS = 36_000_000
"""Its decoder keeps several copies."""
LARGE_PIXELS = 16_000_000
"""Pictures larger than this wait for one another."""
MAX_SCANS = 64
"""Of a progressive JPEG; cameras and editors write about ten."""
MAX_FACES = 200
"""Faces that are read in a picture; the rest is counted."""
WAIT_SECONDS = 30.0

_FORMATS = ("PNG", "WEBP", "BMP", "GIF", "TIFF")
_SMOOTH = frozenset({"L", "RGB", "RGBA", "CMYK", "YCbCr"})
_ORIENTATION = 0x0112
_large = threading.Lock()


@dataclass(frozen=True, slots=True)
class Picture:
    """What was decoded, RGB uint8 H×W×3, and the size of the original in pixels, upright."""

    image: RGBImage
    width: int
    height: int

    def to_full_size(self, face: Face) -> Face:
        """The face with its box and landmarks in pixels of the original."""
        height, width = self.image.shape[:2]
        if (width, height) == (self.width, self.height):
            return face
        x, y = self.width / width, self.height / height
        x1, y1, x2, y2 = face.detection.box
        box: Box = (x1 * x, y1 * y, x2 * x, y2 * y)
        a, b, c, d, e = ((px * x, py * y) for px, py in face.detection.landmarks)
        landmarks: Landmarks = (a, b, c, d, e)
        return replace(face, detection=replace(face.detection, box=box, landmarks=landmarks))


class _Reads(Protocol):
    """The parts of an Analyzer that are needed here."""

    def find(self, picture: RGBImage) -> Found: ...

    def read_faces(self, picture: RGBImage, found: Sequence[Detection]) -> list[Face]: ...


def read_picture(stream: BinaryIO | bytes, name: str = "the image") -> Picture:
    """Decode a stranger's file within the bounds above.

    Raises ImageError with one sentence for people.
    """
    source = io.BytesIO(stream) if isinstance(stream, bytes) else stream
    if not source.read(1):
        raise ImageError(f"Cannot read {name}: it is empty.")
    source.seek(0)
    with _sentences(name), _opened(source) as image:
        width, height = image.size
        _check_pixels(image, source)
        with _turn(width * height > LARGE_PIXELS):
            pixels = load_image(_shrunk(image))
    if _is_turned(image):
        width, height = height, width
    return Picture(pixels, width, height)


def read_faces(analyzer: _Reads, image: RGBImage) -> tuple[list[Face], int, str]:
    """The faces of a picture, the largest first, how many more there are that were not read, and
    how it was searched."""
    found, search = analyzer.find(image)
    kept = found[:MAX_FACES]
    return analyzer.read_faces(image, kept), len(found) - len(kept), search


def _formats() -> tuple[str, ...]:
    # Pillow fails on a name that no plugin has registered.
    return (*_FORMATS, "HEIF") if "HEIF" in Image.OPEN else _FORMATS


def _opened(source: BinaryIO) -> Image.Image:
    """The picture, not decoded yet. Pillow's own bound on pixels, which it keeps for the whole
    process, lies below ours for a JPEG."""
    start = source.read(3)
    source.seek(0)
    if start == b"\xff\xd8\xff":
        return JpegImageFile(source)
    return Image.open(source, formats=_formats())


@contextmanager
def _sentences(name: str) -> Iterator[None]:
    try:
        yield
    except ImageError as error:
        raise ImageError(str(error).replace("the image:", f"{name}:")) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"Cannot read {name}: it is not an image that can be opened (JPEG, PNG, WebP, …)."
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"Cannot read {name}: too many megapixels; make it smaller.") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ValueError, …
        raise ImageError(f"Cannot read {name}: the image is damaged or cut off.") from error


@contextmanager
def _turn(large: bool) -> Iterator[None]:
    if not large:
        yield
        return
    if not _large.acquire(timeout=WAIT_SECONDS):
        raise ImageError("The server is busy with other large pictures; try again in a minute.")
    try:
        yield
    finally:
        _large.release()


def _check_pixels(image: Image.Image, source: BinaryIO) -> None:
    width, height = image.size
    most = WEBP_PIXELS if image.format == "WEBP" else OTHER_PIXELS
    if isinstance(image, JpegImageFile):
        scans, whole = jpeg_scans(source)
        if scans > MAX_SCANS:
            raise ImageError("The picture is a JPEG of too many scans; save it anew.")
        most = JPEG_PIXELS if whole else OTHER_PIXELS
    if width * height > most:
        raise ImageError(
            f"The picture has {width * height / 1e6:.0f} megapixels ({width}×{height}); "
            f"at most {most // 10**6} are read, so make it smaller."
        )


def jpeg_scans(source: BinaryIO) -> tuple[int, bool]:
    """How many scans a JPEG has at most, and whether its first one holds every component, as
    cameras write it: only then a decoder needs no memory for the whole picture."""
    position = source.tell()
    try:
        source.seek(0)
        data = source.read()
    finally:
        source.seek(position)
    sequential = all(not 0xC2 <= marker <= 0xCF or marker in (0xC4, 0xC8, 0xCC)
                     for marker, _ in _segments(data))  # fmt: skip
    frame = next((body for marker, body in _segments(data) if marker in (0xC0, 0xC1)), b"")
    scan = next((body for marker, body in _segments(data) if marker == 0xDA), b"")
    whole = sequential and len(frame) > 5 and bool(scan) and scan[0] == frame[5]
    return data.count(b"\xff\xda"), whole


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment, up to and with the first scan's header."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : at + 2 + length]
        if marker == 0xDA or length < 2:
            return
        at += 2 + length


def _shrunk(image: Image.Image) -> Image.Image:
    """The picture, decoded, at a size that is quick to work with."""
    width, height = image.size
    most = DEEP_PIXELS if image.mode[0] in "IF" else READ_PIXELS
    factor = 1
    while width * height > most * factor * factor:
        factor *= 2
    if factor == 1:
        return image
    orientation = image.getexif().get(_ORIENTATION, 1)
    if isinstance(image, JpegImageFile):
        image.draft(None, (width // factor, height // factor))
        return image
    # Of 16 bits, floats and palettes every n-th pixel must do.
    filter_ = Image.Resampling.BOX if image.mode in _SMOOTH else Image.Resampling.NEAREST
    small = image.resize((max(1, width // factor), max(1, height // factor)), filter_)
    small.getexif()[_ORIENTATION] = orientation
    return small


def _is_turned(image: Image.Image) -> bool:
    """Whether the EXIF orientation swaps width and height."""
    return image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
