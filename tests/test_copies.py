"""Copies of one picture in a set, and labels that contradict each other."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import write_set

from agegenderemo.data.copies import near_copies, settled, thumbnail
from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.prepare import copies_line, prepare
from agegenderemo.data.sampler import TrainingSet
from agegenderemo.data.samples import DatasetIndex, ImageRef, Label, Sample, Split
from agegenderemo.detection import MtcnnDetector
from agegenderemo.errors import DatasetError
from agegenderemo.imaging.load import load_image
from agegenderemo.tasks import AGE, DEFAULT_TASKS, EMOTION, GENDER
from agegenderemo.types import RGBImage

REF = ImageRef(Path(), "a")


def faces(examples: Path, count: int) -> list[RGBImage]:
    photo = load_image(examples / "solvay-1927.jpg")
    found = MtcnnDetector().detect(photo)[:count]
    boxes = [tuple(int(value) for value in face.box) for face in found]
    return [photo[y1 - 9 : y2 + 9, x1 - 9 : x2 + 9] for x1, y1, x2, y2 in boxes]


def encoded_anew(image: RGBImage) -> RGBImage:
    stream = io.BytesIO()
    smaller = Image.fromarray(image).resize((90, 110), Image.Resampling.LANCZOS)
    smaller.save(stream, "JPEG", quality=60)
    return load_image(stream.getvalue())


def test_a_picture_encoded_anew_is_a_copy_and_another_face_is_not(examples: Path) -> None:
    pictures = faces(examples, 8)
    hashes = np.stack([thumbnail(p) for p in (*pictures, *map(encoded_anew, pictures[:4]))])
    later = np.arange(8, 12)
    assert near_copies(hashes, np.arange(8), later).tolist() == [True] * 4 + [False] * 4
    assert near_copies(hashes, np.arange(8), later[:0]).tolist() == [False] * 8
    flat = np.stack([thumbnail(np.full((9, 9, 3), level, np.uint8)) for level in (0, 9, 9)])
    assert not near_copies(flat, np.arange(2), np.array([2])).any()  # nothing to compare


@pytest.fixture
def prepared(tmp_path: Path, examples: Path) -> PreparedSet:
    """Four training faces: one has an identical and one a re-encoded copy in test; the other two
    are the same picture, 30 and 40 years old; one validation face is re-encoded from test."""
    one, two, three, four = faces(examples, 4)
    other = encoded_anew(two)
    entries: list[tuple[str, RGBImage, Split, float]] = [
        ("a", one, "train", 20), ("b", two, "train", 20), ("c", three, "train", 30),
        ("d", three, "train", 40), ("e", one, "test", 20), ("f", other, "test", 20),
        ("g", four, "test", 20), ("h", encoded_anew(four), "val", 20),
    ]  # fmt: skip
    samples = []
    for name, image, split, years in entries:
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        samples.append(Sample(ImageRef(tmp_path, f"{name}.png"), split, {"age": years}))
    index = DatasetIndex(tuple(samples), (AGE,))
    return prepare("own", index, tmp_path / "out", MtcnnDetector, processes=1, whole=True)


def test_copies_of_later_splits_are_not_trained_on(prepared: PreparedSet) -> None:
    assert prepared.rows("train").tolist() == [2, 3]
    assert prepared.rows("val").tolist() == []
    assert prepared.rows("test").tolist() == [4, 5, 6]
    assert prepared.rows("train", copies=True).tolist() == [0, 1, 2, 3]
    assert copies_line(prepared) == (
        "own: 1 identical and 2 re-encoded copies of a later split's images are left out of "
        "training and validation; of 1 groups of identical training images 1 had contradicting "
        "labels, which are settled"
    )
    target = TrainingSet.build([prepared], (AGE,)).targets["age"]
    assert target[0].tolist() == [30, 30]
    assert target[1].tolist() == [40, 40]
    target = TrainingSet.build([prepared], (AGE,), drop_copies=False).targets["age"]
    assert target[1].tolist() == [20, 20, 30, 40]


def test_a_set_without_hashes_is_read_and_gets_them_from_prepare(
    prepared: PreparedSet, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / "own"
    made = (folder / "thumbnail.npy").read_bytes()
    (folder / "thumbnail.npy").unlink()
    assert PreparedSet.open(folder).rows("train").tolist() == [1, 2, 3]  # identical ones only
    index = DatasetIndex(prepared.samples, prepared.tasks)
    again = prepare("own", index, tmp_path / "out", MtcnnDetector, processes=1, whole=True)
    assert again.rows("train").tolist() == [2, 3]
    assert (folder / "thumbnail.npy").read_bytes() == made


def test_labels_of_identical_pictures_are_settled() -> None:
    happy, sad = (tuple(float(n == name) for n in EMOTION.classes) for name in EMOTION.classes[4:6])
    half = tuple((a + b) / 2 for a, b in zip(happy, sad, strict=True))
    labels: list[dict[str, Label]] = [
        {"age": 30.0, "gender": 1, "emotion": happy},
        {"age": (20.0, 29.0), "gender": 1},
        {"gender": 0, "emotion": sad},
        {"age": 7.0, "gender": 0},
        {"gender": 1},
        {"age": 9.0},
    ]
    samples = [Sample(REF, "train", own) for own in labels]
    digests = np.zeros((6, 20), np.uint8)
    digests[3:5], digests[5] = 1, 2
    out, groups, contradicting = settled(samples, digests, DEFAULT_TASKS)
    assert (groups, contradicting) == (2, 2)
    assert [sample.labels for sample in out] == [
        *[{"age": (20.0, 30.0), "gender": 1, "emotion": half}] * 3,
        *[{"age": 7.0}] * 2,  # one says this, one that
        {"age": 9.0},
    ]
    same = [dataclasses.replace(samples[0])] * 2
    assert settled(same, digests[:2], DEFAULT_TASKS) == (same, 1, 0)


def test_crops_of_several_sizes_are_refused(tmp_path: Path) -> None:
    for name, size in (("a", 64), ("b", 96)):
        crops = np.zeros((1, size, size, 3), np.uint8)
        write_set(tmp_path / name, [Sample(REF, "train", {"gender": 1})], (GENDER,), crops)
    sets = [PreparedSet.open(tmp_path / name) for name in "ab"]
    with pytest.raises(DatasetError, match="of one size, but in pixels: a 64, b 96"):
        TrainingSet.build(sets, (GENDER,))
