"""The faces of a video, frame by frame, each with the number of its person."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agegenderemo.detection.rescue import brightened, face_back, surely
from agegenderemo.imaging.geometry import iou
from agegenderemo.imaging.load import load_image
from agegenderemo.imaging.turn import TurnedPicture
from agegenderemo.inference.tracks import Observation, Thresholds, Tracks, appearance_embedding
from agegenderemo.types import Detection, RGBImage, TrackedFace

if TYPE_CHECKING:
    from agegenderemo.inference.analyzer import Analyzer


_VIEWS = ((0, True), (90, False), (270, False), (45, False), (315, False), (180, False))
"""Degrees and whether brightened: how frames are searched in turn where no face is seen."""
_AS_IT_IS = (0, False)


class FaceTracker:
    """Follows the faces of one stream. It keeps whom it has seen, so it is one stream's own, and
    its frames come one after the other; the analyzer may be shared.

    Known faces are followed; the whole frame is searched, on a small copy, only from time to time
    and when a face is lost; and the network reads each face some times a second, in turns when
    there are many.

    Args:
        analyzer: finds and reads the faces.
        thresholds: any field of `Thresholds`, by name, in place of its default.

    >>> from agegenderemo import Analyzer, FaceTracker, load_image
    >>> tracker = FaceTracker(Analyzer.from_checkpoint(), search_every=0.25)
    >>> frame = load_image("examples/astronaut.jpg")
    >>> [tracked.track_id for tracked in tracker.update(frame, time=0.0)]
    [1]
    """

    def __init__(self, analyzer: "Analyzer", **thresholds: float) -> None:
        self.analyzer = analyzer
        self.thresholds = Thresholds(**thresholds)
        self._tracks = Tracks(analyzer.info, self.thresholds)
        self._searched = -math.inf
        self._faced = math.inf  # when a face was last seen, or the first frame came
        self._view = _AS_IT_IS  # of the frames in which faces are seen
        self._tries = 0  # searches since none is seen
        self._size: tuple[int, ...] = ()  # of the last frame: places are pixels of it

    @property
    def last_seen(self) -> float:
        """When a frame was last searched or held a face, in seconds of the caller's clock; minus
        infinity before the first."""
        return max([self._searched, *(p.seen for p in self._tracks.people)])

    def update(
        self,
        frame: RGBImage,
        time: float,
        *,
        cut: bool = False,
        search_every: float | None = None,
    ) -> list[TrackedFace]:
        """The faces of the next frame, RGB uint8 H×W×3, with settled predictions.

        ``time`` is in seconds of a clock that only goes forward; ``cut`` says that this frame
        begins another shot, so that nobody is where they were, as where frames have another size
        than before; ``search_every`` stands in for the threshold, as where many streams share the
        cores. Raises ImageError for an array of another kind, ValueError for a time that is not
        finite.
        """
        if not math.isfinite(time):
            raise ValueError(f"time must be a finite number of seconds, not {time}")
        frame = load_image(frame)
        cut = cut or frame.shape != (self._size or frame.shape)
        self._size = frame.shape
        if cut:
            self._tracks.cut()
            self._searched = -math.inf
        every = self.thresholds.search_every if search_every is None else search_every
        detections = self._find(frame, time, every)
        self._faced = time if detections else min(self._faced, time)
        crops = self.analyzer.crops(frame, detections)
        embeddings = [appearance_embedding(crop) for crop in crops]
        flags = self.analyzer.quality_flags(frame, detections, crops)
        chosen = self._tracks.due([d.box for d in detections], embeddings, time)
        read = self.analyzer.read([crops[i] for i in chosen], mirror=False)
        predictions = dict(zip(chosen, read, strict=True))
        faces = [
            Observation(detection, embeddings[i], flags[i], predictions.get(i))
            for i, detection in enumerate(detections)
        ]
        return self._tracks.update(faces, time)

    def _find(self, frame: RGBImage, time: float, search_every: float) -> list[Detection]:
        limits, detector = self.thresholds, self.analyzer.detector
        if time - self._faced > limits.blind_after:
            self._view = self._next_view()
        else:
            self._tries = 0
        turn, bright = self._view
        seen = TurnedPicture.of(brightened(frame) if bright else frame, turn)
        expected = [seen.box_of(box) for box in self._tracks.expected(time)]
        followed = detector.refine(seen.image, expected)
        detections = self._distinct([d for d in followed if d is not None])
        lost = len(detections) < max(1, len(followed))
        wait = limits.search_lost_every if lost else search_every
        if time - self._searched >= wait:
            found = self._search(seen.image)
            if self._view != _AS_IT_IS:
                found = surely(detector, seen.image, found)
                upright = self._search(frame) if found else []
                # Someone sat up, or switched on the light.
                if _best(upright) > 0 and _best(upright) >= _best(found):
                    self._view, seen = _AS_IT_IS, TurnedPicture.of(frame, 0)
                    detections, found = [], upright
            # Followed ones first: their landmarks come from the sharper picture.
            detections = self._distinct([*detections, *found])
            self._searched = time
        if seen.degrees:
            back = (face_back(seen, d) for d in detections)
            detections = [d for d in back if d is not None]
        return detections[: int(limits.max_faces)]

    def _search(self, picture: RGBImage) -> list[Detection]:
        limits = self.thresholds
        return self.analyzer.detector.detect(
            picture, min_face_size=int(limits.min_face_size), max_side=int(limits.search_side)
        )

    def _next_view(self) -> tuple[int, bool]:
        """Every second search is of the frame as it is: there newcomers are."""
        self._tries += 1
        return _VIEWS[self._tries // 2 % len(_VIEWS)] if self._tries % 2 else _AS_IT_IS

    def _distinct(self, detections: Sequence[Detection]) -> list[Detection]:
        """Without those that cover an earlier one."""
        kept: list[Detection] = []
        for face in detections:
            if all(iou(face.box, other.box) < self.thresholds.same_face for other in kept):
                kept.append(face)
        return kept


def _best(faces: Sequence[Detection]) -> float:
    return max((face.score for face in faces), default=0.0)
