"""MTCNN (Zhang et al. 2016) of facenet-pytorch behind one class that returns typed detections."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import bbreg, detect_face, imresample, pad, rerec
from numpy.typing import NDArray

from agegenderemo.images import RGBImage, shrink
from agegenderemo.records import Box, Detection, Landmarks
from agegenderemo.runtime import OnnxModule, to_graph

_PYRAMID_FACTOR = 0.709
_LAST_THRESHOLD = 0.7  # of the last network, as the library has it
_SMALLEST_FACE = 12  # pixels: the window of the first network


class FaceDetector:
    """Finds faces in RGB uint8 pictures. Safe to share between threads: it holds weights only.

    Args:
        min_face_size: smallest face to search for, in pixels of the searched picture; the cost
            falls roughly with its square.
        max_side: larger pictures are searched at this size, in pixels of the longer side; boxes
            and landmarks come back in pixels of the original.
        min_score: detections below this score, in [0, 1], are dropped.
        engine: what runs its networks on the CPU; other devices are PyTorch's alone.
    """

    def __init__(
        self,
        min_face_size: int = 20,
        max_side: int = 1600,
        min_score: float = 0.9,
        device: str | torch.device = "cpu",
        engine: Literal["onnx", "torch"] = "onnx",
    ) -> None:
        if min_face_size < _SMALLEST_FACE:
            raise ValueError(f"min_face_size must be at least {_SMALLEST_FACE}: {min_face_size}")
        self.min_face_size = min_face_size
        self.max_side = max_side
        self.min_score = min_score
        self._device = torch.device(device)
        nets = MTCNN(keep_all=True, device=self._device).eval()
        self._thresholds = nets.thresholds
        self._pnet, self._rnet, self._onet = nets.pnet, nets.rnet, nets.onet
        if engine == "onnx" and self._device.type == "cpu":
            # The first network sees pictures of any size, the others squares of their own.
            self._pnet = _compiled(nets.pnet, 24, ("boxes", "scores"), (0, 2, 3))
            self._rnet = _compiled(nets.rnet, 24, ("boxes", "scores"))
            self._onet = _compiled(nets.onet, 48, ("boxes", "points", "scores"))

    def detect(
        self, image: RGBImage, *, min_face_size: int | None = None, max_side: int | None = None
    ) -> list[Detection]:
        """Faces of one picture, the largest first; empty when there is none."""
        height, width = image.shape[:2]
        shrunk, scale = shrink(image, max_side or self.max_side)
        rows, points = self._search(shrunk, min_face_size or self.min_face_size)
        faces = [
            face
            for row, five in zip(rows, points, strict=True)
            if (face := _detection(row, five, scale, width, height)) is not None
            and face.score >= self.min_score
        ]
        return sorted(faces, key=lambda face: face.area, reverse=True)

    def refine(self, image: RGBImage, boxes: Sequence[Box]) -> list[Detection | None]:
        """The face near each box, by MTCNN's last stage alone; None where none is seen.

        Follows a face from frame to frame at a small part of the cost of a search.
        """
        if not boxes:
            return []
        height, width = image.shape[:2]
        squares = rerec(torch.tensor(boxes, dtype=torch.float32))
        tops, bottoms, lefts, rights = pad(squares, width, height)
        found: list[Detection | None] = [None] * len(boxes)
        inside = [i for i in range(len(boxes)) if bottoms[i] > tops[i] and rights[i] > lefts[i]]
        if not inside:
            return found
        views = []
        for i in inside:
            view = image[tops[i] - 1 : bottoms[i], lefts[i] - 1 : rights[i]].astype(np.float32)
            views.append(imresample(torch.from_numpy(view).permute(2, 0, 1)[None], (48, 48)))
        with torch.inference_mode():
            out = self._onet(((torch.cat(views) - 127.5) / 128).to(self._device))
        shifts, points, scores = (part.cpu() for part in out)
        refined = bbreg(squares[inside].clone(), shifts).numpy()
        for row, i in enumerate(inside):
            score = float(scores[row, 1])
            if score < _LAST_THRESHOLD:
                continue
            corner = squares[i, :2].numpy()
            size = (squares[i, 2:] - squares[i, :2]).numpy() + 1
            five = points[row].numpy().reshape(2, 5).T * size + corner - 1
            found[i] = _detection(np.append(refined[row], score), five, 1.0, width, height)
        return found

    def _search(
        self, image: NDArray[np.uint8], min_face_size: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Rows of x1, y1, x2, y2, score, and 5×2 points of each."""
        # The library fails on an empty image pyramid: pictures smaller than the smallest face.
        if min(image.shape[:2]) < min_face_size:
            return np.empty((0, 5), np.float32), np.empty((0, 5, 2), np.float32)
        # The function under MTCNN.detect: it takes the face size as an argument instead of from
        # shared state, and keeps a box, its score and its points in one order. One picture a call:
        # in a batch it breaks ties between boxes of a face differently, and the points differ too.
        with torch.inference_mode():
            boxes, points = detect_face(
                image[None],
                min_face_size,
                self._pnet,
                self._rnet,
                self._onet,
                self._thresholds,
                _PYRAMID_FACTOR,
                self._device,
            )
        return (
            np.asarray(boxes[0], np.float32).reshape(-1, 5),
            np.asarray(points[0], np.float32).reshape(-1, 5, 2),
        )


def _compiled(
    net: torch.nn.Module, side: int, outputs: Sequence[str], free: Sequence[int] = (0,)
) -> OnnxModule:
    return OnnxModule(to_graph(net, torch.zeros(2, 3, side, side), outputs, free))


def _detection(
    row: NDArray[np.float32], points: NDArray[np.float32], scale: float, width: int, height: int
) -> Detection | None:
    """One row in pixels of the original, its box clipped; None if nothing of it is left."""
    x1, y1, x2, y2 = (float(v) / scale for v in row[:4])
    box: Box = (max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2))
    if not all(math.isfinite(v) for v in (*box, *points.flat)):
        return None
    if box[0] >= box[2] or box[1] >= box[3]:
        return None
    landmarks: Landmarks = tuple((float(x) / scale, float(y) / scale) for x, y in points)  # type: ignore[assignment]
    return Detection(box, min(1.0, float(row[4])), landmarks)


def main_face(faces: Sequence[Detection], width: int, height: int) -> Detection:
    """The face that a picture of width × height pixels is of: large, and near the middle.

    Raises ValueError for none.
    """

    def weight(face: Detection) -> float:
        x1, y1, x2, y2 = face.box
        off = max(abs((x1 + x2) / width - 1), abs((y1 + y2) / height - 1))
        return face.area * (1 - min(1.0, off))

    return max(faces, key=weight)
