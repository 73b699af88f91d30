"""Readers on small raw files in every published variant, and on the real sets where they are."""

import csv
import dataclasses
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_images import image_bytes, reasons, write

from agegenderemo.data.hard_labels import hard_label
from agegenderemo.data.readers import (
    READERS,
    ReaderSpec,
    get_reader,
    read,
    read_bytes,
    register_reader,
)
from agegenderemo.data.readers.ferplus_votes import FERPLUS_COLUMNS
from agegenderemo.data.readers.source import list_images, stem
from agegenderemo.data.samples import DatasetIndex, Sample
from agegenderemo.errors import DatasetError
from agegenderemo.imaging.load import load_image
from agegenderemo.tasks import AGE, EMOTION, GENDER, SMILE

ROOT = Path(__file__).parent.parent


# --- UTKFace ---------------------------------------------------------------------------------


def test_utkface_labels_are_the_file_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        "part/25_1_2_20170116174525125.jpg.chip.jpg",
        "1_0_4_20161219140623097.png",
        "116_0_0_20170112213500903.jpg.chip.webp",
    )
    index = read("utkface", tmp_path)
    found = {(s.labels["age"], s.labels["gender"], s.race) for s in index.samples}
    # The set says 0 male, 1 female; everything of ours says 1 male.
    assert found == {(25, 0, "Asian"), (1, 1, "Others"), (116, 1, "White")}
    assert index.skipped == ()


def test_utkface_names_with_a_blank_or_a_missing_dot_are_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        "24_0_1_20170116220224657 .jpg.chip.jpg",
        "55_0_0_20170116232725357jpg.chip.jpg",
    )
    assert sorted(s.labels["age"] for s in read("utkface", tmp_path).samples) == [24, 55]


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
    index = read("utkface", write(tmp_path, name))
    assert index.samples == ()
    assert reasons(index) == {"name lacks a field": 1}
    assert "skipped 1 (name lacks a field)" in index.summary()


def test_utkface_impossible_ages_are_skipped(tmp_path: Path) -> None:
    index = read("utkface", write(tmp_path, "117_0_0_20170112213500903.jpg"))
    assert reasons(index) == {"age out of range": 1}


def test_a_zip_reads_like_the_folder(tmp_path: Path) -> None:
    names = ["UTKFace/25_1_2_20170116174525125.jpg.chip.jpg", "UTKFace/1_0_4_2.jpg"]
    with zipfile.ZipFile(tmp_path / "utkface.zip", "w") as archive:
        for name in names:
            archive.writestr(name, image_bytes())
        archive.writestr("__MACOSX/UTKFace/._1_0_4_2.jpg", b"shadow")
        archive.writestr("UTKFace/readme.txt", b"text")
    for root in (tmp_path, tmp_path / "utkface.zip"):
        index = read("utkface", root)
        assert sorted(s.image.name for s in index.samples) == sorted(names)
        assert load_image(read_bytes(index.samples[0].image)).shape == (8, 8, 3)


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
        "FER2013Train/fer0000003.png",
        "FER2013Valid/fer0000003.png",
    )
    write_labels(
        tmp_path,
        [
            ("Training", "fer0000000.png", FER_VOTES["neutral"]),
            ("PublicTest", "fer0000001.png", FER_VOTES["happy"]),
            ("PrivateTest", "fer0000002.png", FER_VOTES["unsure"]),
            ("Training", "", FER_VOTES["no face"]),
            ("Training", "fer0000009.png", FER_VOTES["happy"]),
            ("Training", "fer0000003.png", FER_VOTES["happy"]),
            ("Training", "fer0000000.png", FER_VOTES["neutral"]),
        ],
    )
    index = read("ferplus", tmp_path)
    assert [s.split for s in index.samples] == ["train", "val", "test"]
    first, _, unsure = index.samples
    emotion = first.labels["emotion"]
    assert isinstance(emotion, tuple)
    assert emotion[EMOTION.classes.index("neutral")] == pytest.approx(0.8)
    assert unsure.labels == {}  # most votes name no emotion
    assert unsure.votes is not None
    assert reasons(index) == {
        "no image name": 1, "no image": 1, "image named twice": 1, "several images of this name": 1,
    }  # fmt: skip


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
    index = read("ferplus", tmp_path)
    assert index.samples == ()
    assert reasons(index) == {reason: 1}


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
    index = read("ferplus", tmp_path)
    assert [s.split for s in index.samples] == ["train", "test"]
    for sample in index.samples:
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
    index = read("fairface", tmp_path)
    assert [(s.labels["age"], s.labels["gender"], s.race) for s in index.samples] == [
        ((20, 29), 1, "Indian"),
        ((70, float("inf")), 0, "White"),
        ((3, 9), 1, "Black"),
    ]
    assert index.samples[2].split == "test"
    assert reasons(index) == {"no image": 1}


@pytest.mark.parametrize(
    ("mangled", "band"),
    [("03-Sep", (3, 9)), ("3-Sep", (3, 9)), ("Oct-19", (10, 19)), ("19-Oct", (10, 19))],
)
def test_fairface_spreadsheet_dates_are_restored_and_counted(
    tmp_path: Path, mangled: str, band: tuple[float, float]
) -> None:
    write(tmp_path, "train/1.jpg")
    fairface(tmp_path, [f"train/1.jpg,{mangled},Male,Indian,True"])
    index = read("fairface", tmp_path)
    assert index.samples[0].labels["age"] == band
    assert [r.reason for r in index.repaired] == [f"age band {mangled}"]


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
    index = read("fairface", tmp_path)
    assert index.samples == ()
    assert reasons(index) == {reason: 1}


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


def test_a_reader_says_what_it_reads() -> None:
    tasks = {name: spec.tasks for name, spec in READERS.items()}
    assert tasks["utkface"] == tasks["fairface"] == (AGE, GENDER)
    assert tasks["ferplus"] == (EMOTION,)
    assert tasks["ffhq"] == (AGE, GENDER, EMOTION, SMILE)
    assert {name for name, spec in READERS.items() if spec.own} == {"csv", "folders"}
    published = {name: s.published_template for name, s in READERS.items() if s.published_template}
    assert published == {"ffhq": "ffhq"}
    assert all(name == spec.name and spec.title for name, spec in READERS.items())
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_reader("utkface").name = "other"  # type: ignore[misc]


def test_a_new_reader_is_six_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @register_reader("grins", "Grins", (SMILE,))
    def grins(root: Path) -> DatasetIndex:
        refs = list_images(root)
        samples = (Sample(r, "train", {"smile": int("grin" in r.name)}) for r in refs)
        return DatasetIndex(tuple(samples), (SMILE,))

    monkeypatch.setitem(READERS, "grins", READERS.pop("grins"))  # taken out again afterwards
    index = read("grins", write(tmp_path, "grin1.png", "frown.png"))
    assert [s.labels for s in index.samples] == [{"smile": 0}, {"smile": 1}]
    assert isinstance(get_reader("grins"), ReaderSpec)
    with pytest.raises(ValueError, match="registered already"):
        register_reader("grins", "Again", (SMILE,))(grins)


def test_readers_know_no_torch() -> None:
    code = "import sys, agegenderemo.data.readers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# --- the real sets ---------------------------------------------------------------------------


def test_real_utkface(data_root: Path) -> None:
    index = read("utkface", data_root)
    assert len(index.samples) == 21_352
    assert reasons(index) == {"name lacks a field": 3}
    # 2,457 images hash to the test split; one of them is among the three without a field.
    splits = Counter(s.split for s in index.samples)
    assert splits == {"train": 17_706, "val": 1_190, "test": 2_456}


@pytest.mark.slow
def test_real_ferplus(data_root: Path) -> None:
    index = read("ferplus", data_root)
    assert len(index.samples) == 35_710
    assert reasons(index) == {"no image name": 173, "image named twice": 4}
    test = index.only("test").samples
    assert sum(hard_label(s, EMOTION, "majority") is not None for s in test) == 3_153
    assert sum(hard_label(s, EMOTION, "argmax") is not None for s in test) == 3_546


@pytest.mark.slow
def test_real_fairface(data_root: Path) -> None:
    index = read("fairface", data_root)
    assert len(index.samples) == 40_000
    assert index.skipped == ()
    assert Counter(s.split for s in index.samples) == {"train": 38_005, "val": 1_995}
