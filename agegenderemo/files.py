"""Files that are there whole or not at all, and what a safetensors file says of itself."""

import contextlib
import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

from agegenderemo.errors import CheckpointError

_MAX_HEADER = 100 * 2**20  # bytes; the format's own limit


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """A reader, and a killed writer, sees the old file or the new one, never a part.

    Raises CheckpointError when the disk is full or refuses; the old file stays.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
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
