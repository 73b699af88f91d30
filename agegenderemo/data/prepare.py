"""Turns a data set into aligned crops, once, on every core; a killed run goes on where it was."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from agegenderemo.data.dataset import CropSource, PreparedSet, index_to_json, sample_to_json
from agegenderemo.data.readers import READERS, read_bytes
from agegenderemo.data.samples import DatasetIndex
from agegenderemo.errors import DatasetError, ImageError
from agegenderemo.imaging.geometry import align
from agegenderemo.imaging.load import load_image
from agegenderemo.types import (
    CROP_SIZE,
    Detection,
    Detector,
    Landmarks,
    RGBImage,
    Template,
)

SEARCH_OPTIONS: dict[str, Any] = {"max_side": 320, "min_score": 0.6}
"""What a detector for `prepare` should be made with: pictures this small, and a lower score than
for photos, because each picture is known to hold a face."""

_CHUNK = 32
_SEARCH_SIDE = 144  # pixels: smaller pictures are enlarged to it before the search
_MIN_FACE = 0.3  # of the shorter side: these pictures are portraits
_PADDING = 0.3  # of the side, for pictures that are cropped through the face


def prepare(
    name: str,
    index: DatasetIndex,
    out: Path,
    detector: Callable[[], Detector],
    processes: int | None = None,
    template: Template = "face",
) -> PreparedSet:
    """Detect, align and store the face of every sample under ``out / name``.

    The face is the largest near the middle. A face that is not found is searched again in a picture
    with a wider border, then framed by the set's median landmarks; `CropSource` records which.
    Pictures that are published in the wanted template are taken whole. Rows that are done stay done
    when the run is killed and repeated.

    ``detector`` makes one, with `SEARCH_OPTIONS`, in each of ``processes`` (by default one a core),
    so it must survive pickling.

    Raises DatasetError when the folder holds another list of samples, or the same one in another
    template, or the set has none.
    """
    if not index.samples:
        raise DatasetError(f"{name} has no readable sample: {index.summary()}.")
    folder = out / name
    _create(folder, index, template)
    prepared = PreparedSet.open(folder, writable=True)
    if name in READERS and READERS[name].published_template == template:
        _take_whole(prepared)
        return prepared
    todo = np.flatnonzero(prepared.source == CropSource.TODO)
    _run(folder, todo, detector, processes, f"{name}: finding faces")
    _frame_the_rest(prepared, np.load(folder / "landmarks.npy", "r"))
    return prepared


def _take_whole(prepared: PreparedSet) -> None:
    todo = np.flatnonzero(prepared.source == CropSource.TODO)
    for row in tqdm(todo, desc=f"{prepared.name}: reading", unit="image"):
        image = _load(prepared, row)
        if image is not None:
            prepared.crops[row] = _whole(image)
            prepared.source[row] = CropSource.WHOLE


def _frame_the_rest(prepared: PreparedSet, points: NDArray[np.float32]) -> None:
    """Last, because it needs the median landmarks of the faces that were found."""
    missing = np.flatnonzero(prepared.source == CropSource.TODO)
    found = np.isin(prepared.source, (CropSource.DETECTED, CropSource.PADDED))
    if not len(missing):
        return
    if not found.any():
        raise DatasetError(
            f"No face was found in any of the {len(missing):,} images of {prepared.name}."
        )
    median = np.median(points[found], axis=0)
    for row in tqdm(missing, desc=f"{prepared.name}: framing the rest", unit="face"):
        image = _load(prepared, row)
        if image is not None:
            landmarks = _to_pixels(median, image)
            prepared.crops[row] = align(image, landmarks, CROP_SIZE, prepared.template)
            prepared.source[row] = CropSource.ASSUMED


def report_line(prepared: PreparedSet) -> str:
    """One line: how many faces were found, how, and what became of the others."""
    counts = {kind: f"{np.sum(prepared.source == kind):,}" for kind in CropSource}
    head = f"{prepared.name}: {len(prepared.samples):,} samples; "
    lost = f"{counts[CropSource.UNREADABLE]} images unreadable and left out"
    if (prepared.source == CropSource.WHOLE).any():
        return f"{head}{counts[CropSource.WHOLE]} pictures taken whole, {lost}"
    return (
        f"{head}{counts[CropSource.DETECTED]} faces found at once, {counts[CropSource.PADDED]} "
        f"with a wider border, {counts[CropSource.ASSUMED]} not found and framed by the set's "
        f"median landmarks, {lost}"
    )


def _create(folder: Path, index: DatasetIndex, template: Template) -> None:
    listing = folder / "samples.jsonl"
    if listing.exists():
        there = PreparedSet.open(folder)
        if there.samples != index.samples:
            raise DatasetError(f"{folder} was made from another list of samples; remove it first.")
        if there.template != template:
            raise DatasetError(f"{folder} was made in another alignment template; remove it first.")
        return
    folder.mkdir(parents=True, exist_ok=True)
    count = len(index.samples)
    for name, shape, dtype in (
        ("crops", (count, CROP_SIZE, CROP_SIZE, 3), np.uint8),
        ("source", (count,), np.uint8),
        ("digest", (count, 20), np.uint8),
        ("landmarks", (count, 5, 2), np.float32),
    ):
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
    (folder / "index.json").write_text(index_to_json(template, index.tasks), encoding="utf-8")
    # Last, because its presence says that the arrays are there.
    temporary = listing.with_suffix(".tmp")
    lines = "".join(sample_to_json(sample) + "\n" for sample in index.samples)
    temporary.write_text(lines, encoding="utf-8")
    os.replace(temporary, listing)


def _run(
    folder: Path,
    rows: NDArray[np.int64],
    detector: Callable[[], Detector],
    processes: int | None,
    title: str,
) -> None:
    chunks = [rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)]
    # Spawned, not forked: the threads of a runtime do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with (
        context.Pool(processes or os.cpu_count(), _start_worker, (folder, detector)) as pool,
        tqdm(total=len(rows), desc=title, unit="face", disable=not len(rows)) as bar,
    ):
        for done in pool.imap_unordered(_prepare_chunk, chunks):
            bar.update(done)


_worker: tuple[Detector, PreparedSet, NDArray[np.float32]]


def _start_worker(folder: Path, detector: Callable[[], Detector]) -> None:
    global _worker
    points = np.load(folder / "landmarks.npy", "r+")
    _worker = (detector(), PreparedSet.open(folder, writable=True), points)


def _prepare_chunk(rows: NDArray[np.int64]) -> int:
    detector, prepared, points = _worker
    images: dict[int, RGBImage] = {}
    for row in rows.tolist():
        image = _load(prepared, row)
        if image is not None:
            images[row] = image
    found = dict(_search(detector, images, 0.0))
    again = {row: image for row, image in images.items() if row not in found}
    padded = dict(_search(detector, again, _PADDING))
    for row, face in (found | padded).items():
        image = images[row]
        prepared.crops[row] = align(image, face.landmarks, CROP_SIZE, prepared.template)
        points[row] = np.asarray(face.landmarks) / image.shape[1::-1]
        # After the crop: a row that says it is done must be.
        prepared.source[row] = CropSource.DETECTED if row in found else CropSource.PADDED
    return len(rows)


def _load(prepared: PreparedSet, row: int) -> RGBImage | None:
    try:
        data = read_bytes(prepared.samples[row].image)
        image = load_image(data)
    except (ImageError, OSError, KeyError, ValueError):
        prepared.source[row] = CropSource.UNREADABLE
        return None
    prepared.digest[row] = np.frombuffer(sha1(data).digest(), np.uint8)
    return image


def _whole(image: RGBImage) -> RGBImage:
    picture = Image.fromarray(image)
    if picture.size != (CROP_SIZE, CROP_SIZE):
        picture = picture.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _search(
    detector: Detector, images: dict[int, RGBImage], padding: float
) -> Iterator[tuple[int, Detection]]:
    """The face of each picture that has one, in that picture's own pixels."""
    for row, image in images.items():
        side = min(image.shape[:2])
        border = round(padding * side)
        factor = max(1, -(-_SEARCH_SIDE // side))
        picture = _enlarge(_pad(image, border), factor)
        height, width = picture.shape[:2]
        smallest = max(20, int(_MIN_FACE * min(height, width)))
        faces = detector.detect(picture, min_face_size=smallest)
        if faces:
            yield row, _back(main_face(faces, width, height), factor, border)


def main_face(faces: Sequence[Detection], width: int, height: int) -> Detection:
    """The face that a picture of width × height pixels is of: large, and near the middle.

    Raises ValueError for none.
    """

    def weight(face: Detection) -> float:
        x1, y1, x2, y2 = face.box
        off = max(abs((x1 + x2) / width - 1), abs((y1 + y2) / height - 1))
        return face.area * (1 - min(1.0, off))

    return max(faces, key=weight)


def _pad(image: RGBImage, border: int) -> RGBImage:
    return np.pad(image, ((border, border), (border, border), (0, 0)), mode="edge")


def _enlarge(image: RGBImage, factor: int) -> RGBImage:
    if factor == 1:
        return image
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _back(face: Detection, factor: int, border: int) -> Detection:
    x1, y1, x2, y2 = (v / factor - border for v in face.box)
    landmarks: Landmarks = tuple(  # type: ignore[assignment]
        (x / factor - border, y / factor - border) for x, y in face.landmarks
    )
    return Detection((x1, y1, x2, y2), face.score, landmarks)


def _to_pixels(points: NDArray[np.float32], image: RGBImage) -> Landmarks:
    return tuple((float(x), float(y)) for x, y in points * image.shape[1::-1])  # type: ignore[return-value]
