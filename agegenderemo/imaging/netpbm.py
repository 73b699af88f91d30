"""PGM and PPM of other depths than 8 bits, which Pillow decodes a value at a time: 20 seconds for a
camera's picture."""

import re

import numpy as np

from agegenderemo.imaging.pixels import to_8_bits

_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(rb"P([56])" + rb"(?:%b(\d{1,9}))" % _SPACE * 3 + rb"\s")


def in_8_bits(data: bytes, most: int) -> bytes:
    """A binary PGM or PPM with values from 0 to 255; as it is where it has them already, is cut
    off, damaged, or has more pixels than ``most``."""
    found = _HEADER.match(data[:4096])
    if not found:
        return data
    kind, width, height, top = map(int, found.groups())
    count = width * height * (3 if kind == 6 else 1)
    size = 1 if top < 256 else 2
    cut_off = len(data) - found.end() < count * size
    if not 0 < top < 65536 or top == 255 or cut_off or not 0 < width * height <= most:
        return data
    values = np.frombuffer(data, ">u2" if size == 2 else "u1", count, found.end())
    if size == 2:
        scaled = to_8_bits(values)
    else:
        scaled = (np.arange(256) * 255 / top).round().clip(0, 255).astype(np.uint8)[values]
    return b"P%d %d %d 255\n" % (kind, width, height) + scaled.tobytes()
