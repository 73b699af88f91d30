"""Reasons to distrust an answer, from how a face was seen: size, sharpness, light, pose, frame.

Each threshold lies where the error was measured to rise: ``benchmarks/doubts.py``.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from agegenderemo.detection.align import square_corners
from agegenderemo.images import RGBImage
from agegenderemo.labels import DOUBTS
from agegenderemo.records import Framing, Landmarks

_SIDE = 64  # pixels at which sharpness and light are measured
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class Quality(NamedTuple):
    """How well a face was seen."""

    size: float
    """Side of the aligned square in pixels of the picture."""
    sharpness: float
    """Deviation of the crop's Laplacian over that of its brightness; less is more blurred."""
    brightness: float
    """Mean brightness of the crop, [0, 1]."""
    turn: float
    """How far the nose is off the middle of eyes and mouth, in distances between the eyes."""
    outside: float
    """Share of the aligned square that lies outside the picture, [0, 1]."""


def measure_quality(
    crop: RGBImage, landmarks: Landmarks, width: int, height: int, framing: Framing = "face"
) -> Quality:
    """Of an aligned crop and the landmarks, in pixels of its picture of width × height."""
    corners = square_corners(landmarks, framing)
    luma = crop.astype(np.float32) @ _LUMA / 255
    small = interpolate(
        torch.from_numpy(luma)[None, None], (_SIDE, _SIDE), mode="bilinear", antialias=True
    )[0, 0].numpy()
    laplacian = (
        small[:-2, 1:-1] + small[2:, 1:-1] + small[1:-1, :-2] + small[1:-1, 2:]
        - 4 * small[1:-1, 1:-1]
    )  # fmt: skip
    return Quality(
        float(np.linalg.norm(corners[1] - corners[0])),
        float(laplacian.std() / max(1e-3, small.std())),
        float(small.mean()),
        _turn(np.asarray(landmarks)),
        _outside(corners, width, height),
    )


def _turn(points: NDArray[np.float64]) -> float:
    left, right, nose, mouth_left, mouth_right = points
    axis = right - left
    middle = (left + right + mouth_left + mouth_right) / 4
    return float(abs((nose - middle) @ axis) / max(1e-6, axis @ axis))


def _outside(corners: NDArray[np.float64], width: int, height: int) -> float:
    """By sampling a grid over the square."""
    steps = (np.arange(16) + 0.5) / 16
    right, down = corners[1] - corners[0], corners[2] - corners[0]
    x, y = (corners[0][axis] + steps * right[axis] + steps[:, None] * down[axis] for axis in (0, 1))
    return float(1 - ((x >= 0) & (x <= width) & (y >= 0) & (y <= height)).mean())


LIMITS = {
    "small": ("size", 30.0, False),
    "blurred": ("sharpness", 0.1, False),
    "dark": ("brightness", 0.12, False),
    "turned": ("turn", 0.3, True),
    "cut off": ("outside", 0.4, True),
}
"""For each of `DOUBTS` the part of `Quality`, the limit, and whether more than it is worse."""


def doubts(quality: Quality) -> tuple[str, ...]:
    """The reasons, of `DOUBTS` and in their order, to distrust an answer for such a face."""
    found = []
    for reason in DOUBTS:
        field, limit, above = LIMITS[reason]
        value = getattr(quality, field)
        if value > limit if above else value < limit:
            found.append(reason)
    # A small face is soft for that reason: one is enough to say.
    return tuple(r for r in found if r != "blurred" or "small" not in found)
