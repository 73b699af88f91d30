"""Readers of the published data sets: each ``read(root)`` gives a `Reading`. They know no torch.

``root`` is the folder of the set, the zip of it, or a folder that holds that zip. Image files may
carry any suffix that Pillow reads. What cannot be read is skipped and counted, never guessed.
"""

from collections.abc import Callable
from pathlib import Path

from agegenderemo.readers import fairface, fer, ffhq, utkface
from agegenderemo.readers.source import DatasetError, read_bytes
from agegenderemo.records import Reading

READERS: dict[str, Callable[[Path], Reading]] = {
    "utkface": utkface.read,
    "ferplus": fer.read,
    "fairface": fairface.read,
    "ffhq": ffhq.read,
}

__all__ = ["READERS", "DatasetError", "read", "read_bytes"]


def read(name: str, root: str | Path) -> Reading:
    """Read the data set ``name`` (a key of `READERS`) at ``root``.

    Raises DatasetError for an unknown name, a missing folder or an unknown layout.
    """
    if name not in READERS:
        raise DatasetError(f"Unknown data set {name!r}; known are {', '.join(READERS)}.")
    return READERS[name](Path(root))
