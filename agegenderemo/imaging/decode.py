"""From the bytes of a file to a picture, within bounds.

This is the one place that decides what a picture is: for people's own files, and for those of
strangers that come to a server.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from agegenderemo.errors import ImageError
from agegenderemo.imaging import pixels
from agegenderemo.imaging.formats import MAX_PIXELS, no_picture, open_encoded
from agegenderemo.imaging.metadata import jpeg_scans, next_restart, scan_start
from agegenderemo.types import Box, Face, Landmarks, RGBImage

_SMOOTH = frozenset({"L", "RGB", "RGBA", "CMYK", "YCbCr"})
_JUNK = b"\x55" * 4096
_END = b"\xff\xd9"
_COMPARED = 16_000_000  # pixels of a progressive JPEG that may miss its end marker


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much work one picture may be; more ends in an ImageError before it is decoded."""

    jpeg_pixels: int = 2 * MAX_PIXELS
    """Of a JPEG in one scan, which can be decoded smaller than it is."""
    pixels: int = MAX_PIXELS
    """Of everything else, but for the formats that are named next."""
    format_pixels: Mapping[str, int] = field(default_factory=dict)
    python_pixels: int = MAX_PIXELS
    """Of kinds that Pillow decodes in Python, as QOI, PPM in letters and RLE in BMP: they take 30
    times as long, and hold up all other threads."""
    read_pixels: int = MAX_PIXELS
    """A larger picture is read at a half, a quarter or an eighth of its size."""
    deep_pixels: int = MAX_PIXELS
    """The same for 16 bits and floats, which take ten times the memory on their way to 8 bits."""
    scans: int = 100
    """Of a progressive JPEG; cameras and editors write about ten."""
    nested: bool = True
    """Whether files that hold other files, as icons do, are opened."""


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


def read_picture(
    data: bytes,
    name: str = "the image",
    bounds: Bounds = Bounds(),
    turn: Callable[[int], AbstractContextManager[None]] = lambda pixels: nullcontext(),
) -> Picture:
    """Decode the bytes of a file within bounds; a picture that is too large to be worked with is
    read smaller. ``turn`` is entered, with the number of its pixels, before they are decoded.

    Raises ImageError with one sentence for people.
    """
    if not data:
        raise ImageError(f"Cannot read {name}: the file is empty.")
    with sentences(name, data), open_encoded(data, nested=bounds.nested) as image:
        width, height = getattr(image, "_tile_size", image.size)  # Pillow has turned that of a TIFF
        most = bounds.format_pixels.get(image.format or "", bounds.pixels)
        if isinstance(image, JpegImageFile):
            most = _most_of_jpeg(data, bounds)
        elif any(tile[0] in Image.DECODERS for tile in getattr(image, "tile", ())):
            most = min(most, bounds.python_pixels)
        check_pixels(width, height, most)
        with turn(width * height):
            small = _decoded(image, data, bounds)
            side = pixels.orientation(image)  # not before: a PNG would be decoded for it
            array = np.ascontiguousarray(pixels.upright(pixels.to_rgb(small), side))
    if side >= 5:
        width, height = height, width
    return Picture(array, width, height)


@contextmanager
def sentences(name: str, data: bytes = b"") -> Iterator[None]:
    """Turn Pillow's many ways to fail into one sentence that names the cause."""
    try:
        with warnings.catch_warnings():
            # Damaged metadata are no matter, and our own limits are checked before decoding.
            warnings.simplefilter("ignore")
            yield
    except ImageError as error:
        if str(error)[:1].islower():
            raise ImageError(f"Cannot read {name}: {error}") from error
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"Cannot read {name}: too many megapixels; make it smaller.") from error
    except (UnidentifiedImageError, SyntaxError) as error:
        raise ImageError(f"Cannot read {name}: {no_picture(data)}") from error
    except MemoryError as error:
        raise ImageError(f"Cannot read {name}: there is not enough memory for it.") from error
    except Exception as error:  # decoders raise OSError, struct.error, ValueError, …
        raise ImageError(f"Cannot read {name}: the image is damaged or cut off.") from error


def check_pixels(width: int, height: int, most: int) -> None:
    """Raises ImageError for more pixels than ``most``, or none."""
    if width * height > most:
        raise ImageError(
            f"The picture has {width * height / 1e6:.0f} megapixels ({width}×{height}); "
            f"at most {most // 10**6} are read, so make it smaller."
        )
    if width < 1 or height < 1:
        raise ImageError("The picture is empty: it has no pixels.")


def _most_of_jpeg(data: bytes, bounds: Bounds) -> int:
    scans, whole = jpeg_scans(data)
    if scans > bounds.scans:
        raise ImageError("The picture is a JPEG of too many scans; save it anew.")
    return bounds.jpeg_pixels if whole else min(bounds.pixels, bounds.jpeg_pixels)


def _decoded(image: Image.Image, data: bytes, bounds: Bounds) -> Image.Image:
    """The picture, decoded, at a size that is quick to work with."""
    most = bounds.deep_pixels if pixels.is_deep(image) else bounds.read_pixels
    if isinstance(image, JpegImageFile):
        if not _has_end(data):
            image = open_encoded(data.rstrip(b"\xff") + _END)
        factor = _factor(image, most)
        if factor > 1:
            image.draft(None, (image.width // factor, image.height // factor))
        image.load()
        return image
    raw = pixels.wide_rawmode(image)
    image.load()
    if raw and np.asarray(image)[..., :3].max() < 64:  # less than 14 bits are used
        lower = open_encoded(data)
        pixels.take_lower_bytes(lower, raw)
        lower.load()
        most = bounds.deep_pixels
        return pixels.widened(_reduced(image, most), _reduced(lower, most))
    return _reduced(image, most)


def _factor(image: Image.Image, most: int) -> int:
    factor = 1
    while image.width * image.height > most * factor * factor:
        factor *= 2
    return factor


def _reduced(image: Image.Image, most: int) -> Image.Image:
    factor = _factor(image, most)
    if factor == 1:
        return image
    # Of 16 bits, floats and palettes every n-th pixel must do.
    filter_ = Image.Resampling.BOX if image.mode in _SMOOTH else Image.Resampling.NEAREST
    return image.resize((max(1, image.width // factor), max(1, image.height // factor)), filter_)


def _has_end(data: bytes) -> bool:
    """Whether a JPEG has its end marker, or misses so much that it must fail without it.

    Where nothing is missing but the marker, it makes no difference what is put in its place: the
    last rows alone may be touched by it.
    """
    start = scan_start(data)
    if data.find(_END, start) >= 0:
        return True
    data = data.rstrip(b"\xff")  # half of the marker
    # An eighth shows every block of a JPEG in one scan, but not the details that come in others.
    scale = 8 if jpeg_scans(data)[1] else 1
    looks = []
    for more in (b"", _JUNK, next_restart(data[start:]) + _JUNK):
        with open_encoded(data + more + _END) as image:
            if scale == 1 and image.width * image.height > _COMPARED:
                return True
            image.draft(None, (max(1, image.width // scale), max(1, image.height // scale)))
            looks.append(np.asarray(image))
    changed = (looks[1] != looks[0]) | (looks[2] != looks[0])
    return bool(changed[: -16 // scale].any() or changed.mean() > 0.01)
