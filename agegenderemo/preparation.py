"""Turns a data set into aligned crops, once, on every core; a killed run goes on where it was."""

import json
import multiprocessing
import os
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from agegenderemo.dataset import CROP_SIZE, Origin, PreparedSet, sample_to_json
from agegenderemo.detection.align import align
from agegenderemo.detection.mtcnn import FaceDetector, main_face
from agegenderemo.images import ImageError, RGBImage, load_image
from agegenderemo.readers import FRAMED_AS, DatasetError, read_bytes
from agegenderemo.records import Detection, Framing, Landmarks, Reading

_CHUNK = 32
_SEARCH_SIDE = 144  # pixels: smaller pictures are enlarged to it before the search
_MAX_SEARCH_SIDE = 320
_MIN_FACE = 0.3  # of the shorter side: these pictures are portraits
_MIN_SCORE = 0.6  # lower than for photos: each picture is known to hold a face
_PADDING = 0.3  # of the side, for pictures that are cropped through the face


def prepare(
    name: str,
    reading: Reading,
    out: Path,
    processes: int | None = None,
    framing: Framing = "face",
) -> PreparedSet:
    """Detect, align and store the face of every sample under ``out / name``.

    The face is the largest near the middle. A face that is not found is searched again in a picture
    with a wider border, then framed by the set's median landmarks; `Origin` records which. Pictures
    that are published in the wanted framing are taken whole. Rows that are done stay done when the
    run is killed and repeated.

    Raises DatasetError when the folder holds another list of samples, or the same one in another
    framing, or the set has none.
    """
    if not reading.samples:
        raise DatasetError(f"{name} has no readable sample: {reading.summary()}.")
    folder = out / name
    _create(folder, reading, framing)
    prepared = PreparedSet.open(folder, writable=True)
    points = np.load(folder / "landmarks.npy", "r+")

    if FRAMED_AS.get(name) == framing:
        for row in tqdm(
            np.flatnonzero(prepared.origin == Origin.TODO), desc=f"{name}: reading", unit="image"
        ):
            image = _load(prepared, row)
            if image is not None:
                prepared.crops[row] = _whole(image)
                prepared.origin[row] = Origin.WHOLE
        return prepared
    todo = np.flatnonzero(prepared.origin == Origin.TODO)
    # Twice: the framing of faces that were not found needs the median of those that were.
    _run(folder, todo, processes, f"{name}: finding faces")
    missing = np.flatnonzero(prepared.origin == Origin.TODO)
    found = np.isin(prepared.origin, (Origin.DETECTED, Origin.PADDED))
    if len(missing) and not found.any():
        raise DatasetError(f"No face was found in any of the {len(missing):,} images of {name}.")
    if len(missing):
        median = np.median(points[found], axis=0)
        for row in tqdm(missing, desc=f"{name}: framing the rest", unit="face"):
            image = _load(prepared, row)
            if image is not None:
                prepared.crops[row] = align(image, _to_pixels(median, image), CROP_SIZE, framing)
                prepared.origin[row] = Origin.ASSUMED
    return prepared


def report(prepared: PreparedSet) -> str:
    """One line: how many faces were found, how, and what became of the others."""
    counts = {kind: int(np.sum(prepared.origin == kind)) for kind in Origin}
    lost = f"{counts[Origin.UNREADABLE]:,} images unreadable and left out"
    if counts[Origin.WHOLE]:
        return (
            f"{prepared.name}: {len(prepared.samples):,} samples; {counts[Origin.WHOLE]:,} "
            f"pictures taken whole, {lost}"
        )
    return (
        f"{prepared.name}: {len(prepared.samples):,} samples; {counts[Origin.DETECTED]:,} faces "
        f"found at once, {counts[Origin.PADDED]:,} with a wider border, {counts[Origin.ASSUMED]:,} "
        f"not found and framed by the set's median landmarks, {lost}"
    )


def _create(folder: Path, reading: Reading, framing: Framing) -> None:
    text = "".join(sample_to_json(sample) + "\n" for sample in reading.samples)
    listing = folder / "samples.jsonl"
    if listing.exists():
        if listing.read_text() != text:
            raise DatasetError(f"{folder} was made from another list of samples; remove it first.")
        if PreparedSet.open(folder).framing != framing:
            raise DatasetError(f"{folder} was made in another framing; remove it first.")
        return
    folder.mkdir(parents=True, exist_ok=True)
    count = len(reading.samples)
    for name, shape, dtype in (
        ("crops", (count, CROP_SIZE, CROP_SIZE, 3), np.uint8),
        ("origin", (count,), np.uint8),
        ("digest", (count, 20), np.uint8),
        ("landmarks", (count, 5, 2), np.float32),
    ):
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
    (folder / "framing.json").write_text(json.dumps(framing))
    # Last, because its presence says that the arrays are there.
    temporary = listing.with_suffix(".tmp")
    temporary.write_text(text)
    os.replace(temporary, listing)


def _run(folder: Path, rows: NDArray[np.int64], processes: int | None, title: str) -> None:
    chunks = [rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)]
    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with (
        context.Pool(processes or os.cpu_count(), _start_worker, (folder,)) as pool,
        tqdm(total=len(rows), desc=title, unit="face", disable=not len(rows)) as bar,
    ):
        for done in pool.imap_unordered(_prepare_chunk, chunks):
            bar.update(done)


_worker: tuple[FaceDetector, PreparedSet, NDArray[np.float32]]


def _start_worker(folder: Path) -> None:
    global _worker
    torch.set_num_threads(1)
    detector = FaceDetector(max_side=_MAX_SEARCH_SIDE, min_score=_MIN_SCORE)
    points = np.load(folder / "landmarks.npy", "r+")
    _worker = (detector, PreparedSet.open(folder, writable=True), points)


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
        prepared.crops[row] = align(image, face.landmarks, CROP_SIZE, prepared.framing)
        points[row] = np.asarray(face.landmarks) / image.shape[1::-1]
        # After the crop: a row that says it is done must be.
        prepared.origin[row] = Origin.DETECTED if row in found else Origin.PADDED
    return len(rows)


def _load(prepared: PreparedSet, row: int) -> RGBImage | None:
    try:
        data = read_bytes(prepared.samples[row].image)
        image = load_image(data)
    except (ImageError, OSError, KeyError, ValueError):
        prepared.origin[row] = Origin.UNREADABLE
        return None
    prepared.digest[row] = np.frombuffer(sha1(data).digest(), np.uint8)
    return image


def _whole(image: RGBImage) -> RGBImage:
    picture = Image.fromarray(image)
    if picture.size != (CROP_SIZE, CROP_SIZE):
        picture = picture.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _search(
    detector: FaceDetector, images: dict[int, RGBImage], padding: float
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
