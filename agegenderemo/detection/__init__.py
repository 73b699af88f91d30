"""Finding faces: `MtcnnDetector` implements `agegenderemo.types.Detector`; `find_faces` looks again
where one search misses or misreads them."""

from agegenderemo.detection.mtcnn import MtcnnDetector
from agegenderemo.detection.rescue import Found, Search, find_faces

__all__ = ["Found", "MtcnnDetector", "Search", "find_faces"]
