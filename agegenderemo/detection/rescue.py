"""Faces that one search of a picture misses or misreads: turned, in the dark, or small.

The detector was taught upright faces in fair light. It sees one that lies on its side hardly ever,
and one on its head with the eyes where the mouth is. `find_faces` looks again where that pays.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from PIL import Image, ImageOps

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.imaging.geometry import iou
from agegenderemo.imaging.load import shrink
from agegenderemo.imaging.turn import TurnedPicture
from agegenderemo.types import Box, Detection, Detector, Landmarks, RGBImage

Search = Literal["auto", "thorough", "plain"]
"""How hard to look: again only where nothing was found, always, or never."""

_QUARTERS = (90, 180, 270)
_EIGHTHS = tuple(range(45, 360, 45))
_SURE = 0.9999  # an upright face that the search is so sure of was never one that lies
_BETTER = 3.0  # times less doubt that another way up must leave
_SAME = 0.3  # overlap of two boxes of one face
_LEAST_DOUBT = 1e-6  # what a float32 score can tell from one
_MIN_SURE = 0.985  # of a face that only a second search finds; see benchmarks/detection.py
_RESCUE_SIDE = 1024  # pixels of the longer side of copies that are searched again
_TILE_SIDE = 1600
_TILE_PIXELS = 24_000_000  # larger pictures are cut into tiles at this size
_TILE_OVERLAP = 160
_TILE_MIN_FACE = 28
_DARK = 2.0  # times that brightening must stretch a picture for the turns to be searched too
_OFF_SIZE = 24  # smallest face that puts the pyramid between the sizes of a plain search
_PADDING = 0.25  # of the shorter side: a face that fills its picture has room then


class Found(NamedTuple):
    """The faces of a picture, the largest first, and how it was searched in the end."""

    detections: list[Detection]
    search: Literal["plain", "thorough"]


def find_faces(detector: Detector, image: RGBImage, search: Search = "auto") -> Found:
    """Every face of a picture, with landmarks in the order of the upright face.

    ``"auto"`` searches thoroughly only where a plain search finds nothing. Faces that lie or stand
    on their head are told by the detector's own score, whatever the search.
    Raises AgeGenderEmoError for an unknown search.
    """
    if search not in get_args(Search):
        raise AgeGenderEmoError(f"search must be {', '.join(get_args(Search))}, not {search!r}.")
    faces = right_way_up(detector, image, detector.detect(image))
    if search == "plain" or (faces and search == "auto"):
        return Found(faces, "plain")
    known = [face.box for face in faces]
    more = [
        face
        for face in _rescued(detector, image)
        if all(iou(face.box, box) < _SAME for box in known)
    ]
    return Found(_largest_first([*faces, *more]) if more else faces, "thorough")


def right_way_up(
    detector: Detector, image: RGBImage, faces: Sequence[Detection]
) -> list[Detection]:
    """Faces that were found in a picture, those that are not upright found anew, upright.

    A face is misread when the detector is clearly surer of it another way up. Then the whole
    picture is searched that way up: a portrait on its head gives what it gives upright, and its
    neighbours are found as well.
    """
    turns = {i: _turn_of(detector, image, f) for i, f in enumerate(faces) if f.score < _SURE}
    if not any(turns.values()):
        return list(faces)
    upright = [face for i, face in enumerate(faces) if not turns.get(i)]
    for turn in sorted(set(turns.values()) - {0}):
        copy = TurnedPicture.of(image, turn)
        misread = [faces[i] for i, other in turns.items() if other == turn]
        again = (face_back(copy, face) for face in detector.detect(copy.image))
        found = [face for face in again if face is not None]
        for face in misread:
            if not any(iou(face.box, other.box) >= _SAME for other in found):
                (near,) = detector.refine(copy.image, [copy.box_of(face.box)])
                found.append((near and face_back(copy, near)) or face)
        for face in found:
            upright = _merged(upright, face)
    return _largest_first(upright)


def _merged(faces: list[Detection], new: Detection) -> list[Detection]:
    """With a face, unless it is one of them and not clearly better seen."""
    same = [face for face in faces if iou(face.box, new.box) >= _SAME]
    if any(_doubt(new) * _BETTER > _doubt(face) for face in same):
        return faces
    return [*(face for face in faces if face not in same), new]


def _turn_of(detector: Detector, image: RGBImage, face: Detection) -> int:
    """Degrees anticlockwise, by quarters, that bring a face upright."""
    part, box = _surroundings(image, face.box)
    best, doubt = 0, _doubt(face)
    for turn in (0, *_QUARTERS):
        copy = TurnedPicture.of(part, turn)
        (seen,) = detector.refine(copy.image, [copy.box_of(box)])
        if seen is None:
            continue
        if turn == 0:
            doubt = min(doubt, _doubt(seen))
        elif _doubt(seen) * (_BETTER if best == 0 else 1) < doubt:
            best, doubt = turn, _doubt(seen)
    return best


def _surroundings(image: RGBImage, box: Box) -> tuple[RGBImage, Box]:
    """The part of a picture that holds the square of a box, and the box in it."""
    height, width = image.shape[:2]
    reach = max(box[2] - box[0], box[3] - box[1])
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    left, top = max(0, int(x - reach)), max(0, int(y - reach))
    part = image[top : min(height, int(y + reach) + 1), left : min(width, int(x + reach) + 1)]
    return part, (box[0] - left, box[1] - top, box[2] - left, box[3] - top)


def _doubt(face: Detection) -> float:
    return max(_LEAST_DOUBT, 1 - face.score)


def _largest_first(faces: Iterable[Detection]) -> list[Detection]:
    return sorted(faces, key=lambda face: face.area, reverse=True)


# --- searching again ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Candidate:
    face: Detection
    sure: float  # of the face and of its mirror image, on average


def _rescued(detector: Detector, image: RGBImage) -> list[Detection]:
    """Faces of brightened and turned copies and of tiles, none twice, the surest way up of each."""
    candidates = list(_candidates(detector, image))
    kept: list[Detection] = []
    for one in sorted(candidates, key=lambda c: c.sure, reverse=True):
        if one.sure >= _MIN_SURE and all(iou(one.face.box, o.box) < _SAME for o in kept):
            kept.append(one.face)
    return kept


def _candidates(detector: Detector, image: RGBImage) -> Iterator[_Candidate]:
    small, scale = shrink(image, _RESCUE_SIDE)
    for picture, turn, min_face_size in _copies(small):
        copy = TurnedPicture.of(picture, turn)
        again = detector.detect(copy.image, min_face_size=min_face_size)
        for found, sure in _confirmed(detector, copy.image, again):
            face = face_back(copy, found)
            if face is not None:
                yield _Candidate(_scaled(face, scale), sure)
    # Outside the edges there is more of them: a face that fills its picture has room then.
    border = round(_PADDING * min(small.shape[:2]))
    for picture in (small, brightened(small)):
        padded = np.pad(picture, ((border, border), (border, border), (0, 0)), mode="edge")
        for face, sure in _confirmed(detector, padded, detector.detect(padded)):
            moved = _within(_shifted(face, -border, -border), small)
            if moved is not None:
                yield _Candidate(_scaled(moved, scale), sure)
    yield from _tiled(detector, image)


def _copies(image: RGBImage) -> Iterator[tuple[RGBImage, int, int | None]]:
    """What is searched: a picture, by how many degrees it is turned, and the smallest face."""
    bright = brightened(image)
    yield image, 0, _OFF_SIZE
    yield bright, 0, None
    for turn in _EIGHTHS:
        yield image, turn, None
        if stretch(image) >= _DARK:
            yield bright, turn, None


def _tiled(detector: Detector, image: RGBImage) -> Iterator[_Candidate]:
    """Small faces of a picture that is searched at a smaller size."""
    height, width = image.shape[:2]
    if max(height, width) <= _TILE_SIDE:
        return
    most = max(height, width) * min(1.0, (_TILE_PIXELS / (height * width)) ** 0.5)
    picture, scale = shrink(image, int(most))
    height, width = picture.shape[:2]
    step = _TILE_SIDE - _TILE_OVERLAP
    for top in range(0, max(1, height - _TILE_OVERLAP), step):
        for left in range(0, max(1, width - _TILE_OVERLAP), step):
            tile = np.ascontiguousarray(picture[top : top + _TILE_SIDE, left : left + _TILE_SIDE])
            found = detector.detect(tile, min_face_size=_TILE_MIN_FACE)
            for face, sure in _confirmed(detector, tile, found):
                yield _Candidate(_scaled(_shifted(face, left, top), scale), sure)


def _confirmed(
    detector: Detector, picture: RGBImage, faces: Sequence[Detection]
) -> Iterator[tuple[Detection, float]]:
    """Each face and how sure the detector is of it and of its mirror image."""
    for face in faces:
        part, (x1, y1, x2, y2) = _surroundings(picture, face.box)
        mirror = np.ascontiguousarray(part[:, ::-1])
        width = part.shape[1]
        (seen,) = detector.refine(mirror, [(width - x2, y1, width - x1, y2)])
        if seen is not None:
            yield face, (face.score + seen.score) / 2


def surely(detector: Detector, picture: RGBImage, faces: Sequence[Detection]) -> list[Detection]:
    """Those faces of a changed picture that are seen in the mirror too: more looks see more that
    is no face."""
    return [face for face, sure in _confirmed(detector, picture, faces) if sure >= _MIN_SURE]


def brightened(image: RGBImage) -> RGBImage:
    """A picture stretched over the whole range of each channel, the outermost hundredth cut
    off."""
    return np.asarray(ImageOps.autocontrast(Image.fromarray(image), cutoff=1))


def stretch(image: RGBImage) -> float:
    """How many times `brightened` stretches the brightness of a picture, about."""
    low, high = np.percentile(image[::4, ::4], (1, 99))
    return float(255 / max(1.0, high - low))


# --- places ------------------------------------------------------------------------------------


def face_back(copy: TurnedPicture, face: Detection) -> Detection | None:
    """A face of a turned copy in pixels of the picture; None for one in the copy's corners."""
    box, points = copy.box_back(face.box), copy.points_back(face.landmarks)
    return _clipped(box, face.score, points, copy.width, copy.height)


def _within(face: Detection, image: RGBImage) -> Detection | None:
    height, width = image.shape[:2]
    return _clipped(face.box, face.score, face.landmarks, width, height)


def _shifted(face: Detection, x: float, y: float) -> Detection:
    x1, y1, x2, y2 = face.box
    a, b, c, d, e = ((px + x, py + y) for px, py in face.landmarks)
    return replace(face, box=(x1 + x, y1 + y, x2 + x, y2 + y), landmarks=(a, b, c, d, e))


def _scaled(face: Detection, scale: float) -> Detection:
    if scale == 1:
        return face
    x1, y1, x2, y2 = (v / scale for v in face.box)
    a, b, c, d, e = ((x / scale, y / scale) for x, y in face.landmarks)
    return replace(face, box=(x1, y1, x2, y2), landmarks=(a, b, c, d, e))


def _clipped(
    box: Box, score: float, points: Landmarks, width: int, height: int
) -> Detection | None:
    """With the part of its box that lies in the picture; None where nothing does."""
    x1, y1, x2, y2 = box
    inner = max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        return None
    return Detection(inner, score, points)
