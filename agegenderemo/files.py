"""Files that are there whole or not at all, and what a safetensors file says of itself."""

import contextlib
import glob
import hashlib
import json
import os
import shutil
import struct
import sys
from pathlib import Path
from typing import Any, TextIO

from agegenderemo.errors import AgeGenderEmoError, CheckpointError

_MAX_NAME = 255  # bytes; what the common file systems take
_MAX_HEADER = 100 * 2**20  # bytes; the format's own limit


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """A reader, and a killed writer, sees the old file or the new one, never a part.

    Raises CheckpointError when the disk is full or refuses; the old file stays.
    """
    temporary = path.with_name(fitting_name(path.name, ".tmp"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # a link of this name leads to somebody's file
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise CheckpointError(
            f"{path} could not be written ({error.strerror}); what was there before is kept."
        ) from error


def fitting_name(stem: str, ending: str) -> str:
    """``stem`` and ``ending`` as the name of a file: the stem is cut where a file system would not
    take the whole."""
    room = _MAX_NAME - len(os.fsencode(ending))
    name = os.fsencode(stem)
    if len(name) > room:
        # Not within a character.
        stem = name[:room].decode("utf-8", "ignore")
    return stem + ending


class PartFile:
    """A UTF-8 text file that is written piece by piece, and stands under its own name only when
    all is written.

    ``with PartFile(path) as stream:`` writes beside it, into ``NAME.part`` or the first such name
    that is free. That file stays, and is named on standard error, when the block ends by an error;
    after a kill it holds what was flushed. What is no regular file (a pipe, ``/dev/null``) is
    written to at once. Raises AgeGenderEmoError where it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = resolved(path)  # a link stays one

    @staticmethod
    def unfinished(path: Path) -> list[Path]:
        """What runs that were interrupted left beside a path, the oldest name first."""
        path = resolved(path)
        whole = path.with_name(fitting_name(path.name, ".part"))
        numbered = path.parent.glob(f"{glob.escape(whole.name)}-*")
        found = (one for one in numbered if one.name.removeprefix(f"{whole.name}-").isdecimal())
        return [one for one in (whole, *sorted(found)) if one.is_file()]

    def __enter__(self) -> TextIO:
        try:
            self._stream = self._open()
        except OSError as error:
            raise AgeGenderEmoError(f"{self.path} cannot be written: {error.strerror}.") from error
        return self._stream

    def _open(self) -> TextIO:
        self._part: Path | None = None
        if self.path.exists() and not self.path.is_file():
            return self.path.open("w", newline="", encoding="utf-8")
        number = 1
        while True:
            ending = ".part" if number == 1 else f".part-{number}"
            self._part = self.path.with_name(fitting_name(self.path.name, ending))
            with contextlib.suppress(FileExistsError):
                return self._part.open("x", newline="", encoding="utf-8")
            number += 1

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            self._stream.close()
            if self._part is None:
                return
            if kind is None or (kind is KeyboardInterrupt and not self.path.exists()):
                if self.path.exists():
                    shutil.copymode(self.path, self._part)
                os.replace(self._part, self.path)
                return
        except OSError as error:
            kept = f"; what was done is in {self._part}" if self._part else ""
            raise AgeGenderEmoError(
                f"{self.path} could not be finished ({error.strerror}){kept}."
            ) from error
        print(f"What was done is in {self._part}.", file=sys.stderr)


def resolved(path: Path) -> Path:
    """Where a path leads through links, as far as they lead anywhere: `Path.resolve` raises
    RuntimeError for links in a circle."""
    return Path(os.path.realpath(path))


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have, or a closed folder, holds none."""
    try:
        return path.is_file()
    except OSError:
        return False


def sha256(data: bytes | memoryview) -> str:
    """The digest that binds files to each other, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def safetensors_header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and the offset in bytes at which its tensors begin.

    The header maps a tensor's name to ``dtype``, ``shape`` and ``data_offsets``, and
    ``__metadata__`` to plain text by name. Raises ValueError for anything else.
    """
    if len(data) < 8:
        raise ValueError("the file is too short to be safetensors")
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(_MAX_HEADER, len(data) - 8):
        raise ValueError("the header of the file is cut off")
    header = json.loads(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("the header of the file is not a mapping")
    return header, 8 + length
