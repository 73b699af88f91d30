"""Loading pictures: everything becomes RGB uint8 H×W×3, the right way up."""

import os
import stat
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agegenderemo.errors import ImageError
from agegenderemo.imaging import pixels
from agegenderemo.imaging.decode import Bounds, check_pixels, read_picture, sentences
from agegenderemo.imaging.formats import MAX_PIXELS
from agegenderemo.types import RGBImage

ImageLike = (
    str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image
    | NDArray[np.uint8]
)  # fmt: skip

MAX_FILE_BYTES = 2**30
_WHOLE = Bounds(jpeg_pixels=MAX_PIXELS)


def load_image(source: ImageLike) -> RGBImage:
    """Decode a picture to RGB uint8 H×W×3.

    ``source`` is a path, the bytes of a file (also as bytearray or memoryview), a file that was
    opened for reading bytes, a PIL image of any mode, or an RGB uint8 array or tensor. EXIF
    orientation is applied; transparency is laid over white; depths of more than 8 bits are scaled
    by what they hold; colours become sRGB; of an animation the first frame counts.

    Raises ImageError with a sentence for people when it cannot be read or is too large.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return read_picture(bytes(source), bounds=_WHOLE).image
    if isinstance(source, str | PathLike):
        path = Path(source)
        return read_picture(read_bytes(path), path.name, _WHOLE).image
    if isinstance(source, Image.Image):
        with sentences("the image"):
            if getattr(source, "tile", None) and getattr(source, "fp", source) is None:
                raise ImageError("it was closed before it was loaded.")
            check_pixels(*source.size, MAX_PIXELS)
            source.load()
            rgb = pixels.upright(pixels.to_rgb(source), pixels.orientation(source))
            return np.ascontiguousarray(rgb)
    if hasattr(source, "__array__"):
        return _checked_array(source)
    if hasattr(source, "read"):
        return read_picture(read_file(source), bounds=_WHOLE).image
    what = "a list of pictures: give one at a time" if isinstance(source, list | tuple) else (
        f"{type(source).__name__}"
    )  # fmt: skip
    raise ImageError(
        f"A picture is a path, bytes, an open file, a PIL image or an RGB uint8 array, not {what}."
    )


def _checked_array(source: Any) -> RGBImage:
    try:
        array = np.asarray(source)
    except Exception as error:  # a tensor on a GPU, or one that has a gradient
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise ImageError(f"The {type(source).__name__} is no array in memory: {reason}.") from error
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        first = array.ndim == 3 and array.shape[0] == 3
        raise ImageError(
            "An image array must be RGB uint8 of shape height×width×3, "
            f"not {array.dtype} {array.shape}{': its channels come first' if first else ''}."
        )
    check_pixels(array.shape[1], array.shape[0], MAX_PIXELS)
    return array


def read_file(file: Any) -> bytes:
    """All bytes of an open file, from its beginning where it can go there, at most
    `MAX_FILE_BYTES`; raises ImageError."""
    try:
        if getattr(file, "seekable", bool)():
            file.seek(0)
        data = file.read(MAX_FILE_BYTES + 1)
    except Exception as error:  # closed, or not opened for reading
        raise ImageError(f"Cannot read the file: {error or type(error).__name__}.") from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ImageError("Cannot read the file: it is open for text; open it with mode 'rb'.")
    _check_bytes(len(data), "the file")
    return bytes(data)


def read_bytes(path: Path) -> bytes:
    """The content of a regular file, of at most `MAX_FILE_BYTES`; raises ImageError. A named pipe
    or a device is never waited for."""
    name = path.name or str(path)
    try:
        # Without O_NONBLOCK a named pipe holds us until somebody writes into it.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
        number = os.open(path, flags | getattr(os, "O_BINARY", 0))
        try:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode):
                raise ImageError(f"Cannot read {name}: it is {_kind(found.st_mode)}, not a file.")
            _check_bytes(found.st_size, name)
            with os.fdopen(number, "rb", closefd=False) as file:
                return file.read(MAX_FILE_BYTES)
        finally:
            os.close(number)
    except OSError as error:
        raise ImageError(f"Cannot read {name}: {error.strerror or error}.") from error
    except ImageError:
        raise
    except ValueError as error:  # a zero byte in the path
        raise ImageError(f"Cannot read {name!r}: {error}.") from error


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a named pipe" if stat.S_ISFIFO(mode) else "a device or a socket"


def _check_bytes(count: int, name: str) -> None:
    if count > MAX_FILE_BYTES:
        raise ImageError(f"Cannot read {name}: it is larger than {MAX_FILE_BYTES >> 20} MB.")


def shrink(image: RGBImage, max_side: int) -> tuple[RGBImage, float]:
    """The picture with its longer side at most ``max_side`` pixels, and new size over old.

    The scale is one where the picture is small enough already; it is then returned as it is.
    """
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image, 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # BOX is an exact mean over whole factors and Pillow's fastest; a detector needs no more.
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)), scale
