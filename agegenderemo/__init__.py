"""What one multi-task network says of every face in a picture.

>>> from agegenderemo import Analyzer
>>> analyzer = Analyzer.from_checkpoint()
>>> [round(face.age) in range(25, 45) for face in analyzer.analyze("examples/astronaut.jpg")]
[True]
>>> [spec.name for spec in analyzer.tasks][0]
'age'

Images are RGB uint8 H×W×3, boxes (x1, y1, x2, y2) in pixels of the original picture, values in the
unit of their task, probabilities in [0, 1], everywhere.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = [
    "AgeGenderEmoError",
    "Analyzer",
    "Detection",
    "Face",
    "FaceTracker",
    "TaskSpec",
    "__version__",
    "json_schema",
    "load_image",
]

if TYPE_CHECKING:
    from agegenderemo.errors import AgeGenderEmoError
    from agegenderemo.imaging.load import load_image
    from agegenderemo.inference.analyzer import Analyzer
    from agegenderemo.inference.tracker import FaceTracker
    from agegenderemo.results import json_schema
    from agegenderemo.tasks import TaskSpec
    from agegenderemo.types import Detection, Face

_HOMES = {
    "AgeGenderEmoError": "errors",
    "Analyzer": "inference.analyzer",
    "Detection": "types",
    "Face": "types",
    "FaceTracker": "inference.tracker",
    "TaskSpec": "tasks",
    "json_schema": "results",
    "load_image": "imaging.load",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that printing --help imports neither NumPy nor ONNX Runtime.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
