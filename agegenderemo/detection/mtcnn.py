"""MTCNN (Zhang et al. 2016) with facenet-pytorch's weights, on ONNX Runtime and numpy.

Three networks look at ever fewer candidates, ever closer: the first at a pyramid of pictures, the
other two at squares of 24 and 48 pixels. Numbers are the library's to the bit up to the networks.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agegenderemo.detection.nms import nms, nms_min
from agegenderemo.errors import AgeGenderEmoError, CheckpointError
from agegenderemo.files import sha256
from agegenderemo.imaging.load import shrink
from agegenderemo.imaging.resize import (
    area_resize,
    area_resize_boxes,
    area_resize_table,
    summed_area,
)
from agegenderemo.resources import resource_folder
from agegenderemo.runtime import Session
from agegenderemo.types import Box, Detection, Landmarks, RGBImage

_Floats = NDArray[np.float32]

_DIGESTS = {
    "pnet": "96a162967dd48e595fe275369ea13b4b7dba83be27c75b8847a7ea69e2f6a4aa",
    "rnet": "cf36c497ca9b7b028d941fb60e835f96a8b1a836611226be1c60c62374254d60",
    "onet": "43efa1d1615d1f4c785727ebf6541e952a1507b77458575ac4124795cc5905c5",
}
"""SHA-256 of the graphs that come with the package, new ones with each ``export --mtcnn``: a
damaged one moves boxes without a word."""

_WINDOW = 12  # pixels that the first network sees at once: the smallest face
_STRIDE = 2  # of the first network's windows
_PYRAMID_FACTOR = 0.709  # from one picture of the pyramid to the next, in sides
_SCORES = (0.6, 0.7, 0.7)  # that a candidate must reach in each network
_BATCH = 512  # candidates that the second and third network see at once


class MtcnnDetector:
    """Finds faces in RGB uint8 pictures. Safe to share between threads: it holds weights only.

    A pickle holds the arguments; the graphs are loaded again from their folder.

    Args:
        min_face_size: smallest face to search for, in pixels of the searched picture, from 12; the
            cost falls roughly with its square.
        max_side: larger pictures are searched at this size, in pixels of the longer side; boxes
            and landmarks come back in pixels of the original.
        min_score: detections below this score, in [0, 1], are dropped.
        folder: where ``mtcnn-pnet.onnx``, ``mtcnn-rnet.onnx`` and ``mtcnn-onet.onnx`` are; those of
            the package unless given.

    Raises AgeGenderEmoError for an option out of its range, CheckpointError for a missing or
    damaged graph.
    """

    def __init__(
        self,
        min_face_size: int = 20,
        max_side: int = 1600,
        min_score: float = 0.9,
        folder: Path | None = None,
    ) -> None:
        _check_sizes(min_face_size, max_side)
        if not 0 <= min_score <= 1:
            raise AgeGenderEmoError(f"min_score must lie in 0 to 1, not {min_score}.")
        self.min_face_size = min_face_size
        self.max_side = max_side
        self.min_score = min_score
        self._folder = folder
        found = folder or resource_folder("checkpoints")
        self._pnet, self._rnet, self._onet = (
            _load(found / f"mtcnn-{name}.onnx", digest if folder is None else None)
            for name, digest in _DIGESTS.items()
        )

    def __reduce__(self) -> tuple[type["MtcnnDetector"], tuple[Any, ...]]:
        return type(self), (self.min_face_size, self.max_side, self.min_score, self._folder)

    def detect(
        self, image: RGBImage, *, min_face_size: int | None = None, max_side: int | None = None
    ) -> list[Detection]:
        """Faces of one picture, the largest first; empty when there is none.

        Raises AgeGenderEmoError for an option out of its range.
        """
        min_face_size = self.min_face_size if min_face_size is None else min_face_size
        max_side = self.max_side if max_side is None else max_side
        _check_sizes(min_face_size, max_side)
        height, width = image.shape[:2]
        shrunk, scale = shrink(image, max_side)
        boxes, scores, points = self._search(shrunk, min_face_size)
        faces = [
            face
            for box, score, five in zip(boxes, scores, points, strict=True)
            if (face := _detection(box, float(score), five, scale, width, height)) is not None
            and face.score >= self.min_score
        ]
        return sorted(faces, key=lambda face: face.area, reverse=True)

    def refine(self, image: RGBImage, boxes: Sequence[Box]) -> list[Detection | None]:
        """The face near each box, by MTCNN's last network alone; None where none is seen.

        Follows a face from frame to frame at a small part of the cost of a search.
        """
        found: list[Detection | None] = [None] * len(boxes)
        if not boxes:
            return found
        height, width = image.shape[:2]
        squares = _square(np.array(boxes, np.float32))
        inner = _inside(squares, width, height)
        seen = [i for i, (x1, y1, x2, y2) in enumerate(inner) if x2 - x1 > 1 and y2 - y1 > 1]
        if not seen:
            return found
        views = [area_resize(image[y1:y2, x1:x2], 48, 48) for x1, y1, x2, y2 in inner[seen]]
        shifts, points, scores = _run(self._onet, np.stack(views))
        refined = _shifted(squares[seen], shifts)
        fives = _points(squares[seen], points)
        for row, i in enumerate(seen):
            score = float(scores[row, 1])
            if score >= _SCORES[2]:
                found[i] = _detection(refined[row], score, fives[row], 1.0, width, height)
        return found

    def _search(self, image: RGBImage, min_face_size: int) -> tuple[_Floats, _Floats, _Floats]:
        """Boxes N×4, scores N and points N×5×2 of the faces of a picture."""
        height, width = image.shape[:2]
        scales = _scales(min(height, width), min_face_size)
        if not scales:
            return _nothing()
        table = summed_area(image)
        boxes = _square(self._propose(table, scales))

        boxes, crops = _cut(table, boxes, 24)
        if not len(boxes):
            return _nothing()
        shifts, pairs = _run(self._rnet, crops)
        scores = pairs[:, 1]
        passed = scores > _SCORES[1]
        boxes, scores, shifts = boxes[passed], scores[passed], shifts[passed]
        kept = nms(boxes, scores, 0.7)
        boxes = _square(_shifted(boxes[kept], shifts[kept]))

        boxes, crops = _cut(table, boxes, 48)
        if not len(boxes):
            return _nothing()
        shifts, points, pairs = _run(self._onet, crops)
        scores = pairs[:, 1]
        passed = scores > _SCORES[2]
        boxes, scores, shifts = boxes[passed], scores[passed], shifts[passed]
        fives = _points(boxes, points[passed])
        boxes = _shifted(boxes, shifts)
        kept = nms_min(boxes, scores, 0.7)
        return boxes[kept], scores[kept], fives[kept]

    def _propose(self, table: NDArray[np.uint32], scales: Sequence[float]) -> _Floats:
        """Candidates of the first network, N×4."""
        height, width = table.shape[0] - 1, table.shape[2] - 1
        found = []
        for scale in scales:
            picture = area_resize_table(table, int(height * scale + 1), int(width * scale + 1))
            shifts, pairs = self._pnet.run(_normalised(picture[None]))
            candidates = _candidates(shifts[0], pairs[0, 1], scale)
            found.append(candidates[nms(candidates[:, :4], candidates[:, 4], 0.5)])
        rows = np.concatenate(found)
        rows = rows[nms(rows[:, :4], rows[:, 4], 0.7)]
        boxes, shifts = rows[:, :4], rows[:, 5:]
        sides = boxes[:, 2:] - boxes[:, :2]
        return boxes + shifts * np.hstack((sides, sides))


def _check_sizes(min_face_size: int, max_side: int) -> None:
    for name, value in (("min_face_size", min_face_size), ("max_side", max_side)):
        if not value >= _WINDOW:  # NaN as well
            raise AgeGenderEmoError(f"{name} must be at least {_WINDOW} pixels, not {value}.")


def _load(path: Path, digest: str | None) -> Session:
    """A graph; with a digest, only that one."""
    try:
        graph = path.read_bytes()
        if digest is not None and sha256(graph) != digest:
            raise ValueError("a byte of it has changed")
        return Session(graph)
    except OSError as error:
        raise CheckpointError(
            f"The face detector's graph {path} cannot be read: {error.strerror or error}."
        ) from error
    except Exception as error:  # ONNX Runtime has an exception of its own for every reason
        raise CheckpointError(f"{path} is damaged: it is no graph of the face detector.") from error


def _nothing() -> tuple[_Floats, _Floats, _Floats]:
    return (
        np.empty((0, 4), np.float32),
        np.empty(0, np.float32),
        np.empty((0, 5, 2), np.float32),
    )


def _scales(side: int, min_face_size: int) -> list[float]:
    """Of the pyramid, for a picture whose shorter side is ``side``; none for one that is smaller
    than the smallest face."""
    scale = _WINDOW / min_face_size
    left = side * scale
    scales = []
    while left >= _WINDOW:
        scales.append(scale)
        scale *= _PYRAMID_FACTOR
        left *= _PYRAMID_FACTOR
    return scales


def _normalised(pictures: _Floats) -> _Floats:
    pictures -= np.float32(127.5)
    pictures *= np.float32(1 / 128)
    return pictures


def _run(net: Session, crops: _Floats) -> tuple[_Floats, ...]:
    """The outputs of a network for crops N×3×S×S in [0, 255]."""
    crops = _normalised(crops)
    edges = (*range(0, len(crops), _BATCH), len(crops))
    parts = [net.run(crops[low:high]) for low, high in pairwise(edges)]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _candidates(shifts: _Floats, scores: _Floats, scale: float) -> _Floats:
    """Windows of the first network that may hold a face, from its maps 4×h×w and h×w: N rows of
    the box in pixels of the picture, the score and four shifts."""
    rows, columns = np.nonzero(scores >= np.float32(_SCORES[0]))
    corner = np.stack((columns, rows), axis=1).astype(np.float32) * _STRIDE
    size = np.float32(scale)
    first = np.floor((corner + 1) / size)
    last = np.floor((corner + _WINDOW) / size)
    return np.hstack((first, last, scores[rows, columns, None], shifts[:, rows, columns].T))


def _square(boxes: _Floats) -> _Floats:
    """Boxes N×4 as squares of their longer side round the same middle."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + sides * np.float32(0.5) - longest * np.float32(0.5)
    return np.hstack((corner, corner + longest))


def _inside(boxes: _Floats, width: int, height: int) -> NDArray[np.intp]:
    """The part of each box in the picture, whole pixels N×4; outside there is nothing, or less.

    The library counts pixels from one, the last included.
    """
    whole = np.trunc(boxes).astype(np.intp)
    low = np.maximum(1, whole[:, :2]) - 1
    high = np.minimum((width, height), whole[:, 2:])
    return np.hstack((low, high))


def _cut(table: NDArray[np.uint32], boxes: _Floats, size: int) -> tuple[_Floats, _Floats]:
    """Boxes that lie in the picture, and their content N×3×size×size.

    One outside goes here, where the library keeps it and gives its neighbours wrong answers.
    """
    inner = _inside(boxes, table.shape[2] - 1, table.shape[0] - 1)
    there = (inner[:, 2:] > inner[:, :2]).all(axis=1)
    return boxes[there], area_resize_boxes(table, inner[there], size)


def _shifted(boxes: _Floats, shifts: _Floats) -> _Floats:
    """Boxes moved by what a network says, in sides of each."""
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    return boxes + shifts * np.hstack((sides, sides))


def _points(boxes: _Floats, points: _Floats) -> _Floats:
    """Landmarks N×5×2 in pixels, from the network's N×10 fractions of its boxes, x before y."""
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    fives = points.reshape(-1, 2, 5).transpose(0, 2, 1)
    placed: _Floats = fives * sides[:, None] + boxes[:, None, :2] - 1
    return placed


def _detection(
    box: _Floats, score: float, points: _Floats, scale: float, width: int, height: int
) -> Detection | None:
    """In pixels of the original, the box clipped to it; None if nothing of it is left."""
    x1, y1, x2, y2 = (float(v) / scale for v in box)
    clipped: Box = (max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2))
    if not all(math.isfinite(v) for v in (*clipped, *points.flat)):
        return None
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        return None
    landmarks: Landmarks = tuple((float(x) / scale, float(y) / scale) for x, y in points)  # type: ignore[assignment]
    return Detection(clipped, min(1.0, score), landmarks)
