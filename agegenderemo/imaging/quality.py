"""Reasons to distrust a prediction, from how a face was seen: size, sharpness, light, pose, frame.

``python benchmarks/quality_flags.py`` measures how the error goes with each; `DISTRUSTED_FLAGS`
says what came of that.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agegenderemo.imaging.geometry import square_corners
from agegenderemo.imaging.resize import resize_bilinear
from agegenderemo.types import Landmarks, RGBImage, Template

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
    yaw: float
    """Yaw proxy: how far the nose is off the middle of eyes and mouth, in distances between the
    eyes."""
    out_of_frame: float
    """Out-of-frame ratio: share of the aligned square that lies outside the picture, [0, 1]."""


def measure_quality(
    crop: RGBImage, landmarks: Landmarks, width: int, height: int, template: Template = "face"
) -> Quality:
    """Of an aligned crop and the landmarks, in pixels of its picture of width × height.

    Raises ValueError when the landmarks coincide.
    """
    corners = square_corners(landmarks, template)
    luma = (crop.astype(np.float32) @ _LUMA / 255).astype(np.float32)
    small = resize_bilinear(luma, _SIDE)
    laplacian = (
        small[:-2, 1:-1] + small[2:, 1:-1] + small[1:-1, :-2] + small[1:-1, 2:]
        - 4 * small[1:-1, 1:-1]
    )  # fmt: skip
    return Quality(
        float(np.linalg.norm(corners[1] - corners[0])),
        float(laplacian.std() / max(1e-3, small.std())),
        float(small.mean()),
        _yaw(np.asarray(landmarks)),
        _out_of_frame(corners, width, height),
    )


def _yaw(points: NDArray[np.float64]) -> float:
    left, right, nose, mouth_left, mouth_right = points
    axis = right - left
    middle = (left + right + mouth_left + mouth_right) / 4
    return float(abs((nose - middle) @ axis) / max(1e-6, axis @ axis))


def _out_of_frame(corners: NDArray[np.float64], width: int, height: int) -> float:
    """By sampling a grid over the square."""
    steps = (np.arange(16) + 0.5) / 16
    right, down = corners[1] - corners[0], corners[2] - corners[0]
    x, y = (corners[0][axis] + steps * right[axis] + steps[:, None] * down[axis] for axis in (0, 1))
    return float(1 - ((x >= 0) & (x <= width) & (y >= 0) & (y <= height)).mean())


LIMITS = {
    "small": ("size", 30.0, False),
    "blurred": ("sharpness", 0.1, False),
    "dark": ("brightness", 0.12, False),
    "turned": ("yaw", 0.3, True),
    "cut off": ("out_of_frame", 0.4, True),
}
"""For each of `QUALITY_FLAGS` that is seen in the picture the part of `Quality`, the limit, and
whether more than it is worse."""


DISTRUSTED_FLAGS = frozenset({"small", "blurred", "dark"})
"""Flags with which the error was measured to rise; a tracker trusts such a look less.

The same faces made small, blurred or dark are read worse, step by step, and the three limits lie
where that begins. Turned and cut-off faces can only be compared with *other* faces, and no more was
found than chance may give: turned ones are read a little better in UTKFace (78 faces) and a little
worse in FairFace (469), cut-off ones (92 and 161) within one and a half standard errors of the
rest, either way. These two flags tell how a face was seen, and weigh nothing.
"""


def quality_flags(quality: Quality) -> tuple[str, ...]:
    """The reasons, of `LIMITS` and in their order, to distrust predictions of such a face.

    >>> quality_flags(Quality(size=20, sharpness=0.3, brightness=0.5, yaw=0, out_of_frame=0))
    ('small',)
    """
    found = []
    for reason, (field, limit, above) in LIMITS.items():
        value = getattr(quality, field)
        if value > limit if above else value < limit:
            found.append(reason)
    # A small face is soft for that reason: one is enough to say.
    return tuple(r for r in found if r != "blurred" or "small" not in found)
