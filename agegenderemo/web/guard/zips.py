"""Zips of strangers: what is refused before it is unpacked, and a bounded read of an entry."""

import bz2
import copy
import lzma
import struct
import zipfile
import zlib
from collections.abc import Generator
from contextlib import closing
from typing import Any, BinaryIO

MAX_ENTRIES = 20_000
MAX_DIRECTORY_BYTES = 300 * MAX_ENTRIES
_HEADER_BYTES = 30
_CHUNK = 1 << 18
_DIRECT = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LONG = (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_TOO_MANY = f"The zip has more than {MAX_ENTRIES} entries."

BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    KeyError,
    IndexError,
    struct.error,
)
"""Everything that `zipfile` raises on a damaged file."""


class ZipError(ValueError):
    """A zip that is not opened, or an entry that is not unpacked; the message is one sentence."""


def open_zip(file: BinaryIO) -> zipfile.ZipFile:
    """A zip that may be read: with a directory of a bounded size, few entries, and none that
    overlap, as they do only in zips that unpack to far more than they hold.

    Raises ZipError, or one of `BAD_ZIP`.
    """
    # `zipfile` makes an object of each entry before it can be asked how many there are.
    archive = zipfile.ZipFile(_Bounded(file))
    try:
        check_zip(archive)
    except BaseException:
        archive.close()
        raise
    return archive


class _Bounded:
    """A file of which nobody reads a large part at once, as `zipfile` does with the directory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        most = MAX_DIRECTORY_BYTES + 1
        data = self._file.read(most if size < 0 else min(size, most))
        if len(data) == most:
            raise ZipError(_TOO_MANY)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def check_zip(archive: zipfile.ZipFile) -> None:
    """Raises ZipError where there are too many entries, or where they overlap."""
    members = sorted(archive.infolist(), key=lambda one: one.header_offset)
    if len(members) > MAX_ENTRIES:
        raise ZipError(_TOO_MANY)
    end = 0
    for member in members:
        if member.header_offset < end:
            raise ZipError("The zip is damaged: its entries overlap.")
        end = member.header_offset + _HEADER_BYTES + member.compress_size


class Budget:
    """Bytes that may still be unpacked; every one counts, also of entries that fail."""

    def __init__(self, bytes_left: int) -> None:
        self.left = bytes_left

    def read(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
        """The content of an entry of at most ``most`` bytes.

        Raises ZipError when it is damaged, or has more, or more than is left.
        """
        content = bytearray()
        try:
            with closing(_pieces(archive, member, most)) as pieces:
                for chunk in pieces:
                    self.left -= len(chunk)
                    content += chunk
                    if self.left < 0:
                        raise ZipError("The zip unpacks to too much; the rest is left out.")
                    if len(content) > most:
                        raise ZipError(f"Larger than {most >> 20} MB.")
        except ZipError:
            raise
        except BAD_ZIP:
            raise ZipError("This entry of the zip is damaged.") from None
        return bytes(content)


def _pieces(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int
) -> Generator[bytes, None, None]:
    """What an entry unpacks to, in pieces that are small whatever it is made of."""
    if member.compress_type in _LONG:
        # `zipfile` unpacks all that lies in 256 kB of these at once, and 700 bytes may be 1 GB.
        yield from _long_pieces(archive, member, most)
    elif member.compress_type in _DIRECT:
        with archive.open(member) as stream:
            while chunk := stream.read(min(_CHUNK, most + 1)):
                yield chunk
    else:
        raise NotImplementedError


def _long_pieces(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int
) -> Generator[bytes, None, None]:
    packed = copy.copy(member)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, member.compress_size
    packed.CRC = None  # type: ignore[assignment]  # it is that of what comes out
    left, sum_ = member.file_size, 0
    with archive.open(packed) as stream:
        bzip2 = member.compress_type == zipfile.ZIP_BZIP2
        unpacker = bz2.BZ2Decompressor() if bzip2 else _lzma(stream, most)
        while left and not unpacker.eof:
            data = stream.read(_CHUNK) if unpacker.needs_input else b""
            if unpacker.needs_input and not data:
                raise EOFError
            chunk = unpacker.decompress(data, min(_CHUNK, left))
            left -= len(chunk)
            sum_ = zlib.crc32(chunk, sum_)
            yield chunk
    if left or sum_ != member.CRC:
        raise zipfile.BadZipFile


def _lzma(stream: Any, most: int) -> lzma.LZMADecompressor:
    """Of the properties before the data. Their dictionary takes memory, up to 4 GB, and need not be
    larger than what is unpacked."""
    length, first, dictionary = struct.unpack("<2xHBI", stream.read(9))
    if length != 5:
        raise zipfile.BadZipFile
    rest, lc = divmod(first, 9)
    pb, lp = divmod(rest, 5)
    size = max(4096, min(dictionary, most))
    own = {"id": lzma.FILTER_LZMA1, "dict_size": size, "lc": lc, "lp": lp, "pb": pb}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[own])
