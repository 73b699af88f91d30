"""The whole path from a picture to its faces in one object."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from agegenderemo.checkpoint import DEFAULT_CHECKPOINT, load_card, load_checkpoint, parameter_count
from agegenderemo.dataset import CROP_SIZE
from agegenderemo.detection.align import align
from agegenderemo.detection.mtcnn import FaceDetector
from agegenderemo.detection.quality import doubts, measure_quality
from agegenderemo.images import ImageLike, RGBImage, load_image
from agegenderemo.predictor import Predictor
from agegenderemo.records import Detection, Face

_BATCH = 64  # faces at once: bounds the memory of a crowd
_LIVE_SIDE = 320  # pixels: the copy of a frame that is searched
_LIVE_MIN_FACE = 30  # pixels of that copy


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
        cls, path: str | Path | None = None, *, device: str | torch.device = "cpu"
    ) -> "Analyzer":
        """Build from a checkpoint, by default the one that the repository ships.

        Raises CheckpointError when it is missing or damaged.
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
        predictor = Predictor(checkpoint.model.to(device), checkpoint.input, checkpoint.calibration)
        return cls(FaceDetector(device=device), predictor, card)

    def analyze(self, image: ImageLike) -> list[Face]:
        """Every face of a photo, the largest first; empty when none is found.

        ``image`` is a path, the bytes of a file, a PIL image or an RGB uint8 H×W×3 array.
        Raises ImageError with one sentence for people when it cannot be read.
        """
        picture = load_image(image)
        return self._read(picture, self._detector.detect(picture), mirror=True)

    def analyze_frame(self, frame: RGBImage) -> list[Face]:
        """Every face of a video frame, RGB uint8 H×W×3, searched on a small copy to be fast."""
        # One thread a request is steadier than two when several viewers share two cores. A thread
        # keeps the number that it was given; those started later inherit it.
        torch.set_num_threads(1)
        faces = self._detector.detect(frame, min_face_size=_LIVE_MIN_FACE, max_side=_LIVE_SIDE)
        return self._read(frame, faces, mirror=False)

    def _read(self, picture: RGBImage, detections: list[Detection], *, mirror: bool) -> list[Face]:
        faces = []
        height, width = picture.shape[:2]
        framing = self.predictor.input.framing
        for start in range(0, len(detections), _BATCH):
            batch = detections[start : start + _BATCH]
            crops = np.stack([align(picture, d.landmarks, CROP_SIZE, framing) for d in batch])
            answers = self.predictor.predict(torch.from_numpy(crops), mirror=mirror)
            for crop, detection, attributes in zip(crops, batch, answers, strict=True):
                quality = measure_quality(crop, detection.landmarks, width, height, framing)
                faces.append(Face(detection, attributes, doubts(quality)))
        return faces
