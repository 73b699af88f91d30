"""Good pixels in bad company are good pictures: metadata, depths, profiles, formats."""

import io
import random
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, TiffImagePlugin

from agegenderemo.errors import ImageError
from agegenderemo.imaging.formats import IMAGE_SUFFIXES, PICTURE_FORMATS, is_picture_name, is_shadow
from agegenderemo.imaging.load import load_image
from agegenderemo.imaging.pixels import to_8_bits

ROOT = Path(__file__).parent.parent
HEIC = (ROOT / "tests" / "files" / "phone.heic").read_bytes()


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(ROOT / "examples" / "astronaut.jpg").convert("RGB").resize((160, 160))


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def near(array: NDArray[np.uint8], image: Image.Image, levels: float = 4) -> bool:
    """Whether a picture is another one, but for what a codec loses."""
    wanted = np.asarray(image, np.int16)
    return array.shape == wanted.shape and float(np.abs(array - wanted).mean()) < levels


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


# ------------------------------------------------------------------ metadata


def exif(*entries: tuple[int, int, int, bytes], turn: int = 6) -> bytes:
    """An EXIF block: the orientation and these entries (tag, type, count, four bytes of value)."""
    rows = [(0x0112, 3, 1, struct.pack("<HH", turn, 0)), *entries]
    body = b"".join(struct.pack("<HHI", tag, kind, n) + value for tag, kind, n, value in rows)
    at = struct.pack("<I", 8 + 2 + len(body) + 4)
    body = body.replace(b"@@@@", at)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(rows)) + body + b"\0\0\0\0"
    return b"Exif\0\0" + head + struct.pack("<iiii", -1, -7, 1, 0)


BAD_EXIF = {
    "negative parts": exif((0x011A, 10, 1, b"@@@@")),
    "unsigned that are negative": exif((0x011A, 5, 1, b"@@@@")),
    "zero denominator": exif((0x829A, 5, 2, b"@@@@")),
    "text in a number": exif((0x0100, 2, 4, b"abc\0")),
    "offset beyond the end": exif((0x010F, 2, 99, b"\xff\xff\xff\x7f")),
    "sub-block nowhere": exif((0x8769, 4, 1, b"\xff\xff\xff\x7f")),
    "unknown type": exif((0x0131, 77, 1, b"@@@@")),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("case", BAD_EXIF)
def test_damaged_exif_still_turns(photo: Image.Image, kind: str, case: str) -> None:
    block = BAD_EXIF[case]
    stored = photo.rotate(90)
    if kind == "JPEG":
        data = encode(stored, "JPEG", quality=95)
        data = data[:2] + segment(0xE1, block) + data[2:]
    elif kind == "PNG":
        data = encode(stored, "PNG")
        data = data[:33] + chunk(b"eXIf", block[6:]) + data[33:]
    elif kind == "WEBP":
        data = encode(stored, kind, exif=block, quality=95)
    else:  # Pillow would read it while it writes: it is put in afterwards
        good = Image.Exif()
        good[0x010E] = "x" * 200
        placed = good.tobytes()[6:]
        good[0x0112] = 6
        data = encode(stored, kind, exif=good, quality=95)
        assert placed in data
        data = data.replace(placed, block[6:].ljust(len(placed), b"\0"))
    assert near(load_image(data), photo)


@pytest.mark.parametrize("turn", [0, 9, 77, 65535])
def test_an_unknown_orientation_turns_nothing(photo: Image.Image, turn: int) -> None:
    data = encode(photo, "JPEG", quality=95)
    data = data[:2] + segment(0xE1, exif(turn=turn)) + data[2:]
    assert near(load_image(data), photo)


XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>\xff\xfe\xe9 tiff:Orientation="6"</x:xmpmeta>'
JPEG_COMPANY = {
    "XMP that is not UTF-8": segment(0xE1, XMP),
    "Photoshop cut off": segment(0xED, b"Photoshop 3.0\x008BIM\x03"),
    "preview index of nothing": segment(0xE2, b"MPF\0MM\0*\0\0\0\x08\0\x09"),
    "short JFIF": segment(0xE0, b"JFIF\0\1"),
    "short Adobe": segment(0xEE, b"Adobe"),
    "profile cut off": segment(0xE2, b"ICC_PROFILE\0\1"),
    "profile of noise": segment(0xE2, b"ICC_PROFILE\0\1\1" + random.Random(1).randbytes(500)),
    "comments": segment(0xFE, b"\xff" * 60000) * 30,
}


@pytest.mark.parametrize("case", JPEG_COMPANY)
def test_jpegs_in_bad_company(photo: Image.Image, case: str) -> None:
    stored = photo.rotate(90) if case.startswith("XMP") else photo
    data = encode(stored, "JPEG", quality=95)
    assert near(load_image(data[:2] + JPEG_COMPANY[case] + data[2:]), photo)


PNG_COMPANY = {
    "long text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 3_000_000)),
    "much text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 900_000)) * 80,
    "text of noise": chunk(b"iTXt", b"\xff\xfe\0\1\0\0\0\xff"),
    "profile too large": chunk(b"iCCP", b"a\0\0" + zlib.compress(b"\0" * 3_000_000)),
    "profile of noise": chunk(b"iCCP", b"a\0\0" + zlib.compress(b"\1" * 300)),
    "wrong checksum": chunk(b"eXIf", b"II*\0")[:-1] + b"?",
    "a film cut off": chunk(b"acTL", b"\0\0") + chunk(b"fcTL", b"\0\0"),
    "short resolution": chunk(b"pHYs", b"\0"),
    "short transparency": chunk(b"tRNS", b"\0"),
}


@pytest.mark.parametrize("case", PNG_COMPANY)
@pytest.mark.parametrize("late", [False, True])
def test_pngs_in_bad_company(photo: Image.Image, case: str, late: bool) -> None:
    data = encode(photo, "PNG")
    at = -12 if late else 33  # before the end or after the header
    assert near(load_image(data[:at] + PNG_COMPANY[case] + data[at:]), photo, 1)


def test_tiff_tags_are_no_reason_either(photo: Image.Image) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274] = 6
    for tag, kind, value in (
        (700, 1, b"\xff\xfe"), (33432, 2, "©"), (282, 5, TiffImagePlugin.IFDRational(1, 0)),
        (34665, 4, 2**31), (34853, 2, "text"), (34377, 1, b"8BIM"),
    ):  # fmt: skip
        tags.tagtype[tag] = kind
        tags[tag] = value
    for compression in (None, "tiff_deflate", "jpeg"):
        if compression:  # libtiff writes no such number
            tags.pop(282, None)
            tags.pop(34853, None)
        data = encode(photo.rotate(90), "TIFF", tiffinfo=tags, compression=compression)
        assert near(load_image(data), photo), compression


@pytest.mark.parametrize("size", [(120, 80), (80, 120)])
@pytest.mark.parametrize("turn", range(1, 9))
def test_tiffs_are_turned_once(photo: Image.Image, turn: int, size: tuple[int, int]) -> None:
    small = photo.resize(size)
    for compression in (None, "tiff_lzw"):
        data = encode(small, "TIFF", tiffinfo={274: turn}, compression=compression)
        with Image.open(io.BytesIO(data)) as image:
            assert near(load_image(data), image.convert("RGB"), 0.1)


# ------------------------------------------------------------------ ends


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1},
                                     {"subsampling": 0}, {"restart_marker_blocks": 7}])  # fmt: skip
def test_a_jpeg_without_its_end_marker_alone_is_whole(
    photo: Image.Image, options: dict[str, Any]
) -> None:
    data = encode(photo, "JPEG", quality=90, **options)
    assert data.endswith(b"\xff\xd9")
    assert np.array_equal(load_image(data[:-2]), load_image(data))
    assert np.array_equal(load_image(data[:-1]), load_image(data))
    for kept in (0.4, 0.7, 0.9):
        with pytest.raises(ImageError, match="damaged or cut off"):
            load_image(data[: int(len(data) * kept)])


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_a_jpeg_cut_between_restarts_is_cut_off(photo: Image.Image, rows: int) -> None:
    data = encode(photo, "JPEG", quality=90, restart_marker_rows=1)
    marks = [at for at in range(len(data) - 1) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7]
    for cut in (marks[rows], marks[rows] + 2):
        with pytest.raises(ImageError, match="damaged or cut off"):
            load_image(data[:cut])


# ------------------------------------------------------------------ depths


def _png16(values: NDArray[np.uint16]) -> bytes:
    """A PNG of 16-bit colours, which Pillow cannot write."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _tiff16(values: NDArray[np.uint16]) -> bytes:
    """A TIFF of 16-bit colours in one strip, little end first."""
    height, width, _ = values.shape
    tags = ((256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 134), (259, 3, 1, 1),
            (262, 3, 1, 2), (273, 4, 1, 140), (277, 3, 1, 3), (278, 4, 1, height),
            (279, 4, 1, values.nbytes))  # fmt: skip
    body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + body + b"\0\0\0\0"
    head = head.ljust(134, b"\0") + struct.pack("<HHH", 16, 16, 16)
    return head + values.astype("<u2").tobytes()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PNG colour", "TIFF colour", "PNG alpha"])
def test_depths_are_scaled_by_what_they_hold(photo: Image.Image, bits: int, kind: str) -> None:
    color = "colour" in kind or "alpha" in kind
    source = photo if color else photo.convert("L")
    values = np.round(np.asarray(source) * ((2**bits - 1) / 255)).astype(np.uint16)
    if "alpha" in kind:
        values = np.dstack((values, np.full(values.shape[:2], 65535, np.uint16)))
    write = {"PNG colour": _png16, "PNG alpha": _png16, "TIFF colour": _tiff16}.get(kind)
    data = write(values) if write else encode(Image.fromarray(values), kind)
    assert near(load_image(data), source.convert("RGB"), 1.1)


FLOATS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "0 to 1": (lambda v: v, 1),
    "dark, 0 to 1": (lambda v: v * 0.3, 0.3),
    "0 to 255": (lambda v: v * 255, 1),
    "0 to 65535": (lambda v: v * 65535, 1),
    "-1 to 1": (lambda v: v * 2 - 1, 1),
    "some highlights": (lambda v: np.where(np.arange(160) == 3, 5, v), 1),
}


@pytest.mark.parametrize("case", FLOATS)
def test_floats_are_scaled_by_what_they_hold(photo: Image.Image, case: str) -> None:
    change, factor = FLOATS[case]
    grey = np.asarray(photo.convert("L"), np.float32) / 255
    grey[0, 0], grey[0, 1] = 0, 1
    array = load_image(encode(Image.fromarray(change(grey).astype(np.float32)), "TIFF"))
    error = np.abs(array[..., 0] - grey * 255 * factor)
    assert np.delete(error, 3, axis=1).mean() < 1
    assert array[0, 0, 0] == 0


def test_no_number_and_infinity_are_numbers_too() -> None:
    values = np.array([np.nan, -np.inf, 0, 0.5, 1, np.inf], np.float32)
    assert list(to_8_bits(values)) == [0, 0, 0, 128, 255, 255]
    assert list(to_8_bits(np.full(3, np.nan, np.float32))) == [0, 0, 0]


def test_32_bits_without_a_sign_are_no_negative_numbers() -> None:
    ramp = np.linspace(0, 2**32 - 1, 256).astype(np.uint32).reshape(16, 16)
    data = encode(Image.fromarray(ramp.view(np.int32)), "TIFF")
    signed, unsigned = (struct.pack("<HHIH", 339, 3, 1, kind) for kind in (2, 1))
    assert signed in data
    array = load_image(data.replace(signed, unsigned))[..., 0].astype(int)
    assert np.abs(array.reshape(-1) - np.arange(256)).max() <= 1


# ------------------------------------------------------------------ colour profiles


def wide_profile() -> bytes:
    """sRGB's own profile with red and green changed round: what it does to a colour is plain."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", data[128:132])[0]
    tags = {bytes(data[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(count)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    data[red : red + 4], data[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_other_colours_become_srgb(photo: Image.Image, kind: str) -> None:
    red, green, blue = photo.split()
    swapped = Image.merge("RGB", (green, red, blue))
    data = encode(swapped, kind, icc_profile=wide_profile(), quality=95)
    assert near(load_image(data), photo, 6)


def test_srgb_and_broken_profiles_change_nothing(photo: Image.Image) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    broken = bytearray(wide_profile())
    broken[200:400] = bytes(200)
    for profile in (srgb, bytes(broken), b"nonsense", srgb[:200]):
        data = encode(photo, "PNG", icc_profile=profile)
        assert np.array_equal(load_image(data), np.asarray(photo))


# ------------------------------------------------------------------ formats and causes

NOT_READ = {"EPS", "PDF", "PALM", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FLI", "IPTC"}


def test_what_pillow_reads_is_read(photo: Image.Image) -> None:
    Image.init()
    known = {suffix for suffix, kind in Image.registered_extensions().items()
             if kind in Image.OPEN and kind not in NOT_READ}  # fmt: skip
    assert known <= IMAGE_SUFFIXES
    small = photo.resize((128, 128))
    for kind in PICTURE_FORMATS.keys() & Image.SAVE.keys() - {"BLP", "MSP", "XBM", "ICNS"}:
        assert near(load_image(encode(small, kind)), small, 8), kind


def test_names_of_pictures() -> None:
    for name in ("a.JPG", "x/b.jfif", "c.avif", "d.heic", "e.tif", "f.f.webp"):
        assert is_picture_name(name)
    for name in ("a.txt", "jpg", ".jpg", "x/._a.jpg", "._a.jpg", "__MACOSX/a.jpg", "x\\._b.png"):
        assert not is_picture_name(name)
    assert is_shadow("x/__MACOSX/y/a.jpg")
    assert not is_shadow("x._y/a.jpg")


def test_a_phone_s_heic_is_read_the_right_way_up() -> None:
    array = load_image(HEIC)
    assert array.shape == (3024, 4032, 3)
    assert array[0, 0].tolist() == pytest.approx([90, 100, 110], abs=6)
    for damaged in (HEIC[:9000], HEIC[:300]):
        with pytest.raises(ImageError, match=r"its HEIC is damaged|damaged or cut off"):
            load_image(damaged)


def test_heic_without_its_decoder_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pi_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(ImageError, match=r"Cannot read the image: it is HEIC.*agegenderemo\[app\]"):
        load_image(HEIC)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"%PDF-1.7\n", "it is a PDF, not an image"),
        (b"PK\x03\x04" + bytes(50), "it is a zip, not an image"),
        (b"\0\0\0\x18ftypmp42" + bytes(50), "it is a film or sound, not an image"),
        (b"<!DOCTYPE html><html>", "it is a web page, not an image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(9), "its PNG is damaged, cut off or of a kind"),
        (b"II*\0\x08\0\0\0\0\0", "its TIFF is damaged, cut off or of a kind"),
        (b"\xff\x0a" + bytes(50), "it is JPEG XL, not an image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), "it is JPEG XL, not an image"),
        (b"v/1\x01" + bytes(50), "it is OpenEXR, not an image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS"),
    ],
)
def test_an_error_names_its_cause(data: bytes, cause: str) -> None:
    with pytest.raises(ImageError) as raised:
        load_image(data)
    assert str(raised.value).startswith(f"Cannot read the image: {cause}")


@pytest.mark.slow
def test_300_mutated_pictures_are_pictures_or_sentences(photo: Image.Image) -> None:
    draw = random.Random(25)
    small = photo.resize((48, 48))
    profile = wide_profile()
    whole = [encode(small, kind, exif=exif(), icc_profile=profile)
             for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")]  # fmt: skip
    whole += [
        encode(small, kind) for kind in ("JPEG2000", "PPM", "TGA", "PCX", "SGI", "QOI", "ICO")
    ]
    whole += [HEIC, _png16(np.asarray(small, np.uint16) * 4), _tiff16(np.asarray(small, np.uint16))]
    for number in range(300):
        content = bytearray(whole[number % len(whole)])
        for _ in range(draw.randint(1, 20)):
            content[draw.randrange(min(len(content), 4000))] = draw.randrange(256)
        del content[draw.choice((len(content), draw.randrange(len(content)))) :]
        start = time.monotonic()
        said = sentence(bytes(content))
        assert said.endswith(".")
        assert "\n" not in said
        assert time.monotonic() - start < 10


def sentence(content: bytes) -> str:
    try:
        load_image(content)
    except ImageError as error:
        return str(error)
    return "It is a picture."
