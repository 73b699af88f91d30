"""Readers of the published data sets: each ``read(root)`` gives a `Reading`. They know no torch.

``root`` is the folder of the set, the zip of it, or a folder that holds that zip. Image files may
carry any suffix that Pillow reads. What cannot be read is skipped and counted, never guessed.
"""

from collections.abc import Callable
from pathlib import Path

from agegenderemo.readers import fairface, fer, ffhq, utkface
from agegenderemo.readers.source import DatasetError, read_bytes
from agegenderemo.records import Framing, Reading

READERS: dict[str, Callable[[Path], Reading]] = {
    "utkface": utkface.read,
    "ferplus": fer.read,
    "fairface": fairface.read,
    "ffhq": ffhq.read,
}

FRAMED_AS: dict[str, Framing] = {"ffhq": "ffhq"}
"""Sets whose pictures are published in one of the framings that a network can want."""

__all__ = ["FRAMED_AS", "READERS", "DatasetError", "read", "read_bytes"]


def read(name: str, root: str | Path) -> Reading:
    """Read the data set ``name`` (a key of `READERS`) at ``root``.

    Raises DatasetError for an unknown name, a missing folder or an unknown layout.
    """
    if name not in READERS:
        raise DatasetError(f"Unknown data set {name!r}; known are {', '.join(READERS)}.")
    return READERS[name](Path(root))
