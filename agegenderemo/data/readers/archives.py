"""Zip and tar archives, read member by member without unpacking them."""

import bz2
import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

from agegenderemo.errors import DatasetError

_COMPRESSED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
"""How a compressed tar begins, and what opens it."""

_BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, lzma.LZMAError, zlib.error,
    RuntimeError, NotImplementedError,  # of zip: a password, a compression that is not known
)  # fmt: skip

_threads = threading.local()
_lock = threading.Lock()


class _Tar(NamedTuple):
    file: IO[bytes]  # not compressed
    members: dict[str, tuple[int, int]]  # where the bytes of each file begin, and how many


_tars: dict[Path, _Tar] = {}


def is_archive(path: Path) -> bool:
    """Whether this is a zip or a tar, compressed or not."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def list_members(path: Path) -> list[str]:
    """Names of the files in an archive; raises DatasetError for one that is damaged."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return [info.filename for info in archive.infolist() if not info.is_dir()]
        return list(_tar(path).members)
    except _BROKEN as error:
        raise DatasetError(f"{path} is damaged or cut off: {error}.") from error


def read_member(path: Path, name: str) -> bytes:
    """The bytes of one file in an archive; raises OSError, KeyError or ValueError."""
    try:
        if zipfile.is_zipfile(path):
            return _zip(path).read(name)
        tar = _tar(path)
        start, size = tar.members[name]
        return os.pread(tar.file.fileno(), size, start)
    except _BROKEN as error:
        raise OSError(f"{name} of {path} cannot be read: {error}") from error


def _zip(path: Path) -> zipfile.ZipFile:
    """One open archive a thread: reading its directory of 40,000 names takes a second."""
    archives: dict[Path, zipfile.ZipFile] = _threads.__dict__.setdefault("archives", {})
    if path not in archives:
        archives[path] = zipfile.ZipFile(path)
    return archives[path]


def _tar(path: Path) -> _Tar:
    """One open tar a process. A compressed one is unpacked once, into a file without a name that is
    gone with the process: it has no way to its middle."""
    with _lock:
        if path not in _tars:
            file: IO[bytes] = path.open("rb")
            begin = file.read(6)
            opener = next((o for mark, o in _COMPRESSED.items() if begin.startswith(mark)), None)
            if opener is not None:
                file.close()
                file = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the process
                with opener(path) as packed:
                    shutil.copyfileobj(packed, file, 2**20)
            file.seek(0)
            with tarfile.open(fileobj=file) as archive:
                members = {m.name: (m.offset_data, m.size) for m in archive if m.isfile()}
            _tars[path] = _Tar(file, members)
        return _tars[path]
