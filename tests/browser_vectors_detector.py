"""What Python computes on the way to a face, for the browser's detector to be held against.

`write_numbers` needs no network: resizes, turns, stretches, suppression, and searches with made
networks and a made detector that browser/tests/made.mjs has as well; ``detector.json``.
`write_faces` runs the real searches: ``faces.json``.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agegenderemo import load_image
from agegenderemo.detection import MtcnnDetector, find_faces
from agegenderemo.detection.nms import nms, nms_min
from agegenderemo.detection.rescue import Search, brightened, stretch, surely
from agegenderemo.imaging.load import shrink
from agegenderemo.imaging.resize import (
    area_resize,
    area_resize_boxes,
    resize_bilinear,
    summed_area,
)
from agegenderemo.imaging.turn import TurnedPicture
from agegenderemo.runtime import Session
from agegenderemo.types import Box, Detection, Landmarks, RGBImage

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

_SIZES = (
    # Height and width of a picture, and of what becomes of it.
    ((240, 320), (97, 129)),
    ((480, 640), (240, 320)),  # by whole factors
    ((270, 480), (90, 160)),
    ((40, 64), (20, 16)),
    ((50, 37), (48, 48)),
    ((300, 7), (24, 24)),
    ((5, 5), (48, 48)),
    ((1, 1), (3, 2)),
    ((33, 44), (33, 20)),
    ((33, 44), (30, 44)),
    ((33, 44), (33, 44)),
    ((707, 7), (20, 3)),  # more than a hundred times as high as wide
    ((700, 6), (70, 3)),
    ((700, 6), (70, 6)),
)


def noise(height: int, width: int, seed: int = 0, high: int = 256) -> RGBImage:
    return np.random.default_rng(seed).integers(0, high, (height, width, 3), dtype=np.uint8)


def write_numbers(folder: Path) -> None:
    vectors = {
        "resizes": [_resized(*sizes) for sizes in _SIZES],
        "boxes": _boxes(),
        "planes": [_planes(length, size) for length, size in ((64, 48), (31, 48), (48, 48))],
        "shrunk": [_shrunk(h, w, side) for h, w, side in _SHRUNK],
        "turns": [_turned(degrees) for degrees in (0, 30, 45, 90, 135, 180, 225, 270, 315)],
        "stretches": [_stretched(image) for image in _faint_pictures()],
        "suppressions": [_suppressed(count, ties) for count, ties in _SUPPRESSED],
        "cascade": _cascade(),
        "looks": [_looked(image, known) for image in _looked_at() for known in (0, 2)],
        "turned_faces": [_looked(noise(40, 61), 3, "plain", after) for after in range(25)],
    }
    (folder / "detector.json").write_text(json.dumps(vectors))


def write_faces(folder: Path) -> None:
    detector = MtcnnDetector()
    solvay = load_image(EXAMPLES / "solvay-1927.jpg")
    vectors = {
        "searches": [
            _searched(detector, name, image, search) for name, image, search in _search_pictures()
        ],
        "refined": _refined(detector, solvay),
        "live": _live(detector),
        "surely": _surely(detector, solvay),
    }
    (folder / "faces.json").write_text(json.dumps(vectors))


# --- without networks ----------------------------------------------------------------------------


def _resized(shape: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    image = noise(*shape)
    image[: shape[0] // 3] = 255  # rounding must not pass it
    pillow = Image.fromarray(image)
    return {
        "picture": _picture(image),
        "height": size[0],
        "width": size[1],
        "area": _text(area_resize(image, *size)),
        "box": _text(np.asarray(pillow.resize(size[::-1], Image.Resampling.BOX))),
        "bilinear": _text(np.asarray(pillow.resize(size[::-1], Image.Resampling.BILINEAR))),
    }


def _boxes() -> dict[str, Any]:
    image = noise(90, 120, 1)
    boxes = [(0, 0, 120, 90), (5, 7, 29, 31), (100, 3, 101, 90), (60, 80, 111, 85)]
    cut = area_resize_boxes(summed_area(image), np.array(boxes), 24)
    return {"picture": _picture(image), "boxes": boxes, "size": 24, "cut": _text(cut)}


def _planes(length: int, size: int) -> dict[str, Any]:
    planes = np.random.default_rng(2).random((2, length, length + 9), dtype=np.float32)
    return {
        "planes": _text(planes),
        "shape": planes.shape,
        "size": size,
        "resized": _text(resize_bilinear(planes, size)),
    }


_SHRUNK = ((75, 101, 30), (50, 30, 25), (3, 900, 12), (20, 30, 30), (99, 66, 50), (100, 25, 50))


def _shrunk(height: int, width: int, side: int) -> dict[str, Any]:
    image = noise(height, width, 3)
    small, scale = shrink(image, side)
    return {"picture": _picture(image), "side": side, "small": _picture(small), "scale": scale}


def _turned(degrees: int) -> dict[str, Any]:
    image = noise(37, 52, 4)
    copy = TurnedPicture.of(image, degrees)
    box: Box = (4.5, 6.25, 20, 30.125)
    points: Landmarks = ((1, 2), (3.5, 4.5), (30, 20), (51, 36), (7, 30))
    return {
        "picture": _picture(image),
        "degrees": degrees,
        "copy": _picture(copy.image),
        "box": box,
        "points": points,
        "box_of": copy.box_of(box),
        "box_back": copy.box_back(box),
        "points_back": copy.points_back(points),
    }


def _faint_pictures() -> list[RGBImage]:
    photo = load_image(EXAMPLES / "astronaut.jpg")[:200, 150:350]
    ramp = np.broadcast_to(np.arange(40, 90, dtype=np.uint8)[None, :, None], (33, 50, 3))
    return [
        photo,
        np.rint(photo * 0.06).astype(np.uint8),
        np.full((20, 30, 3), (9, 80, 255), np.uint8),
        np.ascontiguousarray(ramp),
        noise(5, 7, 5, high=3),
        noise(61, 45, 6, high=100),
        noise(1, 1, 7),
    ]


def _stretched(image: RGBImage) -> dict[str, Any]:
    return {
        "picture": _picture(image),
        "bright": _picture(brightened(image)),
        "stretch": stretch(image),
    }


_SUPPRESSED = ((0, False), (1, False), (40, False), (400, False), (400, True))


def _suppressed(count: int, ties: bool) -> dict[str, Any]:
    generator = np.random.default_rng(count)
    corners = generator.integers(0, 60, (count, 2))
    sides = generator.integers(0, 40, (count, 2))  # some of no area
    boxes = np.hstack((corners, corners + sides)).astype(np.float32)
    if ties:
        scores = generator.integers(3, 6, count).astype(np.float32) / np.float32(6)
    else:
        scores = generator.random(count, dtype=np.float32)
        boxes += generator.random((count, 4), dtype=np.float32)
    return {
        "boxes": _text(boxes),
        "scores": _text(scores),
        "nms": {str(t): nms(boxes, scores, t).tolist() for t in (0.5, 0.7)},
        "nms_min": {str(t): nms_min(boxes, scores, t).tolist() for t in (0.5, 0.7)},
    }


class MadeNetwork:
    """Stands in for one of MTCNN's networks: what it says is read off single pixels, exactly."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.rows: list[int] = []

    def run(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        self.rows.append(len(x))
        half, quarter = np.float32(0.5), np.float32(0.25)
        if self._name == "pnet":
            down, across = ((length - 10) // 2 for length in x.shape[2:])
            at = [slice(first, first + 2 * n, 2) for first, n in ((5, down), (4, across))]
            scores = x[:, 0, at[0], at[1]] * half + half
            return x[:, [0, 1, 2, 1]][..., at[0], at[1]] * quarter, np.stack(
                (1 - scores, scores), 1
            )
        size = x.shape[2]
        scores = x[:, 1, size // 2, size // 3] * quarter + (half + quarter)
        pairs = np.stack((1 - scores, scores), 1)
        shifts = np.stack([x[:, i % 3, 5 * i + 2, 4 * i + 3] for i in range(4)], 1) * quarter
        points = np.stack([x[:, i % 3, 2 * i + 1, i + 9] for i in range(10)], 1) * half + half
        return (shifts, pairs) if self._name == "rnet" else (shifts, points, pairs)


def _cascade() -> dict[str, Any]:
    """Whole searches with made networks, more candidates than a batch holds."""
    small = Image.fromarray(noise(15, 20, 10))
    image = np.asarray(small.resize((300, 220), Image.Resampling.BILINEAR))
    detector = MtcnnDetector(min_score=0.7)
    networks = {name: MadeNetwork(name) for name in ("pnet", "rnet", "onet")}
    for name, network in networks.items():
        setattr(detector, f"_{name}", cast(Session, network))
    searches = []
    for smallest, side in ((12, 1600), (20, 1600), (42, 1600), (23, 217)):
        faces = detector.detect(image, min_face_size=smallest, max_side=side)
        searches.append({"smallest": smallest, "side": side, "faces": _faces(faces)})
    boxes: list[Box] = [
        (3.7, 9.2, 50, 60.1),
        (-20, -9, 40, 30),
        (280, 200, 330, 260),
        (-9, -9, -1, -1),
    ]
    boxes += [(10, 10, 13, 13), (10.2, 10.2, 10.9, 10.9)]
    return {
        "picture": _picture(image),
        "searches": searches,
        "boxes": boxes,
        "refined": _faces(detector.refine(image, boxes)),
        "rows": {name: network.rows for name, network in networks.items()},
    }


class MadeDetector:
    """Sees faces by the count of its looks, which may begin later, and records at what it looks."""

    def __init__(self, known: int, after: int) -> None:
        self._known, self._after = known, after
        self.looks: list[tuple[Any, ...]] = []

    def detect(
        self, image: RGBImage, *, min_face_size: int | None = None, max_side: int | None = None
    ) -> list[Detection]:
        self._look(image, min_face_size)
        count = self._known if len(self.looks) == 1 else len(self.looks) % 3
        return [self._face(image, i) for i in range(count)]

    def refine(self, image: RGBImage, boxes: Sequence[Box]) -> list[Detection | None]:
        self._look(image, *(v for box in boxes for v in box))
        return [None if len(self.looks) % 5 == 0 else self._face(image, 0) for _ in boxes]

    def _look(self, image: RGBImage, *said: float | None) -> None:
        places = np.arange(image.size, dtype=np.int64) % 251 + 1
        checksum = int(image.reshape(-1).astype(np.int64) @ places)
        self.looks.append((*image.shape[:2], checksum, *said))

    def _face(self, image: RGBImage, i: int) -> Detection:
        height, width = image.shape[:2]
        count = len(self.looks) + self._after
        side = min(height, width) / (4 + count % 7)
        x, y = (width - side) * ((count * 3 + i * 5) % 10) / 10, (height - side) * (i + 1) / 4
        points = ((x, y), (x + side, y), (x + 1, y + 2), (x, y + side), (x + 3, y + side))
        return Detection((x, y, x + side, y + side), 1 - (count * 31 + i * 17) % 40 / 1500, points)


def _looked_at() -> list[RGBImage]:
    return [noise(40, 61, 11, high=90), noise(50, 30, 12), noise(180, 1810, 13)]


def _looked(
    image: RGBImage, known: int, search: Search = "thorough", after: int = 0
) -> dict[str, Any]:
    detector = MadeDetector(known, after)
    found = find_faces(detector, image, search)
    return {
        "picture": _picture(image),
        "made": (known, after),
        "search": search,
        "looks": detector.looks,
        "faces": _faces(found.detections),
    }


# --- with networks -------------------------------------------------------------------------------


def _search_pictures() -> list[tuple[str, RGBImage, Search]]:
    astronaut = load_image(EXAMPLES / "astronaut.jpg")
    portrait = np.ascontiguousarray(astronaut[:300, 90:390])
    small = np.asarray(Image.fromarray(portrait).resize((110, 110), Image.Resampling.BOX))
    strip = np.full((330, 5200, 3), (110, 120, 130), np.uint8)
    strip[90:200, 1390:1500] = small  # over the edge of a tile
    lying = TurnedPicture.of(portrait, 120).image
    both = np.full((max(lying.shape[0], 300), lying.shape[1] + 300, 3), 120, np.uint8)
    both[:300, :300] = portrait
    both[: lying.shape[0], 300:] = lying
    return [
        ("astronaut", astronaut, "auto"),
        ("solvay", load_image(EXAMPLES / "solvay-1927.jpg"), "auto"),
        ("on its head", np.ascontiguousarray(portrait[::-1, ::-1]), "plain"),
        ("on its side", np.ascontiguousarray(np.rot90(portrait)), "auto"),
        ("lying, found as if upright", lying, "plain"),
        ("one upright, one lying", both, "plain"),
        ("aslant", TurnedPicture.of(portrait, 225).image, "auto"),
        ("dark", np.rint(portrait * 0.06).astype(np.uint8), "auto"),
        ("larger than its picture", np.ascontiguousarray(astronaut[100:180, 190:255]), "auto"),
        ("small in a large one", strip, "auto"),
        ("thoroughly", portrait, "thorough"),
        ("a wall", noise(60, 80, 8), "auto"),
        ("a pixel", noise(1, 1, 9), "auto"),
    ]


def _searched(
    detector: MtcnnDetector, name: str, image: RGBImage, search: Search
) -> dict[str, Any]:
    found = find_faces(detector, image, search)
    return {
        "name": name,
        "picture": _picture(image),
        "asked": search,
        "search": found.search,
        "faces": _faces(found.detections),
    }


def _refined(detector: MtcnnDetector, image: RGBImage) -> dict[str, Any]:
    boxes = [
        (x1 + 3, y1 - 4, x2 + 5, y2 - 2) for x1, y1, x2, y2 in _boxes_of(detector.detect(image))
    ]
    boxes += [(-90, -90, -20, -20), (10, 10, 11, 11), (20, 30, 120, 150), (1380, 0, 1460, 90)]
    return {
        "picture": _picture(image),
        "boxes": boxes,
        "faces": _faces(detector.refine(image, boxes)),
    }


def _live(detector: MtcnnDetector) -> dict[str, Any]:
    """As the page searches a camera's picture."""
    photo = Image.open(EXAMPLES / "astronaut.jpg").convert("RGB").resize((640, 640))
    image = np.asarray(photo)[:480]
    faces = detector.detect(image, min_face_size=30, max_side=320)
    return {"picture": _picture(image), "faces": _faces(faces)}


def _surely(detector: MtcnnDetector, image: RGBImage) -> dict[str, Any]:
    faces = detector.detect(image, min_face_size=12)
    return {
        "picture": _picture(image),
        "faces": _faces(faces),
        "sure": _faces(surely(detector, image, faces)),
    }


def _boxes_of(faces: Sequence[Detection]) -> list[Box]:
    return [face.box for face in faces]


def _faces(faces: Sequence[Detection | None]) -> list[dict[str, Any] | None]:
    return [None if face is None else asdict(face) for face in faces]


def _picture(image: RGBImage) -> dict[str, Any]:
    return {"width": image.shape[1], "height": image.shape[0], "data": _text(image)}


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
