"""Arrays on disk that are written through a memory map."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def make_array(path: Path, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """A new ``.npy`` file of zeros, mapped to be written, whose blocks the disk has given already:
    a disk that is full when a map is written kills the process.

    Raises OSError where the disk has not that much.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            size = path.stat().st_size
            if size:
                os.posix_fallocate(file.fileno(), 0, size)
    return array
