"""From what a decoder gives, in any mode and depth, to RGB of 8 bits, upright and in sRGB."""

import io
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""The modes that a colour profile may speak of, by its name for them."""
_GREY_BANDS = frozenset({"1", "L", "I", "F"})
_MAX_PROFILE = 4 * 2**20  # bytes
_SAME = 2  # levels of 255 that a profile may move a colour and still count as sRGB
_SAMPLE_FORMAT, _UNSIGNED = 339, 1  # a tag of TIFF


def orientation(image: Image.Image) -> int:
    """How the picture is to be turned, 1 to 8 as EXIF counts; 1 where that cannot be read."""
    try:
        tags = getattr(image, "tag_v2", None)
        value = image.getexif().get(_ORIENTATION) if tags is None else tags.get(_ORIENTATION)
        number = int(value[0] if isinstance(value, tuple) else value or 1)
    except Exception:  # damaged EXIF and XMP raise whatever they like
        return 1
    return number if 1 <= number <= 8 else 1


def upright(image: Image.Image, turn: int) -> Image.Image:
    """The picture turned by an EXIF orientation."""
    return image.transpose(_UPRIGHT[turn]) if turn in _UPRIGHT else image


def is_deep(image: Image.Image) -> bool:
    """Whether a value has more than 8 bits: grey in 16 or 32 bits, or floating point."""
    return image.mode[0] in "IF"


def to_rgb(image: Image.Image) -> Image.Image:
    """Mode RGB of any decoded picture: deep values scaled by what they hold, transparency over
    white, colours in sRGB."""
    profile = image.info.get("icc_profile")
    is_grey = image.getbands()[0] in _GREY_BANDS
    if is_deep(image):
        image = Image.fromarray(to_8_bits(_values(image)))
    elif "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = _over_white(image)
    colored = _to_srgb(image, profile, is_grey)
    if colored is not None:
        return colored
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy


def to_8_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values of any depth as 0 to 255.

    Whole numbers fill the range of the fewest bits that hold them (8, 10, 12, 14 or 16), as cameras
    and scanners write them; floats up to 1, or the range of such bits. Where neither fits, or where
    there are negative ones, the values that occur are stretched.
    """
    floating = values.dtype.kind == "f"
    finite = values[np.isfinite(values)] if floating else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    bottom, top = (0.0, _top(finite, high, floating)) if low >= 0 else (low, high)
    scaled = values.astype(np.float32)
    if floating:
        np.nan_to_num(scaled, copy=False, nan=bottom, posinf=top, neginf=bottom)
    scaled -= np.float32(bottom)
    scaled *= np.float32(255 / max(top - bottom, 1e-30))
    return np.rint(scaled, out=scaled).clip(0, 255, out=scaled).astype(np.uint8)


def _top(values: NDArray[Any], high: float, floating: bool) -> float:
    """What stands for white among values from 0 to ``high``."""
    if floating:
        if high <= 1 or np.percentile(values, 99) <= 1:  # highlights may lie above white
            return 1.0
        if high < 16:
            return high
    return next((one for one in (255.0, 1023.0, 4095.0, 16383.0, 65535.0) if high <= one), high)


def _values(image: Image.Image) -> NDArray[Any]:
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if values.dtype == np.int32 and tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED and tags:
        return values.view(np.uint32)  # Pillow has no mode for them
    return values


def wide_rawmode(image: Image.Image) -> str | None:
    """How 16-bit colours lie in a file that is not loaded yet; None for all other pictures. Pillow
    takes the upper byte of each alone."""
    tiles: list[Any] = getattr(image, "tile", [])
    if image.mode not in ("RGB", "RGBA") or len(tiles) != 1:
        return None
    args = tiles[0].args
    raw = args if isinstance(args, str) else args[0] if args else ""
    return raw if raw in _OTHER_BYTE else None


_NATIVE = "B" if sys.byteorder == "little" else "L"
_OTHER_BYTE = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX", "RGBa")
    for order, other in (("B", "L"), ("L", "B"), ("N", _NATIVE))
}


def take_lower_bytes(image: Image.Image, raw: str) -> None:
    """Have a picture that is not loaded yet decode the lower byte of each 16-bit colour."""
    tile = image.tile[0]  # type: ignore[attr-defined]
    other = _OTHER_BYTE[raw]
    args = other if isinstance(tile.args, str) else (other, *tile.args[1:])
    image.tile = [tile._replace(args=args)]  # type: ignore[attr-defined]


def widened(upper: Image.Image, lower: Image.Image) -> Image.Image:
    """Both bytes of 16-bit colours as 8 bits, scaled by what they hold."""
    high = np.asarray(upper)
    colors = high[..., :3].astype(np.uint16) << 8 | np.asarray(lower)[..., :3]
    image = Image.fromarray(np.dstack((to_8_bits(colors), high[..., 3:])))
    image.info = upper.info
    return image


def _over_white(image: Image.Image) -> Image.Image:
    try:
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    except (ValueError, TypeError):  # a transparent colour that is none of this mode
        image.info.pop("transparency", None)
        image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes | None, is_grey: bool) -> Image.Image | None:
    """The picture by its colour profile; None where it has none, a broken one, one of other
    colours than its own, or sRGB."""
    if not isinstance(profile, bytes) or not 0 < len(profile) <= _MAX_PROFILE:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(source.profile.xcolor_space.strip())
        if mode is None or (mode == "CMYK") != (image.mode == "CMYK"):
            return None
        if mode == "L" and not is_grey:
            return None
        wanted = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, wanted, mode, "RGB")
        if mode != "CMYK" and _changes_nothing(transform, mode):
            return None
        return ImageCms.applyTransform(image.convert(mode), transform)
    except Exception:  # a broken profile says nothing of the pixels
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    steps = np.linspace(0, 255, 6 if mode == "RGB" else 256).round().astype(np.uint8)
    colors = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    probe = Image.fromarray(colors if mode == "RGB" else steps[None])
    after = np.asarray(ImageCms.applyTransform(probe, transform), np.int16)
    return bool(np.abs(after - np.asarray(probe.convert("RGB"), np.int16)).max() <= _SAME)
