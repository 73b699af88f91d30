"""Small raw image files, as data sets hold them, for tests of readers."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from agegenderemo.data.samples import DatasetIndex


def image_bytes(side: int = 8, format: str = "PNG") -> bytes:
    """An encoded grey square."""
    stream = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(stream, format)
    return stream.getvalue()


def write(root: Path, *names: str) -> Path:
    """Grey squares under these names; gives the folder."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes())
    return root


def reasons(index: DatasetIndex) -> Counter[str]:
    """How many entries were skipped, by reason."""
    return Counter(entry.reason for entry in index.skipped)
