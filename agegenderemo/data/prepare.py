"""Turns a data set into aligned crops, once, on every core; a killed run goes on where it was."""

import contextlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from agegenderemo.data.copies import THUMBNAIL, settled, thumbnail
from agegenderemo.data.dataset import THUMBNAILS, CropSource, PreparedSet
from agegenderemo.data.folder import open_folder
from agegenderemo.data.parallel import map_rows
from agegenderemo.data.readers import READERS, read_bytes
from agegenderemo.data.samples import DatasetIndex, Sample
from agegenderemo.errors import DatasetError, ImageError
from agegenderemo.files import write_atomically
from agegenderemo.imaging.geometry import align
from agegenderemo.imaging.load import load_image
from agegenderemo.types import (
    CROP_SIZE,
    Box,
    Detection,
    Detector,
    Landmarks,
    RGBImage,
    Template,
)

SEARCH_OPTIONS: dict[str, Any] = {"max_side": 320, "min_score": 0.6}
"""What a detector for `prepare` should be made with: pictures this small, and a lower score than
for photos, because each picture is known to hold a face."""

CROP_SIZES = range(64, 257, 16)
"""Pixels that crops may have."""

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
    *,
    whole: bool | None = None,
    size: int = CROP_SIZE,
    command: str = "",
) -> PreparedSet:
    """Detect, align and store the face of every sample under ``out / name``.

    The face is the one in the sample's box, else the largest near the middle. A face that is not
    found is searched again in a picture with a wider border, then framed by the set's median
    landmarks; `CropSource` records which. Pictures that are aligned already are taken ``whole``: by
    default those of a set that is published in the wanted template. Crops are ``size`` pixels wide.
    Rows that are done stay done when the run is killed and repeated, or samples are added; where
    the picture has changed since, it is prepared anew.

    ``detector`` makes one, with `SEARCH_OPTIONS`, in each of ``processes`` (by default one a core),
    so it must survive pickling. ``command`` is what people are told to run again to finish the set.

    Raises DatasetError when the folder holds another list of samples, or the same one in another
    template or size, or the set has none.
    """
    if not index.samples:
        raise DatasetError(f"{name} has no readable sample: {index.summary()}.")
    if size not in CROP_SIZES:
        low, high = min(CROP_SIZES), max(CROP_SIZES)
        raise DatasetError(f"Crops have {low} to {high} pixels, in steps of 16, not {size}.")
    folder = out / name
    prepared = open_folder(folder, index, template, size, command)
    if whole is None:
        whole = name in READERS and READERS[name].published_template == template
    if prepared.thumbnail is None:
        prepared = _hashed(folder, prepared, processes)
    _forget_changed(folder, prepared, processes)
    todo = np.flatnonzero(prepared.source == CropSource.TODO)
    if whole:
        _run(folder, todo, None, processes, f"{name}: reading")
        return prepared
    _run(folder, todo, detector, processes, f"{name}: finding faces")
    _frame_the_rest(prepared, np.load(folder / "landmarks.npy", "r"))
    return prepared


def _forget_changed(folder: Path, prepared: PreparedSet, processes: int | None) -> None:
    """Mark rows as still to do whose pictures are other ones now, or can be read at last; and those
    that others frame."""
    # Rows of a csv have no bytes of their own: which ones they get depends on the version of zlib.
    rows = np.array(
        [
            row
            for row in np.flatnonzero(prepared.source != CropSource.TODO)
            if prepared.samples[row].image.offset is None
        ],
        dtype=np.int64,
    )
    title = f"{prepared.name}: looking for changed pictures"
    found = map_rows(_changed, rows, _start_worker, (folder, None), processes, title)
    changed = np.concatenate([np.empty(0, np.int64), *found])
    if not len(changed):
        return
    tqdm.write(
        f"{prepared.name}: {len(changed):,} pictures have changed since they were prepared, such "
        f"as {prepared.samples[min(changed)].image.name}; they are prepared anew.",
        file=sys.stderr,
    )
    prepared.source[changed] = CropSource.TODO
    prepared.source[prepared.source == CropSource.ASSUMED] = CropSource.TODO


def _changed(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    prepared = _worker[1]
    changed = []
    for row in rows.tolist():
        # One that cannot be read now is left as it was prepared.
        with contextlib.suppress(ImageError, OSError, KeyError, ValueError):
            data = read_bytes(prepared.samples[row].image)
            if sha1(data).digest() != bytes(prepared.digest[row]):
                load_image(data)
                changed.append(row)
    return np.array(changed, dtype=np.int64)


def _hashed(folder: Path, prepared: PreparedSet, processes: int | None) -> PreparedSet:
    """The set with the perceptual hashes that an earlier version did not make."""
    hashes = np.zeros((len(prepared.samples), THUMBNAIL), np.uint8)
    rows = np.arange(len(hashes))
    title = f"{prepared.name}: hashing"
    for chunk, own in map_rows(_hash_chunk, rows, _start_worker, (folder, None), processes, title):
        hashes[chunk] = own
    stream = io.BytesIO()
    np.save(stream, hashes)
    write_atomically(folder / THUMBNAILS, stream.getbuffer())
    return PreparedSet.open(folder, writable=True)


def _hash_chunk(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    prepared = _worker[1]
    hashes = np.zeros((len(rows), THUMBNAIL), np.uint8)
    for place, row in enumerate(rows):
        with contextlib.suppress(ImageError, OSError, KeyError, ValueError):
            hashes[place] = thumbnail(load_image(read_bytes(prepared.samples[row].image)))
    return rows, hashes


def _frame_the_rest(prepared: PreparedSet, points: NDArray[np.float32]) -> None:
    """Last, because it needs the median landmarks of the faces that were found: in the whole
    picture, or in the box of the face where there is one."""
    missing = prepared.source == CropSource.TODO
    found = np.isin(prepared.source, (CropSource.DETECTED, CropSource.PADDED))
    if not missing.any():
        return
    if not found.any():
        raise DatasetError(
            f"No face was found in any of the {np.sum(missing):,} images of {prepared.name}."
        )
    boxed = np.array([sample.box is not None for sample in prepared.samples])
    for alike in (~boxed, boxed):
        rows = np.flatnonzero(missing & alike)
        if not (found & alike).any():  # nothing says how these are framed
            prepared.source[rows] = CropSource.UNREADABLE
            continue
        median = np.median(points[found & alike], axis=0)
        for row in tqdm(rows, desc=f"{prepared.name}: framing the rest", unit="face"):
            image = _load(prepared, row)
            if image is not None:
                landmarks = _to_pixels(median, frame_of(prepared.samples[row], image))
                size = prepared.crops.shape[1]
                prepared.crops[row] = align(image, landmarks, size, prepared.template)
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


def copies_line(prepared: PreparedSet) -> str:
    """One line: which pictures training leaves out because a later split has them too, and of how
    many it settles the labels. Empty where there are none."""
    train, val = prepared.copies_of_later("train"), prepared.copies_of_later("val")
    same, alike = len(train[0]) + len(val[0]), len(train[1]) + len(val[1])
    rows = prepared.rows("train")
    samples = [prepared.samples[row] for row in rows]
    _, groups, contradicting = settled(samples, prepared.digest[rows], prepared.tasks)
    if not (same or alike or groups):
        return ""
    return (
        f"{prepared.name}: {same:,} identical and {alike:,} re-encoded copies of a later split's "
        f"images are left out of training and validation; of {groups:,} groups of identical "
        f"training images {contradicting:,} had contradicting labels, which are settled"
    )


def _run(
    folder: Path,
    rows: NDArray[np.int64],
    detector: Callable[[], Detector] | None,
    processes: int | None,
    title: str,
) -> None:
    for _ in map_rows(_prepare_chunk, rows, _start_worker, (folder, detector), processes, title):
        pass


_worker: tuple[Detector | None, PreparedSet, NDArray[np.float32]]


def _start_worker(folder: Path, detector: Callable[[], Detector] | None) -> None:
    global _worker
    points = np.load(folder / "landmarks.npy", "r+")
    made = None if detector is None else detector()
    _worker = (made, PreparedSet.open(folder, writable=True), points)


def _prepare_chunk(rows: NDArray[np.int64]) -> None:
    detector, prepared, points = _worker
    size = prepared.crops.shape[1]
    images: dict[int, RGBImage] = {}
    for row in rows.tolist():
        image = _load(prepared, row)
        if image is not None:
            images[row] = image
    if detector is None:
        for row, image in images.items():
            prepared.crops[row] = _whole(image, size)
            prepared.source[row] = CropSource.WHOLE
        return
    boxes = {row: _box(prepared.samples[row], image) for row, image in images.items()}
    found: dict[int, Detection] = {}
    for row, box in boxes.items():
        face = None if box is None else detector.refine(images[row], [box])[0]
        if face is not None:
            found[row] = face
    unboxed = {row: image for row, image in images.items() if boxes[row] is None}
    found |= _search(detector, unboxed, 0.0)
    again = {row: image for row, image in unboxed.items() if row not in found}
    padded = dict(_search(detector, again, _PADDING))
    for row, face in (found | padded).items():
        image = images[row]
        prepared.crops[row] = align(image, face.landmarks, size, prepared.template)
        left, top, right, bottom = frame_of(prepared.samples[row], image)
        points[row] = (np.asarray(face.landmarks) - (left, top)) / (right - left, bottom - top)
        # After the crop: a row that says it is done must be.
        prepared.source[row] = CropSource.DETECTED if row in found else CropSource.PADDED


def _box(sample: Sample, image: RGBImage) -> Box | None:
    """The given box of a face in pixels."""
    if sample.box is None:
        return None
    scale = image.shape[1::-1] * 2 if max(sample.box) <= 1 else (1, 1, 1, 1)
    x1, y1, x2, y2 = (value * side for value, side in zip(sample.box, scale, strict=True))
    return x1, y1, x2, y2


def frame_of(sample: Sample, image: RGBImage) -> Box:
    """What landmarks are told as fractions of: the given box, or the whole picture."""
    return _box(sample, image) or (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))


def _load(prepared: PreparedSet, row: int) -> RGBImage | None:
    try:
        data = read_bytes(prepared.samples[row].image)
        image = load_image(data)
    except (ImageError, OSError, KeyError, ValueError):
        prepared.source[row] = CropSource.UNREADABLE
        return None
    prepared.digest[row] = np.frombuffer(sha1(data).digest(), np.uint8)
    if prepared.thumbnail is not None:
        prepared.thumbnail[row] = thumbnail(image)
    return image


def _whole(image: RGBImage, size: int) -> RGBImage:
    picture = Image.fromarray(image)
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BICUBIC)
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


def _to_pixels(points: NDArray[np.float32], frame: Box) -> Landmarks:
    left, top, right, bottom = frame
    pixels = points * np.array((right - left, bottom - top)) + np.array((left, top))
    return tuple((float(x), float(y)) for x, y in pixels)  # type: ignore[return-value]
