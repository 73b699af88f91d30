"""The whole path from a picture to its faces in one object."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from agegenderemo.detection import Found, MtcnnDetector, Search, find_faces
from agegenderemo.errors import CheckpointError
from agegenderemo.files import sha256
from agegenderemo.imaging.geometry import align
from agegenderemo.imaging.load import ImageLike, load_image
from agegenderemo.imaging.quality import measure_quality, quality_flags
from agegenderemo.inference.backends import Backend, OnnxBackend
from agegenderemo.inference.graph import read_graph
from agegenderemo.inference.predictor import Predictor
from agegenderemo.inference.torch_backend import TorchBackend
from agegenderemo.inference.tracker import FaceTracker
from agegenderemo.model_info import ModelInfo, Precision
from agegenderemo.report import load_card
from agegenderemo.resources import find_checkpoint
from agegenderemo.tasks import BinaryPrediction, Prediction, TaskSpec
from agegenderemo.types import CROP_SIZE, Detection, Detector, Face, RGBImage

Engine = Literal["onnx", "torch"]

_SURE_SCORE, _SURE_ANSWER = 0.99, 0.7  # below both, it is perhaps no face
_BATCH = 64  # faces at once: bounds the memory of a crowd


class Origin(NamedTuple):
    """What an analyzer was opened from. It can be sent to another process, or with another engine
    in place of its own."""

    path: Path
    digest: str
    engine: Engine
    device: str
    precision: Precision

    def open(self) -> "Analyzer":
        """What was sent; raises CheckpointError where the file is another one by now."""
        analyzer = Analyzer.from_checkpoint(
            self.path, engine=self.engine, device=self.device, precision=self.precision
        )
        if analyzer.network["weights_sha256"] != self.digest:
            raise CheckpointError(
                f"{self.path} has changed since the analyzer that was sent here was built; build "
                "it again."
            )
        return analyzer


class Analyzer:
    """Finds, aligns and reads faces. Holds no state of a session; share it between threads.

    One that was made by `from_checkpoint` can be sent to another process: it goes as the path, the
    digest and the options, and is opened there anew.
    """

    def __init__(
        self, detector: Detector, predictor: Predictor, card: Mapping[str, Any] | None = None
    ) -> None:
        self.detector = detector
        self.predictor = predictor
        self.card: Mapping[str, Any] = card or {}
        """What the checkpoint is and what was measured of it, for people."""
        self.network: Mapping[str, str] = {}
        """Name of the network, SHA-256 of its weights and precision, as results name them."""
        self.origin: Origin | None = None
        """What it was opened from; None where it was built of own parts."""

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path | None = None,
        *,
        engine: Engine = "onnx",
        device: str = "cpu",
        precision: Precision = "float",
    ) -> "Analyzer":
        """Build from a safetensors file, the name of a network that comes with the package, or one
        of the Hugging Face Hub, ``"hf://USER/REPO"`` or ``"hf://USER/REPO@REVISION"``; by default
        the one that is shipped.

        ``engine`` reads the faces: ONNX Runtime, or PyTorch, which alone knows other devices than
        ``"cpu"``. ``precision`` is what it computes convolutions in; int8 has a graph of its own
        beside the checkpoint.
        Raises CheckpointError when the checkpoint is missing or damaged, MissingExtraError where
        PyTorch or the Hub is wanted and its package not installed, ValueError for an unknown engine
        or precision, or a device or a precision that the engine does not know.
        """
        file = find_checkpoint(path).absolute()
        if engine not in get_args(Engine):
            raise ValueError(f"The engine must be {' or '.join(get_args(Engine))}, not {engine!r}.")
        if precision not in get_args(Precision):
            raise ValueError(
                f"The precision must be {' or '.join(get_args(Precision))}, not {precision!r}."
            )
        if engine == "torch" and precision != "float":
            raise ValueError(f"The precision {precision!r} needs the onnx engine.")
        if engine == "onnx" and device != "cpu":
            raise ValueError(f"The device {device!r} needs the torch engine.")
        backend, info, digest = (
            _open_onnx(file, precision) if engine == "onnx" else _open_torch(file, device)
        )
        analyzer = cls(MtcnnDetector(), Predictor(backend, info), card_of(file, info, digest))
        analyzer.network = {
            "model": file.stem,
            "precision": precision,
            "weights_sha256": digest,
        }
        analyzer.origin = Origin(file, digest, engine, device, precision)
        return analyzer

    @property
    def info(self) -> ModelInfo:
        """The record of the network."""
        return self.predictor.info

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """What the network says of a face, in the order of its predictions."""
        return self.info.tasks

    def analyze(self, image: ImageLike, *, search: Search = "auto") -> list[Face]:
        """Every face of a photo, the largest first; empty when none is found.

        ``image`` is a path, the bytes of a file, a PIL image or an RGB uint8 H×W×3 array.
        ``search`` says whether to look again for faces that are turned, small or in the dark:
        where none was found (``"auto"``), always (``"thorough"``) or never (``"plain"``).
        Raises ImageError with one sentence for people when it cannot be read.
        """
        picture = load_image(image)
        return self.read_faces(picture, self.find(picture, search).detections)

    def find(self, picture: RGBImage, search: Search = "auto") -> Found:
        """Where the faces of a picture are, and how it was searched in the end; `read_faces` reads
        them."""
        return find_faces(self.detector, picture, search)

    def read_faces(self, picture: RGBImage, found: Sequence[Detection]) -> list[Face]:
        """What the network says of faces that were found in a picture, in their order."""
        faces: list[Face] = []
        for start in range(0, len(found), _BATCH):
            batch = found[start : start + _BATCH]
            crops = self.crops(picture, batch)
            predictions = self.read(crops, mirror=True)
            flags = self.quality_flags(picture, batch, crops)
            faces += map(_face, batch, predictions, flags)
        return faces

    def tracker(self, **thresholds: float) -> FaceTracker:
        """A `FaceTracker` for one video; thresholds are those of `inference.tracks.Thresholds`."""
        return FaceTracker(self, **thresholds)

    def crops(self, picture: RGBImage, detections: Sequence[Detection]) -> list[RGBImage]:
        """The aligned crop of each face, RGB uint8 squares of `CROP_SIZE` pixels."""
        template = self.info.input.template
        return [align(picture, d.landmarks, CROP_SIZE, template) for d in detections]

    def read(self, crops: Sequence[RGBImage], *, mirror: bool) -> list[dict[str, Prediction]]:
        """What the network says of each aligned crop; see `Predictor.predict`."""
        return self.predictor.predict(np.stack(crops), mirror=mirror) if len(crops) else []

    def quality_flags(
        self, picture: RGBImage, detections: Sequence[Detection], crops: Sequence[RGBImage]
    ) -> list[tuple[str, ...]]:
        """Reasons to distrust the answer for each face of a picture, given its crops."""
        height, width = picture.shape[:2]
        template = self.info.input.template
        return [
            quality_flags(measure_quality(crop, d.landmarks, width, height, template))
            for crop, d in zip(crops, detections, strict=True)
        ]

    def __reduce__(self) -> tuple[Any, ...]:
        if self.origin is None:
            raise TypeError("only an Analyzer from a checkpoint can be sent to another process")
        return Origin.open, (self.origin,)


def _open_onnx(file: Path, precision: Precision) -> tuple[Backend, ModelInfo, str]:
    info, graph, weights, digest = read_graph(file, precision)
    return OnnxBackend(graph, info, weights), info, digest


def _open_torch(file: Path, device: str) -> tuple[Backend, ModelInfo, str]:
    backend = TorchBackend(file, device)
    return backend, backend.info, sha256(file.read_bytes())


def card_of(file: Path, info: ModelInfo, digest: str) -> dict[str, Any]:
    """What a checkpoint of these weights is and what was measured of it, for people."""
    return {
        "name": file.stem,
        "model": info.model,
        "parameters": info.parameters,
        "size": info.input.size,
        "recipe": info.recipe,
        "figures": load_card(file, digest),
        "provenance": info.provenance,
        "tasks": info.tasks,
    }


def _face(found: Detection, predictions: Mapping[str, Prediction], flags: tuple[str, ...]) -> Face:
    doubt = ("perhaps no face",) if perhaps_no_face(found, predictions) else ()
    return Face(found, predictions, (*flags, *doubt))


def perhaps_no_face(found: Detection, predictions: Mapping[str, Prediction]) -> bool:
    """Whether the detector is less sure than it is of most faces, and the network cannot tell
    between two classes either: of lions, dolls and patterns, and seldom of people
    (docs/detection.md has the shares)."""
    sure = [one.probability for one in predictions.values() if isinstance(one, BinaryPrediction)]
    return found.score < _SURE_SCORE and bool(sure) and max(sure) < _SURE_ANSWER
