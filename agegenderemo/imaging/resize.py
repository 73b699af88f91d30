"""Two reductions in numpy: MTCNN's mean over areas, and antialiased bilinear interpolation."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from agegenderemo.types import RGBImage


def summed_area(image: RGBImage) -> NDArray[np.uint32]:
    """Sums over everything above and left of each corner of a pixel, (H+1)×3×(W+1).

    They wrap at 2³²; differences do not, for areas under sixteen million pixels.
    """
    height, width = image.shape[:2]
    table = np.zeros((height + 1, 3, width + 1), np.uint32)
    table[1:, :, 1:] = image.transpose(0, 2, 1)
    for row in range(1, height + 1):  # three times as fast as a cumulative sum down the rows
        np.add(table[row], table[row - 1], out=table[row])
    np.cumsum(table, axis=2, out=table)
    return table


def area_resize_table(table: NDArray[np.uint32], height: int, width: int) -> NDArray[np.float32]:
    """The whole picture of a `summed_area` table at another size: 3×height×width in [0, 255].

    Each value is the mean over the pixels that its area touches, which may overlap, to the bit as
    PyTorch's ``interpolate(mode="area")`` has it: the sum is exact, the divisions are float32.
    """
    top, bottom = _windows(table.shape[0] - 1, height)
    left, right = _windows(table.shape[2] - 1, width)
    bands = table[bottom] - table[top]  # height×3×(W+1)
    sums = bands.take(right, axis=2) - bands.take(left, axis=2)
    return _means(sums.transpose(1, 0, 2), bottom - top, right - left)


def area_resize_boxes(
    table: NDArray[np.uint32], boxes: NDArray[np.integer], size: int
) -> NDArray[np.float32]:
    """Regions of the picture of a `summed_area` table, each as `area_resize_table` would have it:
    N×3×size×size.

    ``boxes`` are N×4 whole x1, y1, x2, y2 inside the picture, none of them empty.
    """
    x1, y1, x2, y2 = (column[:, None].astype(np.intp) for column in boxes.T)
    top, bottom = _windows(y2 - y1, size)
    left, right = _windows(x2 - x1, size)
    across = table.shape[2]
    planes = across * np.arange(3)[:, None, None]
    flat = table.reshape(-1)

    def corners(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.uint32]:
        lines = (3 * across * (rows + y1))[:, None, :, None]
        found: NDArray[np.uint32] = flat.take(lines + planes + (columns + x1)[:, None, None])
        return found

    sums = corners(bottom, right) - corners(top, right) - corners(bottom, left) + corners(top, left)
    tall, wide = (bottom - top)[:, None], (right - left)[:, None, None]
    return _means(sums, tall, wide)


def area_resize(image: RGBImage, height: int, width: int) -> NDArray[np.float32]:
    """A picture at another size, 3×height×width in [0, 255], as `area_resize_table` has it; for
    one size alone this is faster than the table."""
    top, bottom = _windows(image.shape[0], height)
    left, right = _windows(image.shape[1], width)
    lines = image.reshape(image.shape[0], -1)
    bands = np.empty((height, lines.shape[1]), np.uint32)
    for row, (low, high) in enumerate(zip(top.tolist(), bottom.tolist(), strict=True)):
        np.add.reduce(lines[low:high], axis=0, dtype=np.uint32, out=bands[row])
    table = np.zeros((height, 3, image.shape[1] + 1), np.uint32)
    np.cumsum(bands.reshape(height, -1, 3).transpose(0, 2, 1), axis=2, out=table[..., 1:])
    sums = table.take(right, axis=2) - table.take(left, axis=2)
    return _means(sums.transpose(1, 0, 2), bottom - top, right - left)


def _windows(length: int | NDArray[np.intp], size: int) -> tuple[NDArray[np.intp], ...]:
    """First pixel and the one past the last of each of ``size`` areas along an axis; a row of them
    for each of several lengths."""
    steps = np.arange(size, dtype=np.intp)
    return steps * length // size, -(-(steps + 1) * length // size)


def _means(
    sums: NDArray[np.uint32], tall: NDArray[np.intp], wide: NDArray[np.intp]
) -> NDArray[np.float32]:
    means = sums.astype(np.float32, order="C")
    means /= tall[..., None].astype(np.float32)
    means /= wide.astype(np.float32)
    return means


def resize_bilinear(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Planes …×H×W at …×size×size, float32, as PyTorch's bilinear ``interpolate`` with
    ``antialias=True`` has them, but for rounding.

    >>> resize_bilinear(np.ones((1, 4, 4), np.float32), 2).tolist()
    [[[1.0, 1.0], [1.0, 1.0]]]
    """
    for axis in (images.ndim - 1, images.ndim - 2):
        images = _along(images, axis, size)
    return images


def _along(images: NDArray[np.float32], axis: int, size: int) -> NDArray[np.float32]:
    if images.shape[axis] == size:
        return images
    places, weights = _taps(images.shape[axis], size)
    if axis == images.ndim - 2:
        weights = weights[..., None]
    total: NDArray[np.float32] = images.take(places[0], axis=axis) * weights[0]
    for place, weight in zip(places[1:], weights[1:], strict=True):
        term = images.take(place, axis=axis)
        term *= weight
        total += term
    return total


@lru_cache(maxsize=64)
def _taps(length: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each tap and output, T×size: the input pixel that it reads, and its weight."""
    scale = length / size
    reach = max(1.0, scale)  # when enlarging, plain bilinear
    middle = scale * (np.arange(size) + 0.5)
    first = np.maximum(0, np.floor(middle - reach + 0.5).astype(np.intp))
    last = np.minimum(length, np.floor(middle + reach + 0.5).astype(np.intp))
    places = first + np.arange(int((last - first).max()))[:, None]
    weights = np.maximum(0, 1 - np.abs(places + 0.5 - middle) / reach) * (places < last)
    weights /= weights.sum(axis=0)
    return np.minimum(places, length - 1), weights.astype(np.float32)
