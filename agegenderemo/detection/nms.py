"""Non-maximum suppression as MTCNN of facenet-pytorch does it, with ties decided.

Of boxes with equal scores the *earlier* one wins, everywhere: real pictures hold such ties, and a
face's landmarks, so its predictions, hang on which box is kept.
"""

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 128  # of the best boxes are compared with all others


def nms(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float
) -> NDArray[np.intp]:
    """Indices of the boxes that no better one covers, the best first.

    ``boxes`` are N×4 (x1, y1, x2, y2); one goes when its intersection over union with a better
    one is more than ``threshold``, areas counted without the last pixel, as torchvision does.
    """
    return _suppress(boxes, scores, threshold, smaller=False)


def nms_min(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float
) -> NDArray[np.intp]:
    """As `nms`, by the intersection over the *smaller* of two areas, each counted with its last
    pixel, as the library's last step does."""
    return _suppress(boxes, scores, threshold, smaller=True)


def _suppress(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float, *, smaller: bool
) -> NDArray[np.intp]:
    order = np.argsort(-scores, kind="stable")
    x1, y1, x2, y2 = np.ascontiguousarray(boxes[order].T)
    pixel = np.float32(smaller)
    areas = (x2 - x1 + pixel) * (y2 - y1 + pixel)
    alive = np.arange(len(order))
    kept: list[int] = []
    while len(alive):
        best = alive[:_AT_ONCE, None]
        width = np.minimum(x2[best], x2[alive]) - np.maximum(x1[best], x1[alive]) + pixel
        height = np.minimum(y2[best], y2[alive]) - np.maximum(y1[best], y1[alive]) + pixel
        inner = np.maximum(0, width) * np.maximum(0, height)
        if smaller:
            whole = np.minimum(areas[best], areas[alive])
        else:
            whole = areas[best] + areas[alive] - inner
        # A box of no area neither covers nor is covered.
        share = np.divide(inner, whole, out=np.zeros_like(inner), where=whole > 0)
        gone = np.zeros(len(alive), np.bool_)
        for place, covered in enumerate(share > threshold):
            if not gone[place]:
                kept.append(alive[place])
                gone |= covered
        gone[:_AT_ONCE] = True
        alive = alive[~gone]
    return order[np.array(kept, dtype=np.intp)]
