"""The reader of FFHQ-Features: small raw files in every published variant, and the real set."""

import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from raw_images import reasons, write

from agegenderemo.data.readers import ffhq, read
from agegenderemo.data.samples import interval
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import EMOTION, age_band


def azure_face(**changes: Any) -> dict[str, Any]:
    emotion = dict.fromkeys(EMOTION.classes, 0.0) | {"happiness": 0.6, "neutral": 0.2}
    return {"faceAttributes": {"age": 31.0, "gender": "male", "emotion": emotion} | changes}


def ffhq_set(root: Path, files: dict[str, Any], images: str = "{}.png") -> Path:
    (root / "json").mkdir(parents=True)
    for key, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (root / "json" / f"{key}.json").write_text(text)
        write(root / "thumbnails128x128", images.format(key))
    return root


@pytest.mark.parametrize("images", ["{}.png", "00000/{}.png", "{}.webp"])
def test_ffhq_reads_the_first_face_and_normalises_emotions(tmp_path: Path, images: str) -> None:
    second = azure_face(age=70.0, gender="female")
    files = {"00000": [azure_face()], "00001": [azure_face(age=2.0), second], "60000": [second]}
    index = read("ffhq", ffhq_set(tmp_path, files, images))
    assert [s.labels["age"] for s in index.samples] == [31, 2, 70]
    assert [s.labels["gender"] for s in index.samples] == [1, 1, 0]
    assert [s.split for s in index.samples] == ["train", "train", "val"]
    emotion = index.samples[0].labels["emotion"]
    assert isinstance(emotion, tuple)
    assert emotion[EMOTION.classes.index("happiness")] == pytest.approx(0.75)
    assert [r.reason for r in index.repaired] == ["several faces, the first counts"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([], "no face"),
        ("", "missing or unreadable field"),
        ("[{", "missing or unreadable field"),
        ([{}], "missing or unreadable field"),
        ({"error": "quota"}, "missing or unreadable field"),
        ([azure_face(age=None)], "missing or unreadable field"),
        ([azure_face(age=-4)], "missing or unreadable field"),
        ([azure_face(gender="?")], "missing or unreadable field"),
        ([azure_face(emotion={"anger": 1.0})], "missing or unreadable field"),
        ([azure_face(emotion=dict.fromkeys(EMOTION.classes, 0.0))], "missing or unreadable field"),
    ],
)
def test_ffhq_what_cannot_be_read_is_skipped(tmp_path: Path, content: Any, reason: str) -> None:
    index = read("ffhq", ffhq_set(tmp_path, {"00000": content}))
    assert index.samples == ()
    assert reasons(index) == {reason: 1}


def test_ffhq_missing_images_are_counted(tmp_path: Path) -> None:
    ffhq_set(tmp_path, {"00000": [azure_face()], "00001": [azure_face()]})
    (tmp_path / "thumbnails128x128" / "00001.png").unlink()
    index = read("ffhq", tmp_path)
    assert len(index.samples) == 1
    assert reasons(index) == {"no image": 1}


def test_ffhq_labels_are_read_from_the_published_tar(tmp_path: Path) -> None:
    root = ffhq_set(tmp_path / "set", {"00007": [azure_face()]})
    with tarfile.open(tmp_path / "labels.tar.xz", "w:xz") as archive:
        archive.add(root / "json", "json")
    index = ffhq.read_parts(tmp_path / "labels.tar.xz")
    assert [(s.labels["age"], s.image.name) for s in index.samples] == [(31, "00007.png")]


def test_damaged_tars_of_labels_and_links_in_them(tmp_path: Path) -> None:
    root = ffhq_set(tmp_path / "set", {f"{i:05}": [azure_face(age=i)] for i in range(9)})
    (root / "json" / "00009.json").symlink_to("/nowhere/labels.json")
    path = tmp_path / "labels.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        archive.add(root / "json", "json")
    assert len(ffhq.read_parts(path).samples) == 9
    cut = tmp_path / "cut.tar.xz"
    cut.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DatasetError, match="damaged or cut off"):
        ffhq.read_parts(cut)


def test_missing_images_are_named(tmp_path: Path) -> None:
    ffhq_set(tmp_path, {"00000": [azure_face()], "00001": [azure_face()], "00002": []})
    (tmp_path / "thumbnails128x128" / "00001.png").unlink()
    assert ffhq.missing_images(read("ffhq", tmp_path)) == ["00001"]


def test_faces_of_age_zero_are_for_testing(tmp_path: Path) -> None:
    files = {"00000": [azure_face(age=0.0)], "60000": [azure_face(age=0)]}
    index = read("ffhq", ffhq_set(tmp_path, files))
    assert [s.split for s in index.samples] == ["test", "test"]


# --- the real set ----------------------------------------------------------------------------


@pytest.mark.slow
def test_real_ffhq_features(data_root: Path) -> None:
    index = ffhq.read_parts(data_root / "ffhq_features_json.tar.xz")
    assert len(index.samples) == 69_471
    assert reasons(index) == {"no face": 529}
    assert len(index.repaired) == 70
    assert Counter(s.split for s in index.samples) == {
        "train": 58_331, "val": 9_735, "test": 69_471 - 58_331 - 9_735,
    }  # fmt: skip
    assert all((s.labels["age"] == 0) == (s.split == "test") for s in index.samples)
    bands = Counter(age_band(interval(s.labels["age"])[0]) for s in index.samples)
    expected = [9_750, 5_974, 19_991, 16_440, 9_071, 5_409, 2_460, 376]
    assert [bands[i] for i in range(8)] == expected


def test_real_ffhq_sample(data_root: Path) -> None:
    assert len(read("ffhq", data_root / "ffhq_sample").samples) == 20


@pytest.mark.parametrize(("score", "label"), [(0.0, 0), (0.49, 0), (0.5, 1), (1, 1)])
def test_a_smile_is_a_score_of_one_half_or_more(tmp_path: Path, score: float, label: int) -> None:
    (sample,) = read("ffhq", ffhq_set(tmp_path, {"00000": [azure_face(smile=score)]})).samples
    assert sample.labels["smile"] == label


@pytest.mark.parametrize("score", [-0.1, 1.5, "wide", [1]])
def test_a_smile_that_is_no_score_is_skipped(tmp_path: Path, score: Any) -> None:
    index = read("ffhq", ffhq_set(tmp_path, {"00000": [azure_face(smile=score)]}))
    assert reasons(index) == {"missing or unreadable field": 1}


def test_two_files_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    root = ffhq_set(tmp_path, {"00000": [azure_face()], "00001": [azure_face()]})
    (root / "json" / "more").mkdir()
    (root / "json" / "more" / "00001.json").write_text(json.dumps([azure_face(age=80)]))
    write(root, "thumbnails128x128/00000/00000.png")
    index = read("ffhq", root)
    assert index.samples == ()
    assert reasons(index) == {
        "several images of this name": 1, "image named twice, with different labels": 1,
    }  # fmt: skip
