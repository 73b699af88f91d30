"""IMDB, WIKI, ChaLearn, APPA-REAL and FER2013 on small raw files as published, broken ones too."""

import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from raw_images import image_bytes, reasons, write

from agegenderemo.data.readers import READERS, read, read_bytes
from agegenderemo.data.readers.imdb_wiki import CROP_BOX
from agegenderemo.data.samples import Estimate
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import AGE, EMOTION7, GENDER, SMILE

savemat = pytest.importorskip("scipy.io").savemat

BOX = [100.0, 50.0, 200.0, 150.0]
JUNE_1970, DECEMBER_1970 = 719_694.0, 719_877.0  # MATLAB's days
FACE: dict[str, Any] = {
    "dob": JUNE_1970, "photo_taken": 2000, "gender": 1.0, "face_location": BOX,
    "face_score": 3.5, "second_face_score": np.nan,
}  # fmt: skip


def mat(root: Path, name: str, rows: dict[str, dict[str, Any]]) -> Path:
    """The published file: one struct of row vectors, paths and boxes in cells."""

    def cells(values: list[Any]) -> np.ndarray[Any, Any]:
        out = np.empty((1, len(values)), object)
        out[0] = values
        return out

    whole = [FACE | row for row in rows.values()]
    struct: dict[str, Any] = {
        key: np.array([[row[key] for row in whole]], float)
        for key in ("dob", "photo_taken", "gender", "face_score", "second_face_score")
    }
    boxes = np.empty((1, len(whole)), object)
    for index, row in enumerate(whole):
        boxes[0, index] = np.array([row["face_location"]])
    struct |= {"full_path": cells(list(rows)), "face_location": boxes}
    root.mkdir(parents=True, exist_ok=True)
    savemat(root / f"{name}.mat", {name: struct})
    return root


def pictures(root: Path, names: list[str], width: int, height: int) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height), "grey").save(root / name)


@pytest.mark.parametrize("name", ["imdb", "wiki"])
def test_ages_come_from_dates(tmp_path: Path, name: str) -> None:
    rows = {
        "01/nm1_rm1_1970-6-1_2000.jpg": {},
        "01/nm1_rm2_1970-12-1_2000.jpg": {"dob": DECEMBER_1970, "gender": 0.0},
        "02/nm2_rm3_1970-6-1_1971.jpg": {"photo_taken": 1971, "gender": np.nan},
    }
    mat(tmp_path, name, rows)
    pictures(tmp_path, list(rows), 180, 180)
    index = read(name, tmp_path)
    assert [s.labels for s in index.samples] == [
        {"age": 30, "gender": 1}, {"age": 29, "gender": 0}, {"age": 1},
    ]  # fmt: skip
    assert index.samples[0].split == index.samples[1].split  # one person
    assert {s.box for s in index.samples} == {CROP_BOX}
    assert index.summary() == "3 samples; pictures are crops"


def test_boxes_of_whole_photos_are_kept_and_others_left_out(tmp_path: Path) -> None:
    mat(tmp_path / "whole", "wiki", {"1/1_a_2.jpg": {}})
    pictures(tmp_path / "whole", ["1/1_a_2.jpg"], 640, 480)
    index = read("wiki", tmp_path / "whole")
    assert index.samples[0].box == tuple(BOX)
    mat(tmp_path / "other", "wiki", {"1/1_a_2.jpg": {}})
    pictures(tmp_path / "other", ["1/1_a_2.jpg"], 60, 20)
    index = read("wiki", tmp_path / "other")
    assert index.samples[0].box is None
    assert index.notes == ("boxes do not fit the pictures and are left out",)


def test_a_picture_that_says_it_is_enormous_is_not_measured(tmp_path: Path) -> None:
    rows: dict[str, dict[str, Any]] = {f"1/{name}.png": {} for name in "abc"}
    pictures(mat(tmp_path, "wiki", rows), list(rows), 180, 180)
    data = bytearray((tmp_path / "1/a.png").read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "1/a.png").write_bytes(data)
    assert read("wiki", tmp_path).summary() == "3 samples; pictures are crops"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"face_score": -np.inf}, "no face"),
        ({"face_score": 0.9}, "score below 1"),
        ({"second_face_score": 1.2}, "several faces"),
        ({"dob": 47.0}, "no date of birth"),
        ({"dob": np.nan}, "no date of birth"),
        ({"photo_taken": np.nan}, "no year"),
        ({"photo_taken": 2090}, "age out of range"),
        ({"photo_taken": 1950}, "age out of range"),
        ({"face_location": [1.0, 2.0]}, "missing or unreadable field"),
        ({"face_location": [9.0, 9.0, 1.0, 1.0]}, "missing or unreadable field"),
    ],
)
def test_what_the_usual_rules_leave_out(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    mat(tmp_path, "imdb", {"1/a.jpg": row, "1/b.jpg": {}, "1/none.jpg": {}})
    pictures(tmp_path, ["1/a.jpg", "1/b.jpg"], 180, 180)
    index = read("imdb", tmp_path)
    assert [s.image.name for s in index.samples] == ["1/b.jpg"]
    assert reasons(index) == {reason: 1, "no image": 1}


def test_the_published_tar_holds_labels_and_pictures(tmp_path: Path) -> None:
    mat(tmp_path / "wiki_crop", "wiki", {"1/1_a_2.jpg": {}})
    pictures(tmp_path / "wiki_crop", ["1/1_a_2.jpg"], 180, 180)
    with tarfile.open(tmp_path / "wiki_crop.tar", "w") as archive:
        archive.add(tmp_path / "wiki_crop", "wiki_crop")
    expected = (tmp_path / "wiki_crop" / "1/1_a_2.jpg").read_bytes()
    (tmp_path / "wiki_crop").rename(tmp_path / "elsewhere")
    (tmp_path / "set").mkdir()
    (tmp_path / "wiki_crop.tar").rename(tmp_path / "set" / "wiki_crop.tar")
    for root in (tmp_path / "set", tmp_path / "set" / "wiki_crop.tar"):
        (sample,) = read("wiki", root).samples
        assert (sample.labels, read_bytes(sample.image)) == ({"age": 30, "gender": 1}, expected)


def test_a_mat_file_that_is_not_the_published_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"imdb\.mat was not found"):
        read("imdb", write(tmp_path, "1/a.jpg"))
    for data in (b"", b"[" * 100_000):
        (tmp_path / "imdb.mat").write_bytes(data)
        with pytest.raises(DatasetError, match=r"imdb\.mat is not the published file, a MATLAB"):
            read("imdb", tmp_path)
    savemat(tmp_path / "imdb.mat", {"imdb": {"dob": [1.0]}})
    with pytest.raises(DatasetError, match="with the fields dob, photo_taken"):
        read("imdb", tmp_path)


def test_a_mat_file_that_scipy_dies_of_is_one_sentence(tmp_path: Path) -> None:
    mat(tmp_path, "wiki", {f"01/{i}.jpg": {} for i in range(4)})
    data = bytearray((tmp_path / "wiki.mat").read_bytes())
    # The struct becomes a sparse matrix, of which scipy 1.18 then reads what is not there.
    data[data.index(b"wiki") - 28] = 5
    (tmp_path / "wiki.mat").write_bytes(data)
    with pytest.raises(
        DatasetError, match=r"wiki\.mat is not the published file, .*: it is damaged"
    ):
        read("wiki", tmp_path)


def test_newer_mat_files_say_how_they_are_saved_as_older(tmp_path: Path) -> None:
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM"
    (tmp_path / "wiki.mat").write_bytes(head.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DatasetError, match=r"format 7\.3, which is not read.* save -v7\.$"):
        read("wiki", tmp_path)


def test_two_pictures_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    mat(tmp_path, "wiki", {"01/1_a_2.jpg": {}, "01/2_a_2.jpg": {}})
    pictures(tmp_path, ["01/1_a_2.jpg", "01/2_a_2.jpg", "wiki_crop/01/2_a_2.jpg"], 180, 180)
    index = read("wiki", tmp_path)
    assert [s.image.name for s in index.samples] == ["01/1_a_2.jpg"]
    assert [(e.name, e.reason) for e in index.skipped] == [
        ("01/2_a_2.jpg", "several images of this name")
    ]


def test_archives_of_whole_photos(tmp_path: Path) -> None:
    mat(tmp_path / "wiki", "wiki", {"1/1_a_2.jpg": {}})
    pictures(tmp_path / "wiki", ["1/1_a_2.jpg"], 640, 480)
    (tmp_path / "set").mkdir()
    with tarfile.open(tmp_path / "set" / "wiki.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "wiki", "wiki")
    assert read("wiki", tmp_path / "set").summary() == "1 samples; pictures are whole photos"
    (tmp_path / "set" / "wiki.tar.gz").rename(tmp_path / "set" / "imdb_0.tar")
    with pytest.raises(DatasetError, match=r"holds no picture, but imdb_0\.tar; unpack it"):
        read("imdb", tmp_path / "set")


# --- ChaLearn and APPA-REAL ------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", "name,mean,deviation\n", "image;mean;stdv\n"])
def test_chalearn_ages_have_a_deviation(tmp_path: Path, header: str) -> None:
    write(tmp_path, "training_data/a.jpg", "validation_data/images/a.jpg", "test_data/b.jpg")
    for folder, name, row in (
        ("training_data", "train_gt.csv", "a.jpg,31.5,4.25"),
        ("validation_data", "valid_gt.csv", "a.jpg,20,0\nb.jpg,x,1\nz.jpg,1,1"),
    ):
        text = header + row
        text = text.replace(",", ";") if ";" in header else text
        (tmp_path / folder / name).write_text(text)
    index = read("chalearn_age", tmp_path)
    assert [(s.image.name, s.split, s.labels["age"]) for s in index.samples] == [
        ("training_data/a.jpg", "train", Estimate(31.5, 4.25)),
        ("validation_data/images/a.jpg", "val", Estimate(20, 0)),
    ]
    assert index.notes == ("not there: test_gt.csv",)
    assert reasons(index) == {"unknown age": 1, "no image": 1}


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("Std,Image,Mean\n4.25,a.jpg,31.5\n", Estimate(31.5, 4.25)),
        ("id,image,mean,stdv\n7,a.jpg,31.5,4.25\n", Estimate(31.5, 4.25)),
        ("a.jpg,,\na.jpg,31.5,\n", 31.5),
    ],
)
def test_columns_of_ages_are_those_of_the_header(tmp_path: Path, text: str, age: float) -> None:
    write(tmp_path, "a.jpg")
    (tmp_path / "train_gt.csv").write_text(text)
    (sample,) = read("chalearn_age", tmp_path).samples
    assert sample.labels["age"] == age


def test_a_header_that_is_not_understood_is_not_guessed(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    (tmp_path / "train_gt.csv").write_text("name,spread,mean\na.jpg,4.25,31.5\n")
    with pytest.raises(DatasetError, match=r"line 1, has no column 'deviation'; .* name, spread"):
        read("chalearn_age", tmp_path)


def test_chalearn_gender_and_smile(tmp_path: Path) -> None:
    head = "image_name,bbox_x,bbox_y,bbox_width,bbox_height,gender,smile\n"
    write(tmp_path, *(f"images/{name}.jpg" for name in "abcde"))
    (tmp_path / "gender_fex_trset.csv").write_text(
        f"{head}a.jpg,1,2,30,40,0,1\nb.jpg,,,,,2,0\nc.jpg,1,2,0,4,1,0\nd.jpg,1,2,3,4,3,0\n"
        "d.jpg,1,2,3,4,0,2\na.jpg,1,2,30,40,0,0\n"
    )
    (tmp_path / "gender_fex_valset.csv").write_text(f"{head}e.jpg,5,5,9,9,1,0\n")
    index = read("chalearn_smile", tmp_path)
    assert index.tasks == (GENDER, SMILE)
    b, e = index.samples
    assert (b.labels, b.box) == ({"smile": 0}, None)
    assert (e.labels, e.box, e.split) == ({"gender": 0, "smile": 0}, (5, 5, 14, 14), "test")
    assert reasons(index) == {
        "unknown box": 1, "unknown gender": 1, "unknown smile": 1,
        "image named twice, with different labels": 1,
    }  # fmt: skip
    (tmp_path / "gender_fex_trset.csv").write_text(f"{head}a.jpg,1,2,30,40,0,1\n")
    a = read("chalearn_smile", tmp_path).samples[0]
    assert (a.labels, a.box) == ({"gender": 1, "smile": 1}, (1, 2, 31, 42))


def test_names_of_both_splits_are_told_by_their_folders(tmp_path: Path) -> None:
    head = "image_name,bbox_x,bbox_y,bbox_width,bbox_height,gender,smile\n"
    write(tmp_path, "training/a.jpg", "validation/a.jpg")
    for name, row in (("trset", "a.jpg,,,,,0,1\n"), ("valset", "a.jpg,,,,,1,0\n")):
        (tmp_path / f"gender_fex_{name}.csv").write_text(head + row)
    found = {
        s.image.name: (s.split, s.labels["smile"]) for s in read("chalearn_smile", tmp_path).samples
    }
    assert found == {"training/a.jpg": ("train", 1), "validation/a.jpg": ("test", 0)}


@pytest.mark.parametrize("above", [".", "appa-real-release"])
def test_appa_real_has_both_ages(tmp_path: Path, above: str) -> None:
    head = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n"
    root, tmp_path = tmp_path, tmp_path / above
    write(tmp_path, "train/0.jpg", "train/0.jpg_face.jpg", "valid/0.jpg", "test/1.jpg")
    (tmp_path / "gt_avg_train.csv").write_text(f"{head}0.jpg,38,24.5,3.25,26\n")
    (tmp_path / "gt_avg_valid.csv").write_text(f"{head}0.jpg,38,50,2,51\n")
    (tmp_path / "gt_avg_test.csv").write_text(f"{head}1.jpg,38,50,2,\n")
    real, apparent = read("appa_real", root), read("appa_apparent", root)
    found = [(s.image.name, s.split, s.labels["age"]) for s in real.samples]
    assert [(name.removeprefix(f"{above}/"), *rest) for name, *rest in found] == [
        ("train/0.jpg_face.jpg", "train", 26), ("valid/0.jpg", "val", 51),
    ]  # fmt: skip
    assert reasons(real) == {"unknown age": 1}
    assert [s.labels["age"] for s in apparent.samples] == [
        Estimate(24.5, 3.25), Estimate(50, 2), Estimate(50, 2),
    ]  # fmt: skip
    with pytest.raises(DatasetError, match=r"none of the label files train_gt\.csv, valid_gt\.csv"):
        read("chalearn_age", tmp_path)


# --- FER2013 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "columns"),
    [("fer2013.csv", "emotion,pixels,Usage"), ("icml_face_data.csv", "emotion, Usage, pixels")],
)
def test_fer2013_has_seven_labels(tmp_path: Path, name: str, columns: str) -> None:
    pixels = " ".join(["7", "9"] * 1152)

    def row(emotion: str, usage: str, values: str = pixels) -> str:
        cells = {"emotion": emotion, "pixels": values, "Usage": usage}
        return ",".join(cells[column.strip()] for column in columns.split(",")) + "\n"

    (tmp_path / name).write_text(
        columns + "\n" + row("0", "Training") + row("6", "PrivateTest") + row("7", "Training")
        + row("3", "Somewhere") + row("3", "PublicTest", "² " * 2304) + row("3", "PublicTest", "7")
    )  # fmt: skip
    index = read("fer2013", tmp_path)
    assert index.tasks == (EMOTION7,)
    found = [(s.split, EMOTION7.classes[s.labels["emotion"].index(1)]) for s in index.samples]  # type: ignore[union-attr]
    assert found == [("train", "anger"), ("test", "neutral")]
    assert reasons(index) == {"unknown emotion": 1, "unknown split": 1, "broken pixel string": 2}
    assert read_bytes(index.samples[1].image)[:4] == b"\x89PNG"


def test_fer2013_with_the_line_ends_of_old_macs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_bytes(b"emotion,pixels,Usage\r3,1 2,Training\r")
    with pytest.raises(DatasetError, match=r"old Macs did \(CR\); save it with line feeds"):
        read("fer2013", tmp_path)


def test_fer2013_lies_in_a_folder_of_its_own_or_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "fer2013").mkdir()
    pixels = " ".join(["7"] * 2304)
    (tmp_path / "fer2013" / "fer2013.csv").write_text(
        f"emotion,pixels,Usage\n0,{pixels},Training\n"
    )
    assert len(read("fer2013", tmp_path).samples) == 1
    with tarfile.open(tmp_path / "fer2013.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "fer2013", "fer2013")
    with pytest.raises(DatasetError, match=r"holds neither fer2013\.csv nor icml_face_data\.csv"):
        read("fer2013", tmp_path / "fer2013.tar.gz")


def test_fer2013_as_folders(tmp_path: Path) -> None:
    write(tmp_path, "train/angry/1.png", "test/happy/2.png")
    assert [s.split for s in read("fer2013", tmp_path).samples] == ["test", "train"]


def test_what_these_readers_are_labelled_for() -> None:
    assert READERS["appa_real"].tasks == READERS["chalearn_age"].tasks == (AGE,)
    assert READERS["imdb"].tasks == READERS["wiki"].tasks == (AGE, GENDER)
    assert image_bytes()  # a picture that every reader here is given
