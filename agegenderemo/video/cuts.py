"""Where one shot of a film ends and the next begins."""

import numpy as np
from numpy.typing import NDArray

from agegenderemo.types import RGBImage

_COLUMNS, _ROWS = 16, 9  # of the small copy that is compared
_SAMPLES = 4  # pixels of each of its cells, along each side
_LEAST = 0.06  # mean change of a cut, of the whole range
_SUDDEN = 4.0  # times the changes before it
_MEMORY = 0.7  # of those


class CutDetector:
    """Compares each frame, very small, with the one before. A cut is a change that is large and
    far larger than those before it, so that a moving camera is none."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._usual = 0.0

    def is_cut(self, image: RGBImage) -> bool:
        """Whether this frame, RGB uint8 H×W×3, begins another shot than the one before it."""
        small = _small(image)
        last, self._last = self._last, small
        if last is None or last.shape != small.shape:
            return False
        change = float(np.abs(small - last).mean()) / 255
        cut = change >= _LEAST and change >= _SUDDEN * self._usual
        self._usual = _MEMORY * self._usual + (1 - _MEMORY) * change
        return cut


def _small(image: RGBImage) -> NDArray[np.float32]:
    """Means of some pixels of each cell."""
    height, width = image.shape[:2]
    rows = np.linspace(0, height - 1, _ROWS * _SAMPLES).astype(np.intp)
    columns = np.linspace(0, width - 1, _COLUMNS * _SAMPLES).astype(np.intp)
    picked = image[rows[:, None], columns].astype(np.float32)
    cells: NDArray[np.float32] = picked.reshape(_ROWS, _SAMPLES, _COLUMNS, _SAMPLES, 3).mean((1, 3))
    return cells
