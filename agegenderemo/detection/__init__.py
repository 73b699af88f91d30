"""Finding faces: `MtcnnDetector` implements `agegenderemo.types.Detector`."""

from agegenderemo.detection.mtcnn import MtcnnDetector

__all__ = ["MtcnnDetector"]
