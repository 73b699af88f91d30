"""Zips of strangers: what is refused before it is unpacked, and a bounded read of an entry."""

import lzma
import zipfile
import zlib

MAX_ENTRIES = 20_000
_HEADER_BYTES = 30
_CHUNK = 1 << 18
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)

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
)
"""Everything that `zipfile` raises on a damaged file."""


class ZipError(ValueError):
    """A zip that is not opened, or an entry that is not unpacked; the message is one sentence."""


def check_zip(archive: zipfile.ZipFile) -> None:
    """Raises ZipError where entries overlap, as they do only in zips that unpack to far more than
    they hold, or where there are too many."""
    members = sorted(archive.infolist(), key=lambda one: one.header_offset)
    if len(members) > MAX_ENTRIES:
        raise ZipError(f"The zip has more than {MAX_ENTRIES} entries.")
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
        if member.compress_type not in _METHODS:
            raise ZipError("This entry of the zip is damaged.")
        content = bytearray()
        try:
            with archive.open(member) as stream:
                while chunk := stream.read(min(_CHUNK, most + 1 - len(content))):
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
