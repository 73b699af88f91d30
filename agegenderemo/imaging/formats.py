"""Which files are pictures: one rule for folders, zips, uploads, the command line and data sets."""

import io
from pathlib import PurePosixPath, PureWindowsPath

from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from agegenderemo.errors import ImageError
from agegenderemo.imaging.metadata import JPEG_START, PNG_START, clean_jpeg, clean_png
from agegenderemo.imaging.netpbm import in_8_bits

PICTURE_FORMATS: dict[str, str] = {
    "JPEG": ".jpg .jpeg .jpe .jfif .jif .pjpeg .pjp",
    "MPO": ".mpo",
    "PNG": ".png .apng",
    "WEBP": ".webp",
    "GIF": ".gif",
    "AVIF": ".avif .avifs",
    "HEIF": ".heic .heif .hif .heics .heifs",
    "TIFF": ".tif .tiff",
    "BMP": ".bmp",
    "JPEG2000": ".jp2 .j2k .j2c .jpc .jpf .jpx",
    "PPM": ".ppm .pgm .pbm .pnm .pfm",
    "QOI": ".qoi",
    "PSD": ".psd",
    "DDS": ".dds",
    "SGI": ".sgi .rgb .rgba .bw",
    "SUN": ".ras",
    "PCX": ".pcx",
    "DCX": ".dcx",
    "PIXAR": ".pxr",
    "FTEX": ".ftc .ftu",
    "FITS": ".fit .fits",
    "GBR": ".gbr",
    "MSP": ".msp",
    "XBM": ".xbm",
    "XPM": ".xpm",
    "ICO": ".ico",
    "CUR": ".cur",
    "ICNS": ".icns",
    "BLP": ".blp",
    "PCD": ".pcd",
    # These say least of themselves in their first bytes, so they come last.
    "DIB": ".dib",
    "IM": ".im",
    "TGA": ".tga .icb .vda .vst",
}
"""Pillow's name of each format that is read, and its suffixes: all that Pillow and pi-heif decode
by themselves. Left out are films, and what would start other programs or has no decoder (EPS, PDF,
WMF, …)."""

MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded: they would fill the memory."""

IMAGE_SUFFIXES = frozenset(" ".join(PICTURE_FORMATS.values()).split())

NESTED_FORMATS = frozenset({"ICO", "CUR", "ICNS", "BLP"})
"""They hold files of other formats, whose size nobody sees before they are decoded."""

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2")
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_KNOWN = {JPEG_START: "JPEG", PNG_START: "PNG", b"GIF8": "GIF", b"BM": "BMP"} | dict.fromkeys(
    _TIFF_STARTS, "TIFF"
)
_APPLE_DOUBLE = b"\0\x05\x16\x07"
_OTHERS = {
    b"%PDF": "a PDF",
    b"%!PS": "PostScript",
    b"PK\x03\x04": "a zip",
    b"Rar!": "an archive",
    b"7z\xbc\xaf": "an archive",
    b"\x1f\x8b": "an archive",
    b"\x1aE\xdf\xa3": "a film",
    _APPLE_DOUBLE: "a shadow that macOS keeps beside a file",
    b"<svg": "an SVG drawing",
    b"<?xml": "XML, perhaps an SVG drawing",
    b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"version https://git-lfs": "a pointer of Git LFS",
    b"FUJIFILMCCD-RAW": "a camera's raw data",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"II\xbc": "JPEG XR",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"gimp xcf": "a drawing of GIMP",
    b"8BPS\0\2": "a large document of Photoshop",
    b"\0\0\1\0": "an icon",
    b"\0\0\2\0": "an icon",
    b"icns": "an icon",
    b"BLP": "a texture",
}


class _Tiff(TiffImageFile):
    """Not turned by Pillow, whose way to do it fails where any other tag is damaged."""

    def load_end(self) -> None:
        pass


def is_picture_name(name: str) -> bool:
    """Whether a file of this name is taken for a picture where nobody named it: in a folder, in a
    zip, in a data set. Folders before it do not matter, but those of `is_shadow`."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES and not is_shadow(name)


def is_shadow(name: str) -> bool:
    """Whether macOS made this file beside the real one: ``._photo.jpg``, ``__MACOSX/…``."""
    parts = PureWindowsPath(name).parts  # knows both kinds of slash
    return "__MACOSX" in parts or (bool(parts) and parts[-1].startswith("._"))


def is_shadow_content(data: bytes) -> bool:
    """The same by what the file holds, where its name is not its own any more."""
    return data.startswith(_APPLE_DOUBLE)


def open_encoded(data: bytes, *, nested: bool = True) -> Image.Image:
    """The picture of a file's bytes, not decoded yet; metadata that are no use are left out.

    Raises ImageError with what the bytes are instead, as the end of a sentence, and whatever
    Pillow raises on a damaged file.
    """
    if data.startswith(JPEG_START):
        # Image.open would refuse more pixels than Pillow allows, and look for a film in it.
        return JpegImageFile(io.BytesIO(clean_jpeg(data)))
    if data.startswith(PNG_START):
        return PngImageFile(io.BytesIO(clean_png(data)))
    if data.startswith(_TIFF_STARTS):
        return _Tiff(io.BytesIO(data))
    is_heif = data[4:8] == b"ftyp" and any(brand in data[8:64] for brand in _HEIF_BRANDS)
    if is_heif and not _register_heif() and b"avif" not in data[8:64]:
        raise ImageError("it is HEIC, which needs more packages: pip install 'agegenderemo[app]'.")
    if data.startswith((b"P5", b"P6")):
        data = in_8_bits(data, MAX_PIXELS)
    Image.init()
    left = {
        "JPEG",
        "PNG",
        "TIFF",
        *(() if is_heif else ("HEIF",)),
        *(() if nested else NESTED_FORMATS),
    }
    formats = [one for one in PICTURE_FORMATS if one in Image.OPEN and one not in left]
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError:
        if data[4:8] != b"ftyp" or b"Exif" not in data:
            raise
    # HEIC and AVIF read their EXIF at once, and may have failed at that.
    return Image.open(io.BytesIO(data.replace(b"Exif", b"none", 16)), formats=formats)


def no_picture(data: bytes) -> str:
    """The end of a sentence about bytes that no format's reader knows, as far as it can be told."""
    known = next((name for start, name in _KNOWN.items() if data.startswith(start)), None)
    if known is None and data[4:8] == b"ftyp":
        known = "HEIC" if any(brand in data[8:64] for brand in _HEIF_BRANDS) else None
        known = "AVIF" if b"avif" in data[8:64] else known
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        known = "WebP"
    if known:
        return f"its {known} is damaged, cut off or of a kind that is not read."
    head = data[:100].lstrip()
    what = next((what for start, what in _OTHERS.items() if head.startswith(start)), None)
    if data[4:8] == b"ftyp" or data[:4] == b"RIFF":
        what = "a camera's raw data" if data[8:12] == b"crx " else "a film or sound"
    what = what and f"{what}, "
    return f"it is {what or ''}not an image that can be opened (JPEG, PNG, WebP, …)."


def _register_heif() -> bool:
    """Whether the photos of phones can be read: pi-heif is there, and Pillow knows it."""
    if "HEIF" not in Image.OPEN:
        try:
            from pi_heif import register_heif_opener
        except ImportError:
            return False
        register_heif_opener()
    return True
