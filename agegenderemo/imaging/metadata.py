"""What stands round the pixels of a file: only what they need of it is handed to the decoder.

A picture is good where its pixels are. Damaged text, dates, thumbnails or previews are no reason to
refuse it, and Pillow, which reads them all, would.
"""

import re
import struct
import zlib
from collections.abc import Iterator

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"

_MAX_TEXT = 2**20
_XMP = b"XML:com.adobe.xmp\0\0\0"
_RAW_EXIF = b"Raw profile type exif\0"
_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""Of a JPEG, but for those that stand within compressed pixels."""
_TRANSPARENT_BYTES = {b"\0": 2, b"\2": 6}
"""That tRNS has at least, by the kind of colour: one grey value, or three."""
_USUAL_SCANS = 20  # of a progressive JPEG: so few are not worth a closer look
_PNG_CHUNKS = frozenset({b"tRNS", b"eXIf", b"iCCP", b"iTXt", b"tEXt", b"zTXt"})


def clean_png(data: bytes) -> bytes:
    """The PNG with its pixels, palette, transparency, EXIF, XMP and colour profile alone.

    Chunks of a film go too, for its first frame is the picture; and what is damaged, as its
    checksum says, unless the pixels need it.
    """
    parts, at = [PNG_START], len(PNG_START)
    least = _TRANSPARENT_BYTES.get(data[25:26], 0)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if kind == b"tRNS" and length < least:
            pass  # says nothing of these pixels
        elif kind[:1].isupper() or (kind in _PNG_CHUNKS and _is_good(data[at:end], kind)):
            parts.append(data[at:end])
        if kind == b"IEND":
            break
        at = end
    return b"".join(parts)


def _is_good(chunk: bytes, kind: bytes) -> bool:
    if len(chunk) < 12 or zlib.crc32(chunk[4:-4]) != struct.unpack(">I", chunk[-4:])[0]:
        return False
    content = chunk[8:-4]
    if kind == b"iTXt":
        return content.startswith(_XMP) and len(content) < _MAX_TEXT
    if kind == b"tEXt":
        return content.startswith(_RAW_EXIF) and len(content) < _MAX_TEXT
    if kind == b"zTXt" and not content.startswith(_RAW_EXIF):
        return False
    if kind in (b"iCCP", b"zTXt"):
        packed = content.partition(b"\0")[2][1:]
        return 0 < len(_unpacked(packed)) < _MAX_TEXT  # Pillow's own bound
    return True


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _MAX_TEXT)
    except zlib.error:
        return b""


def clean_jpeg(data: bytes) -> bytes:
    """The JPEG without comments, previews and the data of other programs."""
    parts, at, dropped = [data[:2]], 2, False
    for marker, content, end in _segments(data):
        if _is_wanted(marker, content):
            parts.append(data[at:end])
        else:
            dropped = True
        at = end
    return b"".join((*parts, data[at:])) if dropped else data


def _is_wanted(marker: int, content: bytes) -> bool:
    if marker == 0xE0:
        return len(content) >= 12
    if marker == 0xE1:
        return content.startswith((b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"))
    if marker == 0xE2:
        return content.startswith(b"ICC_PROFILE\0") and len(content) > 14
    if marker == 0xEE:
        return content.startswith(b"Adobe") and len(content) >= 12
    return not (0xE3 <= marker <= 0xEF or marker == 0xFE)


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, content and end of each segment, up to and with the first scan's header."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            return
        yield marker, data[at + 4 : end], end
        if marker == 0xDA:
            return
        at = end


def jpeg_scans(data: bytes) -> tuple[int, bool]:
    """How many scans a JPEG has at most, and whether its first one holds every component, as
    cameras write it: only then a decoder needs no memory for the whole picture."""
    found = list(_segments(data))
    sequential = all(not 0xC2 <= marker <= 0xCF or marker in (0xC4, 0xC8, 0xCC)
                     for marker, *_ in found)  # fmt: skip
    frame = next((body for marker, body, _ in found if marker in (0xC0, 0xC1)), b"")
    scan = next((body for marker, body, _ in found if marker == 0xDA), b"")
    whole = sequential and len(frame) > 5 and bool(scan) and scan[0] == frame[5]
    if whole:
        return 1, True  # no decoder asks for more
    most = data.count(b"\xff\xda")
    return (most if most <= _USUAL_SCANS else _count_scans(data)), False


def _count_scans(data: bytes) -> int:
    """Of the first picture alone: what phones put behind it, a film or a depth map, holds the
    marker by chance or for itself."""
    at = scan_start(data)
    count = int(at < len(data))
    while found := _MARKER.search(data, at):
        at, marker = found.end(), found[0][-1]
        if marker == 0xD9:
            break
        count += marker == 0xDA
        if marker != 0x01:  # the only one left without a content
            at += int.from_bytes(data[at : at + 2], "big")
    return count


def scan_start(data: bytes) -> int:
    """Where the compressed pixels of a JPEG begin, in bytes; at its end where there are none."""
    return next((end for marker, _, end in _segments(data) if marker == 0xDA), len(data))


def next_restart(scan: bytes) -> bytes:
    """The restart marker that would follow in the compressed pixels of a JPEG that is cut off."""
    at, number = max((scan.rfind(bytes((0xFF, 0xD0 + n))), n) for n in range(8))
    return bytes((0xFF, 0xD0 if at < 0 else 0xD0 + (number + 1) % 8))
