"""Every way in which a picture comes, and every way in which it cannot be read."""

import io
import os
import re
import socket
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from agegenderemo import Analyzer
from agegenderemo.errors import ImageError
from agegenderemo.imaging.load import load_image, shrink

RED, GREEN = (250, 0, 0), (0, 250, 0)


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to hold width × height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def test_path_bytes_pil_and_array_are_one(examples: Path) -> None:
    path = examples / "astronaut.jpg"
    array = load_image(path)
    assert array.shape == (512, 512, 3)
    assert array.dtype == np.uint8
    for other in (str(path), path.read_bytes(), Image.open(path), array):
        assert np.array_equal(load_image(other), array)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_respected(orientation: int) -> None:
    upright = Image.new("RGB", (40, 20), GREEN)
    upright.paste(RED, (0, 0, 10, 10))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(load_image(encode(stored, exif=exif)), np.asarray(upright))


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB"]
)
def test_every_mode_becomes_rgb(mode: str) -> None:
    grey = Image.new("L", (6, 4), 255)
    source = grey.convert("RGB").convert(mode) if mode not in ("1", "La") else grey.convert("1")
    if mode == "La":
        source = grey.convert("LA").convert("La")
    if mode == "LAB":
        source = Image.merge("LAB", [grey, Image.new("L", (6, 4), 0), Image.new("L", (6, 4), 0)])
    array = load_image(source)
    assert array.shape == (4, 6, 3)
    assert array.min() >= 250


def test_16_bit_greys_are_scaled_not_cut() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    array = load_image(encode(Image.fromarray(ramp)))
    assert array[0, 0, 0] == 0
    assert array[-1, -1, 0] == 255
    assert abs(int(array[8, 0, 0]) - 128) <= 1


def test_floating_point_tiff_is_scaled() -> None:
    values = np.linspace(-2, 2, 64, dtype=np.float32).reshape(8, 8)
    array = load_image(encode(Image.fromarray(values), "TIFF"))
    assert (array.min(), array.max()) == (0, 255)


def test_transparency_is_laid_over_white() -> None:
    assert load_image(encode(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))).min() == 255
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, *RED])
    palette.putpixel((1, 1), 1)
    array = load_image(encode(palette, transparency=0))
    assert tuple(array[0, 0]) == (255, 255, 255)
    assert tuple(array[1, 1]) == RED


def test_cmyk_jpeg() -> None:
    array = load_image(encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert array[..., 0].min() > 200
    assert array[..., 1:].max() < 60


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert tuple(load_image(data)[0, 0]) == RED


@pytest.mark.parametrize("size", [(1, 1), (20000, 2), (2, 20000)])
def test_odd_sizes_are_read(size: tuple[int, int]) -> None:
    assert load_image(encode(Image.new("RGB", size))).shape == (size[1], size[0], 3)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the file is empty"),
        (b"hello, this is text", "not an image"),
        (bomb(20_000, 10_000), "megapixels"),
        (bomb(10_200, 10_000), "102 megapixels"),
        (bomb(400, 300), "damaged or cut off"),
        (b"\x89PNG\r\n\x1a\n", "Cannot read the image"),
        (b"GIF89a", "Cannot read the image"),
    ],
)
def test_bad_files_get_one_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence) as raised:
        load_image(data)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("keep", [20, 400, 20_000])
def test_a_truncated_jpeg_is_an_error(examples: Path, keep: int) -> None:
    data = (examples / "astronaut.jpg").read_bytes()[:keep]
    with pytest.raises(ImageError):
        load_image(data)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"Cannot read gone\.jpg: No such file"):
        load_image(tmp_path / "gone.jpg")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_of_another_kind_are_refused(array: NDArray[Any]) -> None:
    with pytest.raises(ImageError):
        load_image(array)


def test_shrink_keeps_small_pictures_and_the_aspect_of_large_ones() -> None:
    image = np.zeros((300, 600, 3), np.uint8)
    assert shrink(image, 600)[0] is image
    small, scale = shrink(image, 200)
    assert small.shape == (100, 200, 3)
    assert scale == pytest.approx(1 / 3)
    assert shrink(np.zeros((2, 20000, 3), np.uint8), 100)[0].shape == (1, 100, 3)


# ------------------------------------------------------------------ from Python


def test_whatever_holds_the_bytes_is_read(examples: Path, tmp_path: Path) -> None:
    path = examples / "astronaut.jpg"
    wanted, data = load_image(path), path.read_bytes()
    at_end = io.BytesIO(data)
    at_end.read()
    with path.open("rb") as file, tempfile.SpooledTemporaryFile() as spooled:
        spooled.write(data)  # and stands at its end
        for source in (bytearray(data), memoryview(data), file, io.BytesIO(data), at_end, spooled):
            assert np.array_equal(load_image(source), wanted)  # type: ignore[arg-type]


class Tensor:
    """What a tensor is to NumPy."""

    def __init__(self, values: NDArray[Any] | Exception) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if isinstance(self.values, Exception):
            raise self.values
        return self.values


def test_tensors_are_arrays() -> None:
    array = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(load_image(Tensor(array)), array)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Tensor(np.zeros((3, 9, 9), np.uint8)), "its channels come first"),
        (Tensor(np.zeros((9, 9, 3), np.float32)), "not float32"),
        (Tensor(TypeError("can't convert cuda:0 device type tensor.\nUse cpu()")), "cuda:0"),
        (["a.jpg", "b.jpg"], "give one at a time"),
        ([[[1, 2, 3]]], "give one at a time"),
        (None, "not NoneType"),
        (7, "not int"),
        ({}, "not dict"),
        (io.StringIO("text"), "open for text"),
        ("a\0b.jpg", "null byte"),
        ("", "a folder"),
        ("x" * 5000, "File name too long"),
        (io.BytesIO(b""), "is empty"),
    ],
)
def test_anything_else_is_a_sentence(source: Any, words: str) -> None:
    with pytest.raises(ImageError, match=re.escape(words)) as raised:
        load_image(source)
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


def test_a_closed_file_is_a_sentence(tmp_path: Path) -> None:
    match = "Cannot read the file"
    with (tmp_path / "x").open("wb") as file, pytest.raises(ImageError, match=match):
        load_image(file)
    with pytest.raises(ImageError, match="closed"):
        load_image(file)
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        pass
    with pytest.raises(ImageError, match="it was closed"):
        load_image(image)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "socket"])
def test_what_is_no_file_is_never_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        socket.socket(socket.AF_UNIX).bind(str(path))
    with pytest.raises(ImageError, match=r"Cannot read x\.jpg: "):
        load_image(path)


@pytest.mark.parametrize("engine", ["ONNX", "Torch", "", None, ["onnx"], 7])
def test_an_unknown_engine_lists_the_names(engine: Any) -> None:
    with pytest.raises(ValueError, match="must be onnx or torch"):
        Analyzer.from_checkpoint(engine=engine)
