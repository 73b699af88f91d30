"""Whole pictures and films as Python reads them with networks: ``whole.json``, and raw RGB."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from browser_vectors_reader import EXAMPLES, described
from made_films import scene

from agegenderemo import Analyzer, load_image
from agegenderemo.model_info import Precision
from agegenderemo.results import picture_record
from agegenderemo.types import RGBImage

Film = Callable[[], Iterator[tuple[float, RGBImage]]]


def write_whole(folder: Path, precisions: Sequence[Precision] = ("float", "int8")) -> None:
    """Pictures and films with what the shipped network says of them in each precision."""
    pictures = {name: load_image(EXAMPLES / name) for name in ("astronaut.jpg", "solvay-1927.jpg")}
    films = {film.__name__: list(film()) for film in (moving, lying)}
    vectors: dict[str, Any] = {
        "pictures": {name: _kept(folder, name, one) for name, one in pictures.items()},
        "films": {
            name: [
                {"time": time, **_kept(folder, f"{name}-{number}", frame)}
                for number, (time, frame) in enumerate(frames)
            ]
            for name, frames in films.items()
        },
        "read": [],
    }
    for precision in precisions:
        analyzer = Analyzer.from_checkpoint(precision=precision)
        vectors["read"].append({
            "precision": precision,
            "info": analyzer.info.to_dict(),
            "pictures": {name: _analyzed(analyzer, name, one) for name, one in pictures.items()},
            "films": {name: _tracked(analyzer, frames) for name, frames in films.items()},
        })  # fmt: skip
    (folder / "whole.json").write_text(json.dumps(vectors), encoding="utf-8")


def _kept(folder: Path, name: str, image: RGBImage) -> dict[str, Any]:
    file = f"{name}.rgb"
    (folder / file).write_bytes(image.tobytes())
    height, width = image.shape[:2]
    return {"file": file, "width": width, "height": height}


def _analyzed(analyzer: Analyzer, name: str, image: RGBImage) -> dict[str, Any]:
    faces = analyzer.analyze(image)
    record = picture_record(name, image, faces, "plain", analyzer.network)
    return {"faces": [described(face) for face in faces], "record": record}


def _tracked(
    analyzer: Analyzer, frames: Sequence[tuple[float, RGBImage]]
) -> list[list[dict[str, Any]]]:
    tracker = analyzer.tracker()
    return [
        [
            {"trackId": one.track_id, "settled": one.settled, "face": described(one.face)}
            for one in tracker.update(frame, time)
        ]
        for time, frame in frames
    ]


def moving() -> Iterator[tuple[float, RGBImage]]:
    """A face that goes across and comes nearer, and one that is there for a while."""
    for i in range(40):
        places = [("astronaut", 90 + 3 * i, 110 + 10 * np.sin(i / 6), 130 + 2 * i)]
        if 12 <= i < 28:
            places.insert(0, ("lorentz", 270, 80, 108))
        yield i / 25, scene(places, grey=120 + i)


def lying() -> Iterator[tuple[float, RGBImage]]:
    """A face that lies on its side in the dark, which sits up in the end."""
    for i in range(24):
        frame = scene([("astronaut", 160 + 2 * i, 120, 200)])
        turned = np.ascontiguousarray(np.rot90(frame, 3)) if i < 14 else frame
        yield i / 4, turned // 2 if i < 14 else turned
