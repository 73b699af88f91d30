"""Boxes and the five-point similarity alignment: `align` makes the crop that a network sees."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agegenderemo.types import Box, Landmarks, RGBImage, Template

TEMPLATES: dict[Template, NDArray[np.float64]] = {
    "face": np.array([(0.285, 0.26), (0.715, 0.26), (0.50, 0.495), (0.32, 0.735), (0.68, 0.735)]),
    "ffhq": np.array(
        [(0.375, 0.473), (0.625, 0.473), (0.50, 0.62), (0.385, 0.725), (0.615, 0.725)]
    ),
}
"""Where eyes, nose and mouth corners come to lie, as fractions of the crop's side.

``face`` sits close round the face, because UTKFace has hardly any forehead to show and FER+ hardly
any chin: a looser crop would hold the repeated border in training and hair or neck in live use.
``ffhq`` is where MTCNN finds them in FFHQ's own thumbnails (mean over 20, made symmetric).
"""


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes (x1, y1, x2, y2), in [0, 1].

    >>> iou((0, 0, 2, 2), (0, 0, 2, 1))
    0.5
    """
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def align(
    image: RGBImage, landmarks: Landmarks, size: int, template: Template = "face"
) -> RGBImage:
    """The face as an RGB uint8 square of ``size`` pixels, upright and framed by the template.

    ``landmarks`` are (x, y) pixels of ``image``. Outside the picture its border is repeated.
    Raises ValueError when the landmarks coincide.
    """
    matrix = _similarity(np.asarray(landmarks, dtype=np.float64), TEMPLATES[template] * size)
    image, matrix = _reduce(image, matrix, size)
    inverse = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2]
    # Landmarks, like the detector's boxes, count from the picture's corner: pixel centres are at
    # one half.
    x, y = np.arange(size) + 0.5, np.arange(size)[:, None] + 0.5
    columns, rows = (across * x + down * y + shift for across, down, shift in inverse)
    return _sample(image, columns, rows)


def square_corners(landmarks: Landmarks, template: Template = "face") -> NDArray[np.float64]:
    """Where the top left, top right and bottom left corner of the aligned square lie in the
    picture, 3×2 (x, y) pixels. Raises ValueError when the landmarks coincide."""
    matrix = _similarity(np.asarray(landmarks, dtype=np.float64), TEMPLATES[template])
    inverse = np.linalg.inv(matrix[:, :2])
    corners = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
    placed: NDArray[np.float64] = (corners - matrix[:, 2]) @ inverse.T
    return placed


def _similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 2×3 matrix of rotation, scale and shift that brings source closest to target.

    Least squares (Umeyama 1991); as complex numbers it is one division.
    """
    s = source[:, 0] + 1j * source[:, 1]
    t = target[:, 0] + 1j * target[:, 1]
    s0, t0 = s - s.mean(), t - t.mean()
    spread = float(np.sum(np.abs(s0) ** 2))
    turn = np.sum(np.conj(s0) * t0) / max(spread, 1e-12)
    if spread < 1e-6 or abs(turn) < 1e-9:
        raise ValueError(f"landmarks do not span a face: {source.tolist()}")
    shift = t.mean() - turn * s.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _reduce(
    image: RGBImage, matrix: NDArray[np.float64], size: int
) -> tuple[RGBImage, NDArray[np.float64]]:
    """For a face larger than the crop, cut out its surroundings and shrink them to the crop's
    scale with an antialiasing filter, because bilinear sampling alone would skip pixels."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale >= 1:
        return image, matrix
    limit = np.array(image.shape[1::-1])
    centre = np.linalg.inv(matrix[:, :2]) @ (np.full(2, size / 2) - matrix[:, 2])
    reach = 0.75 * size / scale  # a little over half the diagonal: it holds any rotation
    left, top = np.clip(np.floor(centre - reach), 0, limit - 1).astype(int)
    right, bottom = np.clip(np.ceil(centre + reach), (left + 1, top + 1), limit).astype(int)
    old = np.array((right - left, bottom - top))
    new = np.maximum(1, np.round(old * scale)).astype(int)
    region = Image.fromarray(image[top:bottom, left:right])
    reduced = np.asarray(region.resize((int(new[0]), int(new[1])), Image.Resampling.BILINEAR))
    back = np.array([[old[0] / new[0], 0, left], [0, old[1] / new[1], top], [0, 0, 1]])
    return reduced, matrix @ back


def _sample(image: RGBImage, columns: NDArray[np.float64], rows: NDArray[np.float64]) -> RGBImage:
    """The picture at S×S points by bilinear interpolation, its border repeated.

    To the bit what PyTorch's ``grid_sample`` gives on a CPU, by which the training crops were cut:
    the points pass through float32 fractions of the picture, and each product is added to the sum
    before either is rounded, as a fused multiply-add does. float64 holds both exactly.
    """
    height, width = image.shape[:2]
    left, east = _axis(columns, width)
    top, south = _axis(rows, height)
    west, north = 1 - east, 1 - south
    # Only the region round the face becomes numbers: a large picture costs no more than a small.
    x, y = int(left.min()), int(top.min())
    region = image[y : int(top.max()) + 2, x : int(left.max()) + 2]
    tall, wide = region.shape[:2]
    planes = np.ascontiguousarray(region.transpose(2, 0, 1), dtype=np.float64).reshape(3, -1)
    first = (top - y) * wide + (left - x)
    # At the border the neighbour is the pixel itself; its weight is zero.
    beside = first + (left - x + 1 < wide)
    down = np.where(top - y + 1 < tall, wide, 0)
    total = np.zeros((3, *first.shape), np.float32)
    term = np.empty(total.shape)
    for index, weight in (
        (first, west * north),
        (beside, east * north),
        (first + down, west * south),
        (beside + down, east * south),
    ):
        planes.take(index, axis=1, out=term, mode="clip")  # the mode without one more copy
        term *= weight
        term += total
        total[...] = term
    crop = np.rint(total, out=total).astype(np.uint8)
    return np.ascontiguousarray(crop.transpose(1, 2, 0))


def _axis(points: NDArray[np.float64], length: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The pixel before each point along one axis, and how far the point is past its centre."""
    fraction = (points / (length / 2) - 1).astype(np.float32) + np.float32(1)
    place = (fraction.astype(np.float64) * (length / 2) - 0.5).astype(np.float32)
    place = place.clip(0, length - 1)
    before = np.floor(place)
    return before.astype(np.intp), place - before
