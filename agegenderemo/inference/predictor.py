"""From aligned crops to what the network says of them."""

import numpy as np
from numpy.typing import NDArray

from agegenderemo.imaging.resize import resize_bilinear
from agegenderemo.inference.backends import Backend
from agegenderemo.model_info import ModelInfo
from agegenderemo.tasks import Calibration, Prediction, TaskSpec, activate, predict
from agegenderemo.types import InputSpec


def preprocess(crops: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """N×S×S×3 RGB uint8 crops to N×3×size×size normalised float32."""
    faces = crops.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (spec.mean, spec.std))
    normalised: NDArray[np.float32] = (resize_bilinear(faces, spec.size) - mean) / std
    return normalised


class Predictor:
    """A backend with its preprocessing and calibration. Safe to share between threads."""

    def __init__(self, backend: Backend, info: ModelInfo) -> None:
        self._backend = backend
        self.info = info

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """What it predicts."""
        return self.info.tasks

    @property
    def calibration(self) -> Calibration:
        """What its answers are calibrated with."""
        return self.info.calibration

    def predict(
        self, crops: NDArray[np.uint8], *, mirror: bool = True
    ) -> list[dict[str, Prediction]]:
        """What each of N aligned faces, N×S×S×3 RGB uint8, looks like, by the name of the task;
        empty in, empty out.

        With ``mirror`` the answer is the mean over the face and its mirror image: steadier, and
        twice the work.
        """
        if not len(crops):
            return []
        faces = preprocess(crops, self.info.input)
        views = [self._values(faces)]
        if mirror:
            views.append(self._values(np.ascontiguousarray(faces[..., ::-1])))
        means = {name: np.mean([view[name] for view in views], axis=0) for name in views[0]}
        return [self._predictions(means, face) for face in range(len(crops))]

    def _values(self, faces: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Activated outputs for N normalised faces: averaged as they are shown, not as logits."""
        raw = self._backend(faces)
        return {spec.name: activate(spec, raw[spec.name]) for spec in self.info.tasks}

    def _predictions(
        self, values: dict[str, NDArray[np.float64]], face: int
    ) -> dict[str, Prediction]:
        calibration = self.info.calibration
        return {
            spec.name: predict(spec, values[spec.name][face], calibration.get(spec.name))
            for spec in self.info.tasks
        }
