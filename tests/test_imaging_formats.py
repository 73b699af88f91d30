"""Formats as other programs write them: profiles of other colours, depths that few have."""

import io
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agegenderemo.errors import ImageError
from agegenderemo.imaging.load import load_image

ASTRONAUT = Path(__file__).parent.parent / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(ASTRONAUT).convert("RGB").resize((160, 160))


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def difference(data: bytes, image: Image.Image) -> float:
    """Of what is read from a picture that was made, in levels of 255."""
    return float(np.abs(load_image(data) - np.asarray(image.convert("RGB"), np.int16)).mean())


def grey_profile() -> bytes:
    """Of one channel, its curve a gamma of 1.8."""
    tags = {
        b"desc": b"text\0\0\0\0grey",
        b"cprt": b"text\0\0\0\0none",
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061),
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(1.8 * 256)),
    }
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for sign, content in tags.items():
        table += sign + struct.pack(">II", start + len(body), len(content))
        body += content.ljust(-(-len(content) // 4) * 4, b"\0")
    head = b"lcms\2@\0\0mntrGRAYXYZ ".ljust(32, b"\0") + b"acsp"
    head = struct.pack(">I", start + len(body)) + head.ljust(64, b"\0")
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_grey_profile_takes_no_colours_away(photo: Image.Image, kind: str) -> None:
    data = encode(photo, kind, icc_profile=grey_profile(), quality=95)
    assert difference(data, photo) < 4
    if kind != "WEBP":  # which has no grey
        grey = encode(photo.convert("L"), kind, icc_profile=grey_profile(), quality=95)
        assert difference(grey, photo.convert("L")) > 8


@pytest.mark.parametrize(
    ("top", "grey"), [(100, False), (1000, False), (4095, True), (65535, False)]
)
def test_netpbm_of_any_depth_is_quick(photo: Image.Image, top: int, grey: bool) -> None:
    shown = photo.resize((2000, 1500))
    shown = shown.convert("L") if grey else shown
    values = (np.asarray(shown) * (top / 255)).astype("u1" if top < 256 else ">u2")
    head = f"P{5 if grey else 6}\n# by hand\n2000 1500 # pixels\n{top}\n".encode()
    start = time.monotonic()
    assert difference(head + values.tobytes(), shown) < 6
    assert time.monotonic() - start < 2  # Pillow takes seven seconds
    for cut in (head, head + values.tobytes()[:-1]):
        with pytest.raises(ImageError, match="damaged or cut off"):
            load_image(cut[:3_000_000])
