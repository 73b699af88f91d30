"""Your own pictures: a csv of them, or a folder a class, in every way that people write them."""

from pathlib import Path

import pytest
from raw_images import reasons, write

from agegenderemo.data.readers import read
from agegenderemo.data.readers.table import read_table
from agegenderemo.data.readers.words import one_hot
from agegenderemo.data.samples import DatasetIndex, Estimate
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import AGE, EMOTION, EMOTION6, EMOTION7, GENDER, SMILE


def own(folder: Path, text: str, encoding: str = "utf-8") -> DatasetIndex:
    write(folder, "a.png", "b.png", "sub/c d.png", "ä.png")
    (folder / "faces.csv").write_bytes(text.encode(encoding))
    return read("csv", folder / "faces.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_is_read_however_it_was_saved(tmp_path: Path, encoding: str, separator: str) -> None:
    rows = ("File,AGE,Gender,split", "a.png,31,Male,train", "ä.png,,female,test", "", ",,,")
    index = own(tmp_path, "\r\n".join(rows).replace(",", separator), encoding)
    assert index.tasks == (AGE, GENDER)
    assert [(s.image.name, s.split, s.labels) for s in index.samples] == [
        ("a.png", "train", {"age": 31.0, "gender": 1}),
        ("ä.png", "test", {"gender": 0}),
    ]
    assert index.skipped == ()
    assert index.summary() == "2 samples; splits: 1 train, 0 val, 1 test"


def test_every_kind_of_label_box_and_path(tmp_path: Path) -> None:
    index = own(
        tmp_path,
        "file;age;age_deviation;emotion;smile;box;note\n"
        'a.png;"33,5";;Happy;yes;"1, 2, 30, 40";x\n'
        "b.png;20-29;;sadness;0;;\n"
        "sub\\c d.png;70+;;;;;\n"
        f"{tmp_path}/ä.png;41;3.5;?;NaN;[0.1 0.1 0.5 0.5];\n",
    )
    assert len(index.samples) == 4
    a, b, c, d = index.samples
    assert a.labels["age"] == 33.5
    assert a.labels["emotion"] == tuple(float(n == "happiness") for n in EMOTION.classes)
    assert (a.labels["smile"], b.labels["smile"]) == (1, 0)
    assert (a.box, d.box) == ((1, 2, 30, 40), (0.1, 0.1, 0.5, 0.5))
    assert b.labels == {"age": (20, 29), "emotion": one_hot(EMOTION, 6), "smile": 0}
    assert c.labels == {"age": (70, float("inf"))}
    assert c.image.name == "sub/c d.png"
    assert d.labels == {"age": Estimate(41, 3.5)}
    assert "columns that are no task: note" in index.summary()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("none.png,30,male,train", "no image"),
        (f"{'x' * 300}.png,30,male,train", "no image"),
        (",30,male,train", "no image"),
        ("a.png,old,male,train", "unknown age"),
        ("a.png,²,male,train", "unknown age"),
        ("a.png,-3,male,train", "unknown age"),
        ("a.png,1e999,male,train", "unknown age"),
        ("a.png,300,male,train", "unknown age"),
        ("a.png,29-20,male,train", "unknown age"),
        ("a.png,30,1,train", "unknown gender"),  # which of the two?
        ("a.png,30,other,train", "unknown gender"),
        ("a.png,,,train", "no label"),
        ("a.png,30,male,", "no split, or an unknown one"),
        ("a.png,30,male,holdout", "no split, or an unknown one"),
        ("a.png,30,male,train,more", "row is not like the header"),
        ('a.png,"30,male,train', "row is not like the header"),
    ],
)
def test_a_bad_row_is_skipped_and_counted(tmp_path: Path, row: str, reason: str) -> None:
    index = own(tmp_path, f"file,age,gender,split\n{row}\nb.png,5,f,val\n")
    assert [s.image.name for s in index.samples] == ["b.png"]
    assert reasons(index) == {reason: 1}
    assert index.skipped[0].name == "row 2"


def test_cells_that_are_not_understood_are_shown(tmp_path: Path) -> None:
    index = own(tmp_path, "file,age,gender\na.png,31 years,1\nb.png,31 Years,f\nä.png,~31,0\n")
    assert [s.labels["age"] for s in index.samples] == [31]
    text = index.summary()
    assert "gender in row 2 is '1', not female or male; age in row 4 is '~31', not a num" in text


def test_a_picture_that_is_named_twice(tmp_path: Path) -> None:
    index = own(
        tmp_path,
        "file,age,x1,y1,x2,y2\na.png,5,,,,\na.png,5,,,,\nb.png,6,,,,\nb.png,7,,,,\n"
        "ä.png,1,0,0,9,9\nä.png,2,9,0,18,9\nsub/c d.png,3,9,9,1,1\n",
    )
    assert [s.labels["age"] for s in index.samples] == [5, 1, 2]  # two faces of one picture stay
    assert reasons(index) == {
        "image named twice": 1, "image named twice, with different labels": 1, "unknown box": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"faces\.csv is empty; it needs the columns file"),
        (b"name,age\na.png,3\n", r"faces\.csv, line 1, has no column 'file'; its columns are name"),
        (b"\nfile,age,AGE\na.png,3,4\n", r"faces\.csv, line 2, names a column twice"),
        (b"file,height\na.png,180\n", r"faces\.csv has labels for no task; name a column age,"),
        (b"file,age\na.png,3\n\xff\xfe\xfa.png,4\n", r"faces\.csv, line 3, is neither UTF-8 nor"),
        (b"file,emotion,emotion7\na.png,sad,sad\n", "Two tasks are named 'emotion'"),
        (b"[" * 200_000, r"line 1, has no column 'file'"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "faces.csv").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read("csv", tmp_path / "faces.csv")


def test_a_split_is_made_by_hash_and_stays(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(60)]
    write(tmp_path, *names)
    text = "file,age\n" + "".join(f"{name},7\n" for name in names)
    (tmp_path / "faces.csv").write_text(text)
    splits = {s.image.name: s.split for s in read("csv", tmp_path / "faces.csv").samples}
    (tmp_path / "faces.csv").write_text("file,age\n59.png,7\n")
    (alone,) = read("csv", tmp_path / "faces.csv").samples
    assert alone.split == splits["59.png"]
    counts = [list(splits.values()).count(name) for name in ("train", "val", "test")]
    assert counts == [41, 7, 12]


def test_a_table_may_come_without_its_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a.png;3\n")
    _, rows = read_table(tmp_path / "a.csv", ("name", "mean"), ("name", "mean"))
    assert [row.cells for row in rows] == [{"name": "a.png", "mean": "3"}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_only_the_three_usual_ends_of_a_line_end_a_row(tmp_path: Path, end: str) -> None:
    """Unicode has more, which names of files may hold."""
    text = end.join(["name,mean", "a\u2028b.png,3", "c\x85\x0bd.png,4"])
    (tmp_path / "a.csv").write_bytes(text.encode())
    _, rows = read_table(tmp_path / "a.csv", ("name", "mean"))
    found = [(row.number, row.cells and row.cells["name"]) for row in rows]
    assert found == [(2, "a\u2028b.png"), (3, "c\x85\x0bd.png")]


# --- folders ---------------------------------------------------------------------------------


def test_a_folder_is_a_class(tmp_path: Path) -> None:
    write(tmp_path, "Happy/1.png", "sad/1.png", "Angry/2.png", "misc/3.png")
    index = read("folders", tmp_path)
    assert index.tasks == (EMOTION6,)
    named = {s.image.name: s.labels["emotion"].index(1) for s in index.samples}  # type: ignore[union-attr]
    assert named == {
        "Happy/1.png": EMOTION6.classes.index("happiness"),
        "sad/1.png": EMOTION6.classes.index("sadness"),
        "Angry/2.png": EMOTION6.classes.index("anger"),
    }
    assert reasons(index) == {"no emotion is called 'misc'": 1}
    assert "labels: emotion; splits: " in index.summary()


def test_the_users_own_split_and_ages(tmp_path: Path) -> None:
    write(tmp_path, "Training/25/a.png", "test/70+/b.png", "valid/3-9/c.png", "12/d.png")
    index = read("folders", tmp_path)
    assert index.tasks == (AGE,)
    assert {(s.split, s.labels["age"]) for s in index.samples} == {
        ("train", 25.0), ("test", (70.0, float("inf"))), ("val", (3.0, 9.0)),
    }  # fmt: skip
    assert reasons(index) == {"not in the folder of a split": 1}


def test_other_tasks_by_their_folders(tmp_path: Path) -> None:
    assert read("folders", write(tmp_path / "g", "men/a.png", "woman/b.png")).tasks == (GENDER,)
    assert read("folders", write(tmp_path / "s", "smile/a.png", "no_smile/b.png")).tasks == (SMILE,)
    emo96 = write(tmp_path / "e", *(f"{name}/1.png" for name in EMOTION7.classes))
    assert read("emo96", emo96).tasks == (EMOTION7,)
    with pytest.raises(DatasetError, match=r"No folder of .* its folders with pictures are blue"):
        read("folders", write(tmp_path / "x", "blue/a.png"))
