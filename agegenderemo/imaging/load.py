"""Loading pictures: everything becomes RGB uint8 H×W×3, the right way up."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from agegenderemo.errors import ImageError
from agegenderemo.types import RGBImage

ImageLike = str | PathLike[str] | bytes | Image.Image | NDArray[np.uint8]

MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded: they would fill the memory."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


def load_image(source: ImageLike) -> RGBImage:
    """Decode a picture to RGB uint8 H×W×3.

    ``source`` is a path, the bytes of a file, a PIL image of any mode or an RGB uint8 array. EXIF
    orientation is applied; transparency is laid over white; 16-bit greys are scaled to 8; of an
    animation the first frame counts.

    Raises ImageError with a sentence for people when it cannot be read or is too large.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise ImageError(
                "An image array must be RGB uint8 of shape height×width×3, "
                f"not {source.dtype} {source.shape}."
            )
        _check_size(source.shape[1], source.shape[0])
        return source
    if isinstance(source, Image.Image):
        with _readable("the image"):
            return _to_rgb(source)
    if isinstance(source, bytes):
        name, stream = "the image", io.BytesIO(source)
    else:
        path = Path(source)
        name = path.name
        try:
            stream = io.BytesIO(path.read_bytes())
        except OSError as error:
            raise ImageError(f"Cannot read {name}: {error.strerror or error}.") from error
    if not stream.getbuffer().nbytes:
        raise ImageError(f"Cannot read {name}: the file is empty.")
    with _readable(name), Image.open(stream) as image:
        return _to_rgb(image)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn Pillow's many ways to fail into one sentence."""
    try:
        with warnings.catch_warnings():
            # Our own limit is lower than Pillow's warning and is checked before decoding.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"Cannot read {name}: it has more than {MAX_PIXELS // 10**6} megapixels; "
            "make it smaller."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"Cannot read {name}: it is not an image that can be opened (JPEG, PNG, WebP, …)."
        ) from error
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ValueError, …
        raise ImageError(f"Cannot read {name}: the image is damaged or cut off.") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"The picture has {width * height / 1e6:.0f} megapixels ({width}×{height}); "
            f"at most {MAX_PIXELS // 10**6} are read, so make it smaller."
        )
    if width < 1 or height < 1:
        raise ImageError("The picture is empty: it has no pixels.")


def _to_rgb(image: Image.Image) -> RGBImage:
    _check_size(*image.size)
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _scale_to_8_bits(image)
    elif "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.ascontiguousarray(image.convert("RGB"))


def _scale_to_8_bits(image: Image.Image) -> Image.Image:
    """16-bit greys by their full range, wider ones by the range that they use."""
    values = np.asarray(image, dtype=np.float64)
    if image.mode.startswith("I;16") or (values.min() >= 0 and 255 < values.max() <= 65535):
        values = values / 257
    elif values.min() < 0 or values.max() > 255:
        values = (values - values.min()) * (255 / max(float(np.ptp(values)), 1e-9))
    return Image.fromarray(np.nan_to_num(values).round().clip(0, 255).astype(np.uint8))


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
