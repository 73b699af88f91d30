"""Age, gender and emotion of every face in a picture, from one multi-task network.

>>> from agegenderemo import Analyzer
>>> faces = Analyzer.from_checkpoint().analyze("photo.jpg")

Images are RGB uint8 H×W×3, boxes (x1, y1, x2, y2) in pixels of the original picture, ages in
years, probabilities in [0, 1], everywhere.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Analyzer", "Face", "__version__"]

if TYPE_CHECKING:
    from agegenderemo.analyzer import Analyzer
    from agegenderemo.records import Face


def __getattr__(name: str) -> Any:
    # Lazy, so that reading a data set or printing --help does not import torch.
    if name == "Analyzer":
        from agegenderemo.analyzer import Analyzer

        return Analyzer
    if name == "Face":
        from agegenderemo.records import Face

        return Face
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
