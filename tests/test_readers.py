"""Readers on small raw files in every published variant, and on the real sets where they are."""

import csv
import io
import json
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agegenderemo.images import load_image
from agegenderemo.labels import (
    EMOTIONS,
    FERPLUS_COLUMNS,
    age_band,
    argmax_emotion,
    majority_emotion,
)
from agegenderemo.readers import DatasetError, ffhq, read, read_bytes
from agegenderemo.readers.source import list_images, stem
from agegenderemo.records import Reading


def image_bytes(side: int = 8, format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(stream, format)
    return stream.getvalue()


def write(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes())
    return root


def reasons(reading: Reading) -> Counter[str]:
    return Counter(skip.reason for skip in reading.skipped)


# --- UTKFace ---------------------------------------------------------------------------------


def test_utkface_labels_are_the_file_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        "part/25_1_2_20170116174525125.jpg.chip.jpg",
        "1_0_4_20161219140623097.png",
        "116_0_0_20170112213500903.jpg.chip.webp",
    )
    reading = read("utkface", tmp_path)
    found = {(s.age, s.gender, s.group) for s in reading.samples}
    # The set says 0 male, 1 female; everything of ours says 1 male.
    assert found == {(25, 0, "Asian"), (1, 1, "Others"), (116, 1, "White")}
    assert reading.skipped == ()


def test_utkface_names_with_a_blank_or_a_missing_dot_are_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        "24_0_1_20170116220224657 .jpg.chip.jpg",
        "55_0_0_20170116232725357jpg.chip.jpg",
    )
    assert sorted(s.age for s in read("utkface", tmp_path).samples if s.age) == [24, 55]


@pytest.mark.parametrize(
    "name",
    [
        "61_1_20170109142408075.jpg.chip.jpg",  # no race
        "61_3_20170109150557335.jpg.chip.jpg",
        "a_0_1_20170109150557335.jpg.chip.jpg",
        "25_1_7_20170109150557335.jpg.chip.jpg",  # no such race
        "25_2_1_20170109150557335.jpg.chip.jpg",  # no such gender
        "photo.jpg",
    ],
)
def test_utkface_names_that_lack_a_field_are_skipped(tmp_path: Path, name: str) -> None:
    reading = read("utkface", write(tmp_path, name))
    assert reading.samples == ()
    assert reasons(reading) == {"name lacks a field": 1}
    assert "skipped 1 (name lacks a field)" in reading.summary()


def test_utkface_impossible_ages_are_skipped(tmp_path: Path) -> None:
    reading = read("utkface", write(tmp_path, "117_0_0_20170112213500903.jpg"))
    assert reasons(reading) == {"age out of range": 1}


def test_a_zip_reads_like_the_folder(tmp_path: Path) -> None:
    names = ["UTKFace/25_1_2_20170116174525125.jpg.chip.jpg", "UTKFace/1_0_4_2.jpg"]
    with zipfile.ZipFile(tmp_path / "utkface.zip", "w") as archive:
        for name in names:
            archive.writestr(name, image_bytes())
        archive.writestr("__MACOSX/UTKFace/._1_0_4_2.jpg", b"shadow")
        archive.writestr("UTKFace/readme.txt", b"text")
    for root in (tmp_path, tmp_path / "utkface.zip"):
        reading = read("utkface", root)
        assert sorted(s.image.name for s in reading.samples) == sorted(names)
        assert load_image(read_bytes(reading.samples[0].image)).shape == (8, 8, 3)


# --- FER+ ------------------------------------------------------------------------------------

FER_VOTES = {
    "neutral": {"neutral": 8, "sadness": 2},
    "happy": {"happiness": 10},
    "no face": {"NF": 10},
    "unsure": {"unknown": 6, "anger": 4},
}


def write_labels(root: Path, rows: list[tuple[str, str, dict[str, Any]]]) -> None:
    with (root / "fer2013new.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Usage", "Image name", *FERPLUS_COLUMNS])
        for usage, name, votes in rows:
            writer.writerow([usage, name, *(votes.get(c, 0) for c in FERPLUS_COLUMNS)])


def test_ferplus_image_layout(tmp_path: Path) -> None:
    write(
        tmp_path,
        "FER2013Train/fer0000000.png",
        "FER2013Valid/fer0000001.webp",
        "FER2013Test/fer0000002.png",
    )
    write_labels(
        tmp_path,
        [
            ("Training", "fer0000000.png", FER_VOTES["neutral"]),
            ("PublicTest", "fer0000001.png", FER_VOTES["happy"]),
            ("PrivateTest", "fer0000002.png", FER_VOTES["unsure"]),
            ("Training", "", FER_VOTES["no face"]),
            ("Training", "fer0000009.png", FER_VOTES["happy"]),
            ("Training", "fer0000000.png", FER_VOTES["neutral"]),
        ],
    )
    reading = read("ferplus", tmp_path)
    assert [s.split for s in reading.samples] == ["train", "val", "test"]
    first, _, unsure = reading.samples
    assert first.emotion is not None
    assert first.emotion[EMOTIONS.index("neutral")] == pytest.approx(0.8)
    assert unsure.emotion is None  # most votes name no emotion
    assert unsure.votes is not None
    assert reasons(reading) == {"no image name": 1, "no image": 1, "image named twice": 1}


@pytest.mark.parametrize(
    ("usage", "votes", "reason"),
    [
        ("Training", {"neutral": ""}, "missing or unreadable field"),
        ("Training", {"neutral": "many"}, "missing or unreadable field"),
        ("Somewhere", FER_VOTES["happy"], "missing or unreadable field"),
        ("Training", {"neutral": -3}, "no votes"),
        ("Training", {}, "no votes"),
    ],
)
def test_ferplus_broken_rows_are_skipped(
    tmp_path: Path, usage: str, votes: dict[str, Any], reason: str
) -> None:
    write(tmp_path, "FER2013Train/fer0000000.png")
    write_labels(tmp_path, [(usage, "fer0000000.png", votes)])
    reading = read("ferplus", tmp_path)
    assert reading.samples == ()
    assert reasons(reading) == {reason: 1}


def pixel_csv(root: Path, rows: list[str]) -> None:
    (root / "fer2013.csv").write_text("emotion,pixels,Usage\n" + "".join(r + "\n" for r in rows))


@pytest.mark.parametrize("quote", ["", '"'])
def test_ferplus_pixel_strings_give_the_same_pixels(tmp_path: Path, quote: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    text = quote + " ".join(map(str, pixels.flat)) + quote
    pixel_csv(tmp_path, [f"0,{text},Training", f"3,{text},PrivateTest"])
    write_labels(
        tmp_path,
        [
            ("Training", "fer0000000.png", FER_VOTES["neutral"]),
            ("PrivateTest", "fer0000001.png", FER_VOTES["happy"]),
        ],
    )
    reading = read("ferplus", tmp_path)
    assert [s.split for s in reading.samples] == ["train", "test"]
    for sample in reading.samples:
        assert np.array_equal(load_image(read_bytes(sample.image))[:, :, 1], pixels)


def test_ferplus_broken_pixel_strings_are_skipped(tmp_path: Path) -> None:
    short, wrong = " ".join(["7"] * 100), " ".join(["300"] * 2304)
    pixel_csv(tmp_path, [f"0,{short},Training", f"0,{wrong},Training", "0"])
    write_labels(
        tmp_path, [("Training", f"fer000000{i}.png", FER_VOTES["happy"]) for i in range(3)]
    )
    assert reasons(read("ferplus", tmp_path)) == {"broken pixel string": 3}


def test_ferplus_lists_of_different_length_are_refused(tmp_path: Path) -> None:
    pixel_csv(tmp_path, [])
    write_labels(tmp_path, [("Training", "fer0000000.png", FER_VOTES["happy"])])
    with pytest.raises(DatasetError, match="same list"):
        read("ferplus", tmp_path)


def test_a_missing_label_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"fer2013new\.csv was not found"):
        read("ferplus", write(tmp_path, "FER2013Train/fer0000000.png"))


# --- FairFace --------------------------------------------------------------------------------


def fairface(root: Path, rows: list[str], name: str = "fairface_label_train.csv") -> None:
    text = "file,age,gender,race,service_test\n" + "".join(row + "\n" for row in rows)
    # Excel writes a byte order mark.
    (root / name).write_text(text, encoding="utf-8-sig")


def test_fairface_bands_are_closed_intervals(tmp_path: Path) -> None:
    write(tmp_path, "train/1.jpg", "train/2.webp", "val/1.jpg")
    fairface(
        tmp_path,
        [
            "train/1.jpg,20-29,Male,Indian,True",
            "train/2.jpg,more than 70,Female,White,False",
            "train/3.jpg,0-2,Female,White,False",
        ],
    )
    fairface(tmp_path, ["val/1.jpg,3-9,Male,Black,False"], "fairface_label_val.csv")
    reading = read("fairface", tmp_path)
    assert [(s.age_range, s.gender, s.group) for s in reading.samples] == [
        ((20, 29), 1, "Indian"),
        ((70, float("inf")), 0, "White"),
        ((3, 9), 1, "Black"),
    ]
    assert reading.samples[2].split == "test"
    assert reasons(reading) == {"no image": 1}


@pytest.mark.parametrize(
    ("mangled", "band"),
    [("03-Sep", (3, 9)), ("3-Sep", (3, 9)), ("Oct-19", (10, 19)), ("19-Oct", (10, 19))],
)
def test_fairface_spreadsheet_dates_are_restored_and_counted(
    tmp_path: Path, mangled: str, band: tuple[int, int]
) -> None:
    write(tmp_path, "train/1.jpg")
    fairface(tmp_path, [f"train/1.jpg,{mangled},Male,Indian,True"])
    reading = read("fairface", tmp_path)
    assert reading.samples[0].age_range == band
    assert [r.reason for r in reading.repaired] == [f"age band {mangled}"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("train/1.jpg,Nov-20,Male,Indian,True", "unknown age band"),
        ("train/1.jpg,,Male,Indian,True", "unknown age band"),
        ("train/1.jpg,20-29,,Indian,True", "unknown gender"),
        ("train/1.jpg", "unknown age band"),
    ],
)
def test_fairface_what_cannot_be_read_is_skipped(tmp_path: Path, row: str, reason: str) -> None:
    write(tmp_path, "train/1.jpg")
    fairface(tmp_path, [row])
    reading = read("fairface", tmp_path)
    assert reading.samples == ()
    assert reasons(reading) == {reason: 1}


# --- FFHQ-Features ---------------------------------------------------------------------------


def azure_face(**changes: Any) -> dict[str, Any]:
    emotion = dict.fromkeys(EMOTIONS, 0.0) | {"happiness": 0.6, "neutral": 0.2}
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
    reading = read("ffhq", ffhq_set(tmp_path, files, images))
    assert [s.age for s in reading.samples] == [31, 2, 70]
    assert [s.gender for s in reading.samples] == [1, 1, 0]
    assert [s.split for s in reading.samples] == ["train", "train", "val"]
    emotion = reading.samples[0].emotion
    assert emotion is not None
    assert emotion[EMOTIONS.index("happiness")] == pytest.approx(0.75)
    assert [r.reason for r in reading.repaired] == ["several faces, the first counts"]


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
        ([azure_face(emotion=dict.fromkeys(EMOTIONS, 0.0))], "missing or unreadable field"),
    ],
)
def test_ffhq_what_cannot_be_read_is_skipped(tmp_path: Path, content: Any, reason: str) -> None:
    reading = read("ffhq", ffhq_set(tmp_path, {"00000": content}))
    assert reading.samples == ()
    assert reasons(reading) == {reason: 1}


def test_ffhq_missing_images_are_counted(tmp_path: Path) -> None:
    ffhq_set(tmp_path, {"00000": [azure_face()], "00001": [azure_face()]})
    (tmp_path / "thumbnails128x128" / "00001.png").unlink()
    reading = read("ffhq", tmp_path)
    assert len(reading.samples) == 1
    assert reasons(reading) == {"no image": 1}


def test_ffhq_labels_are_read_from_the_published_tar(tmp_path: Path) -> None:
    root = ffhq_set(tmp_path / "set", {"00007": [azure_face()]})
    with tarfile.open(tmp_path / "labels.tar.xz", "w:xz") as archive:
        archive.add(root / "json", "json")
    reading = ffhq.read_parts(tmp_path / "labels.tar.xz")
    assert [(s.age, s.image.name) for s in reading.samples] == [(31, "00007.png")]


# --- what they share -------------------------------------------------------------------------


def test_an_unknown_set_lists_the_known() -> None:
    with pytest.raises(DatasetError, match="known are utkface, ferplus, fairface, ffhq"):
        read("celeba", "anywhere")


@pytest.mark.parametrize("name", ["utkface", "ffhq", "fairface", "ferplus"])
def test_a_missing_folder_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=str(tmp_path)):
        read(name, tmp_path / "nowhere")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no set")
    with pytest.raises(DatasetError, match="neither a folder nor a zip"):
        list(list_images(tmp_path / "notes.txt"))


def test_stems_end_at_the_first_dot() -> None:
    assert stem("a/b/24_0_1_2017 .jpg.chip.jpg") == "24_0_1_2017"


# --- the real sets ---------------------------------------------------------------------------


def test_real_utkface(data_root: Path) -> None:
    reading = read("utkface", data_root)
    assert len(reading.samples) == 21_352
    assert reasons(reading) == {"name lacks a field": 3}
    # 2,457 images hash to the test split; one of them is among the three without a field.
    splits = Counter(s.split for s in reading.samples)
    assert splits == {"train": 17_706, "val": 1_190, "test": 2_456}


def test_real_ferplus(data_root: Path) -> None:
    reading = read("ferplus", data_root)
    assert len(reading.samples) == 35_710
    assert reasons(reading) == {"no image name": 173, "image named twice": 4}
    test = [s.votes for s in reading.samples if s.split == "test" and s.votes is not None]
    assert sum(majority_emotion(v) is not None for v in test) == 3_153
    assert sum(argmax_emotion(v) is not None for v in test) == 3_546


def test_real_fairface(data_root: Path) -> None:
    reading = read("fairface", data_root)
    assert len(reading.samples) == 40_000
    assert reading.skipped == ()
    assert Counter(s.split for s in reading.samples) == {"train": 38_005, "val": 1_995}


def test_real_ffhq_features(data_root: Path) -> None:
    reading = ffhq.read_parts(data_root / "ffhq_features_json.tar.xz")
    assert len(reading.samples) == 69_471
    assert reasons(reading) == {"no face": 529}
    assert len(reading.repaired) == 70
    assert Counter(s.split for s in reading.samples) == {
        "train": 58_331, "val": 9_735, "test": 69_471 - 58_331 - 9_735,
    }  # fmt: skip
    assert all((s.age == 0) == (s.split == "test") for s in reading.samples)
    bands = Counter(age_band(s.age) for s in reading.samples if s.age is not None)
    expected = [9_750, 5_974, 19_991, 16_440, 9_071, 5_409, 2_460, 376]
    assert [bands[i] for i in range(8)] == expected


def test_real_ffhq_sample(data_root: Path) -> None:
    assert len(read("ffhq", data_root / "ffhq_sample").samples) == 20
