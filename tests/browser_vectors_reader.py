"""What Python answers, for the browser's reading and tracking to be held against.

Crops, quality, predictions and records, for which no network is needed: ``reader.json``.
"""

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agegenderemo import load_image
from agegenderemo.imaging.geometry import align, square_corners
from agegenderemo.imaging.quality import measure_quality, quality_flags
from agegenderemo.inference.tracks import appearance_embedding
from agegenderemo.model_info import ModelInfo
from agegenderemo.results import SEARCHES, error_record, picture_record
from agegenderemo.tasks import (
    DEFAULT_TASKS,
    ClassCalibration,
    Prediction,
    RegressionCalibration,
    TaskCalibration,
    TaskSpec,
    activate,
    predict,
)
from agegenderemo.types import (
    CROP_SIZE,
    Box,
    Detection,
    Face,
    InputSpec,
    Landmarks,
    RGBImage,
    Template,
)
from agegenderemo.web.downloads import csv_text, json_text

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

TASKS = (
    *DEFAULT_TASKS,
    TaskSpec("warmth", "regression", unit="°C"),
    TaskSpec("glasses", "binary", ("without", "with")),
    TaskSpec("hat", "categorical", ("10", "2", "no hat, at all")),
)
"""Those of the shipped networks, and some that no code can know; the last ones have classes that
JavaScript would bring into another order, and that CSV quotes."""

CALIBRATION: Mapping[str, TaskCalibration] = {
    "age": RegressionCalibration(
        (0.0, 3.0, 10.0, 40.0, 85.0),
        (-1.0, 1.6, 6.0, 29.9, 72.6),
        (6.2, 9.1, 16.0, 52.0, 102.9),
        (1.7, 1.7, 2.0, 6.0, 7.1),
    ),
    "gender": ClassCalibration(1.6, 0.7717),
    "emotion": ClassCalibration(0.6145, 0.5316),
    "warmth": RegressionCalibration((0.0,), (-2.0,), (3.0,), (1.25,)),
    "hat": ClassCalibration(1.7, 0.5),
}
INFO = ModelInfo("made", TASKS, InputSpec(64), calibration=CALIBRATION)
NETWORK = {"model": "made", "precision": "float", "weights_sha256": "0" * 64}


def coded(array: NDArray[Any]) -> str:
    """The bytes of an array, in base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def write_reader(folder: Path) -> None:
    """Everything that needs no network."""
    vectors = {
        "info": INFO.to_dict(),
        "network": NETWORK,
        "pictures": {
            name: {"width": image.shape[1], "height": image.shape[0], "data": coded(image)}
            for name, image in _pictures().items()
        },
        "crops": list(_crops()),
        "values": list(_values()),
        "activated": list(_activated()),
        "texts": list(_texts()),
        "numbers": list(_numbers()),
    }
    (folder / "reader.json").write_text(json.dumps(vectors), encoding="utf-8")


# --- crops -------------------------------------------------------------------------------------


def _pictures() -> dict[str, RGBImage]:
    rng = np.random.default_rng(5)
    coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    return {
        "astronaut": load_image(EXAMPLES / "astronaut.jpg"),
        "noise": rng.integers(0, 256, (97, 131, 3), dtype=np.uint8),
        "soft": np.asarray(coarse.resize((801, 603), Image.Resampling.BICUBIC)),
        "dark": np.asarray(coarse.resize((300, 200))) // 16,
        "flat": np.full((90, 90, 3), 77, np.uint8),
    }


def _crops() -> Iterator[dict[str, Any]]:
    """Faces of all sizes, from a few pixels to more than the picture, inside, at the border and
    beyond it, upright and turned."""
    rng = np.random.default_rng(6)
    templates: tuple[Template, ...] = ("face", "ffhq")
    for name, image in _pictures().items():
        height, width = image.shape[:2]
        for number in range(14):
            side = math.exp(rng.uniform(math.log(8), math.log(1.2 * max(height, width))))
            turn = rng.uniform(-0.4, 0.4) if number % 2 else rng.uniform(-math.pi, math.pi)
            middle = rng.uniform(-0.1, 1.1, 2) * (width, height)
            landmarks = _landmarks(rng, middle, side, turn)
            template = templates[number % 3 == 2]
            crop = align(image, landmarks, CROP_SIZE, template)
            quality = measure_quality(crop, landmarks, width, height, template)
            yield {
                "picture": name,
                "landmarks": landmarks,
                "template": template,
                "corners": square_corners(landmarks, template).tolist(),
                "crop": coded(crop),
                "quality": list(quality),
                "flags": quality_flags(quality),
                "embedding": coded(appearance_embedding(crop)),
            }


def _landmarks(
    rng: np.random.Generator, middle: NDArray[np.float64], side: float, turn: float
) -> Landmarks:
    upright = np.array([(-0.2, -0.2), (0.2, -0.2), (0, 0.02), (-0.17, 0.24), (0.17, 0.24)])
    upright[2, 0] += rng.choice([0, 0, 0.16])  # some look aside
    cos, sin = math.cos(turn), math.sin(turn)
    placed = (upright + rng.normal(0, 0.02, (5, 2))) @ [[cos, sin], [-sin, cos]] * side + middle
    # The detector's numbers are float32 ones, and those of turned pictures are not.
    rows = placed.astype(np.float32).astype(np.float64) if rng.random() < 0.5 else placed
    a, b, c, d, e = ((float(x), float(y)) for x, y in rows)
    return a, b, c, d, e


# --- predictions -------------------------------------------------------------------------------


def plain(prediction: Prediction) -> dict[str, Any]:
    """A prediction but for its task."""
    names = ("value", "interval", "error", "positive", "probabilities", "confident")
    return {name: getattr(prediction, name) for name in names if hasattr(prediction, name)}


def _values() -> Iterator[dict[str, Any]]:
    """Activated values and what the calibration makes of them."""
    for spec in TASKS:
        for value in _random_values(spec, 200):
            calibrated = predict(spec, value, CALIBRATION.get(spec.name))
            yield {"task": spec.name, "value": value, "prediction": plain(calibrated)}


def _random_values(spec: TaskSpec, count: int) -> Iterator[Any]:
    rng = np.random.default_rng(7)
    if spec.kind == "regression":
        yield from (-3.0, 0.0, 3.0, 10.0, 85.0, 120.0)
        yield from rng.uniform(-10, 110, count).tolist()
    elif spec.kind == "binary":
        yield from (0.0, 1.0, 0.5)
        yield from rng.beta(0.3, 0.3, count).tolist()
    else:
        yield [1.0, *[0.0] * (len(spec.classes) - 1)]
        yield from rng.dirichlet([0.4] * len(spec.classes), count).tolist()


def _activated() -> Iterator[dict[str, Any]]:
    """Raw outputs of three faces, small and large."""
    rng = np.random.default_rng(8)
    for spec in TASKS:
        shape = (3, spec.outputs) if spec.kind == "categorical" else (3,)
        for scale in (0.1, 3.0, 80.0):
            raw = rng.normal(0, scale, shape).astype(np.float32)
            yield {"task": spec.name, "raw": coded(raw), "values": activate(spec, raw).tolist()}


# --- records -----------------------------------------------------------------------------------


def described(face: Face) -> dict[str, Any]:
    """A face as node has it, its numbers to the last bit."""
    return {
        "detection": {
            "box": face.box,
            "score": face.score,
            "landmarks": face.landmarks,
        },
        "predictions": {name: plain(one) for name, one in face.predictions.items()},
        "flags": face.quality_flags,
    }


def _texts() -> Iterator[dict[str, Any]]:
    """Pictures as JSON and CSV."""
    image = np.zeros((480, 640, 3), np.uint8)
    names = ("a.jpg", "=1+1.png", 'comma, "quote".jpg', "Grüße \u202e.webp", "line\nend\t.jpg")
    for number, name in enumerate(names):
        faces = _faces(number)
        network = NETWORK if number % 2 else None
        search = SEARCHES[number % 2]
        record = picture_record(name, image, faces, search, network)
        yield {
            "file": name,
            "search": search,
            "network": network,
            "faces": [described(face) for face in faces],
            "json": json_text(record),
            "csv": csv_text([record], TASKS),
        }
    record = error_record("@broken.jpg", "It cannot be read, as it seems.")
    yield {
        "file": "@broken.jpg",
        "error": "It cannot be read, as it seems.",
        "json": json_text([record]),
        "csv": csv_text([record], TASKS),
    }


def _faces(count: int) -> list[Face]:
    rng = np.random.default_rng(count)
    found = []
    flags: Sequence[tuple[str, ...]] = ((), ("small",), ("dark", "turned"), ("perhaps no face",))
    for number in range(count):
        corner = rng.uniform(0, 300, 2)
        box: Box = (float(corner[0]), float(corner[1]), 450.0 + number, 400.125)
        detection = Detection(box, float(rng.uniform(0.9, 1)), _landmarks(rng, corner, 90, 0.3))
        predictions = {}
        for spec in TASKS:
            value = list(_random_values(spec, 40))[int(rng.integers(40))]
            # Without a calibration there are no ranges, and nothing is said to be sure.
            calibration = CALIBRATION.get(spec.name) if number % 3 else None
            predictions[spec.name] = predict(spec, value, calibration)
        found.append(Face(detection, predictions, flags[number % 4]))
    return found


def _numbers() -> Iterator[tuple[float, list[float], str]]:
    """Numbers, as Python rounds them to some digits, and writes them."""
    rng = np.random.default_rng(9)
    ties = [n / 2**k for k in range(1, 9) for n in range(-9, 60, 2)]
    wide = (rng.uniform(-1, 1, 300) * 10.0 ** rng.integers(-9, 18, 300)).tolist()
    near = [2.675, 1.005, 0.285, 1e-7, 5e-7, 1.5e-6, 1e-5, 1e15, 1e16, 123456789012345680.0, -0.0]
    for value in (*ties, *wide, *near, 0.0, 1e22, 1e-4, 0.00012345):
        yield value, [round(value, digits) for digits in (1, 2, 4, 6)], repr(value)
