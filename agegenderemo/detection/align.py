"""Five-point similarity alignment: the one function that makes the crop that a network sees."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import grid_sample

from agegenderemo.images import RGBImage
from agegenderemo.records import Framing, Landmarks

TEMPLATES: dict[Framing, NDArray[np.float64]] = {
    "face": np.array([(0.285, 0.26), (0.715, 0.26), (0.50, 0.495), (0.32, 0.735), (0.68, 0.735)]),
    "ffhq": np.array(
        [(0.375, 0.473), (0.625, 0.473), (0.50, 0.62), (0.385, 0.725), (0.615, 0.725)]
    ),
}
"""Where eyes, nose and mouth corners come to lie, as fractions of the crop's side.

``face`` sits close round the face, because UTKFace has hardly any forehead to show and FER+ hardly
any chin: a looser frame would hold the repeated border in training and hair or neck in live use.
``ffhq`` is where MTCNN finds them in FFHQ's own thumbnails (mean over 20, made symmetric).
"""


def align(image: RGBImage, landmarks: Landmarks, size: int, framing: Framing = "face") -> RGBImage:
    """The face as an RGB uint8 square of ``size`` pixels, upright and framed as asked.

    ``landmarks`` are (x, y) pixels of ``image``. Outside the picture its border is repeated.
    Raises ValueError when the landmarks coincide.
    """
    matrix = _similarity(np.asarray(landmarks, dtype=np.float64), TEMPLATES[framing] * size)
    image, matrix = _reduce(image, matrix, size)
    inverse = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2]
    height, width = image.shape[:2]

    # Landmarks, like the detector's boxes, count from the picture's corner: pixel centres are at
    # one half, which is grid_sample's align_corners=False.
    centres = np.arange(size) + 0.5
    target = np.stack([*np.meshgrid(centres, centres), np.ones((size, size))], axis=-1)
    grid = target @ inverse.T / (width / 2, height / 2) - 1
    crop = grid_sample(
        torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None],
        torch.from_numpy(grid.astype(np.float32))[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    rounded = crop[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(rounded.numpy())


def square_corners(landmarks: Landmarks, framing: Framing = "face") -> NDArray[np.float64]:
    """Where the top left, top right and bottom left corner of the aligned square lie in the
    picture, 3×2 (x, y) pixels. Raises ValueError when the landmarks coincide."""
    matrix = _similarity(np.asarray(landmarks, dtype=np.float64), TEMPLATES[framing])
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
