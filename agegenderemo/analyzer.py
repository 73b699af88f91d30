"""The whole path from a picture to its faces in one object."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from agegenderemo.checkpoint import DEFAULT_CHECKPOINT, load_card, load_checkpoint, parameter_count
from agegenderemo.dataset import CROP_SIZE
from agegenderemo.detection.align import align
from agegenderemo.detection.mtcnn import FaceDetector
from agegenderemo.detection.quality import doubts, measure_quality
from agegenderemo.export import onnx_engine
from agegenderemo.images import ImageLike, RGBImage, iou, load_image
from agegenderemo.predictor import Predictor
from agegenderemo.records import Attributes, Detection, Face
from agegenderemo.tracking import Glimpse, Tracks, due, follow, look_of

_BATCH = 64  # faces at once: bounds the memory of a crowd
_LIVE_SIDE = 320  # pixels: the copy of a frame that is searched
_LIVE_MIN_FACE = 30  # pixels of that copy
_LIVE_FACES = 8  # of a frame are read
_SEARCH_EVERY = 0.5  # seconds
_SAME = 0.3  # overlap of two boxes of one face


class Analyzer:
    """Finds, aligns and reads faces. Holds no state of a session; share it between threads."""

    def __init__(
        self, detector: FaceDetector, predictor: Predictor, card: dict[str, Any] | None = None
    ) -> None:
        self._detector = detector
        self.predictor = predictor
        self.card = card or {}
        """What the checkpoint is and what was measured of it, for people."""

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path | None = None,
        *,
        device: str | torch.device = "cpu",
        engine: Literal["onnx", "torch"] = "onnx",
    ) -> "Analyzer":
        """Build from a checkpoint, by default the one that the repository ships.

        ``engine`` finds and reads the faces: ONNX Runtime, or PyTorch, which alone knows other
        devices.
        Raises CheckpointError when the checkpoint is missing or damaged, and ParityError when the
        engines disagree.
        """
        file = DEFAULT_CHECKPOINT if path is None else Path(path)
        checkpoint = load_checkpoint(file)
        card = {
            "name": file.stem,
            "model": checkpoint.name,
            "parameters": parameter_count(checkpoint.model),
            "size": checkpoint.input.size,
            "recipe": checkpoint.recipe,
            "figures": load_card(file),
        }
        model = checkpoint.model.to(device)
        on_cpu = torch.device(device).type == "cpu"
        reader = onnx_engine(model, checkpoint.input) if engine == "onnx" and on_cpu else None
        predictor = Predictor(model, checkpoint.input, checkpoint.calibration, reader)
        return cls(FaceDetector(device=device, engine=engine), predictor, card)

    def analyze(self, image: ImageLike) -> list[Face]:
        """Every face of a photo, the largest first; empty when none is found.

        ``image`` is a path, the bytes of a file, a PIL image or an RGB uint8 H×W×3 array.
        Raises ImageError with one sentence for people when it cannot be read.
        """
        picture = load_image(image)
        found = self._detector.detect(picture)
        faces: list[Face] = []
        for start in range(0, len(found), _BATCH):
            batch = found[start : start + _BATCH]
            crops = self._crops(picture, batch)
            answers = self._read(crops, mirror=True)
            faces += map(Face, batch, answers, self._doubts(picture, batch, crops))
        return faces

    def follow(
        self, frame: RGBImage, tracks: Tracks, now: float
    ) -> tuple[Tracks, list[tuple[int, Face]]]:
        """The faces of the next video frame, RGB uint8 H×W×3, each with the number of its person.

        ``tracks`` is the state of the stream, `Tracks()` at first, and comes back renewed; ``now``
        is in seconds of a clock that only goes forward. Known faces are followed; the whole frame
        is searched, on a small copy, only from time to time and when a face is lost; and the
        network reads each face some times a second, in turns when there are many.
        """
        # One thread a request is steadier than two when several viewers share two cores. A thread
        # keeps the number that it was given; those started later inherit it.
        torch.set_num_threads(1)
        followed = self._detector.refine(frame, tracks.expected(now))
        detections = _distinct([d for d in followed if d is not None])
        if len(detections) < max(1, len(followed)) or now - tracks.searched >= _SEARCH_EVERY:
            found = self._detector.detect(frame, min_face_size=_LIVE_MIN_FACE, max_side=_LIVE_SIDE)
            # Followed ones first: their landmarks come from the sharper picture.
            detections = _distinct([*detections, *found])
            tracks = replace(tracks, searched=now)
        detections = detections[:_LIVE_FACES]
        crops = self._crops(frame, detections)
        looks = [look_of(crop) for crop in crops]
        reasons = self._doubts(frame, detections, crops)
        chosen = due(tracks, [d.box for d in detections], looks, now)
        answers = dict(
            zip(chosen, self._read([crops[i] for i in chosen], mirror=False), strict=True)
        )
        faces = [
            Face(detection, answers[i], why) if i in answers else Glimpse(detection, why)
            for i, (detection, why) in enumerate(zip(detections, reasons, strict=True))
        ]
        return follow(tracks, faces, looks, now, self.predictor.calibration)

    def _crops(self, picture: RGBImage, detections: list[Detection]) -> list[RGBImage]:
        framing = self.predictor.input.framing
        return [align(picture, d.landmarks, CROP_SIZE, framing) for d in detections]

    def _read(self, crops: list[RGBImage], *, mirror: bool) -> list[Attributes]:
        if not crops:
            return []
        return self.predictor.predict(torch.from_numpy(np.stack(crops)), mirror=mirror)

    def _doubts(
        self, picture: RGBImage, detections: list[Detection], crops: list[RGBImage]
    ) -> list[tuple[str, ...]]:
        height, width = picture.shape[:2]
        framing = self.predictor.input.framing
        return [
            doubts(measure_quality(crop, detection.landmarks, width, height, framing))
            for crop, detection in zip(crops, detections, strict=True)
        ]


def _distinct(detections: Sequence[Detection]) -> list[Detection]:
    """Without those that cover an earlier one."""
    kept: list[Detection] = []
    for face in detections:
        if all(iou(face.box, other.box) < _SAME for other in kept):
            kept.append(face)
    return kept
