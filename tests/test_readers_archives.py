"""Archives and label files as they are published, copied about and damaged."""

import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from raw_images import image_bytes, reasons, write

from agegenderemo.data.readers import READERS, read, read_bytes
from agegenderemo.data.readers.source import list_images
from agegenderemo.errors import DatasetError

CHIP = "25_1_2_20170116174525125.jpg.chip.jpg"


def other_bytes() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("end", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_tar_reads_like_the_folder(tmp_path: Path, end: str) -> None:
    write(tmp_path / "raw", CHIP, "1_0_4_20161219140623097.jpg", f"._{CHIP}")
    path = tmp_path / f"UTKFace.{end}"
    with tarfile.open(path, f"w:{end[4:]}") as archive:  # type: ignore[call-overload]
        archive.add(tmp_path / "raw", "UTKFace")
    index = read("utkface", path)
    names = [s.image.name for s in index.samples]
    assert names == ["UTKFace/1_0_4_20161219140623097.jpg", f"UTKFace/{CHIP}"]
    assert index.skipped == ()  # the shadow is no entry
    assert [read_bytes(s.image) for s in index.samples] == [image_bytes()] * 2
    cut = tmp_path / f"cut.{end}"
    cut.write_bytes(path.read_bytes()[: 700 if end == "tar" else -30])
    with pytest.raises(DatasetError, match=r"damaged or cut off|neither a folder nor a zip"):
        read("utkface", cut)


def test_an_archive_that_is_damaged_in_the_middle_or_locked(tmp_path: Path) -> None:
    packed = tmp_path / "UTKFace.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        for name in (f"UTKFace/{CHIP}", "UTKFace/1_0_4_20161219140623097.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 50_000
            archive.addfile(info, io.BytesIO(random.Random(0).randbytes(info.size)))
    data = bytearray(packed.read_bytes())
    data[60_000:90_000] = b"\xff" * 30_000
    packed.write_bytes(data)
    with pytest.raises(DatasetError, match="damaged or cut off"):
        read("utkface", packed)
    locked = tmp_path / "locked.zip"
    with zipfile.ZipFile(locked, "w") as made:
        made.writestr(CHIP, image_bytes())
    data = bytearray(locked.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + flags] |= 1  # encrypted
    locked.write_bytes(data)
    (sample,) = read("utkface", locked).samples
    with pytest.raises(OSError, match=r"cannot be read: .*password required"):
        read_bytes(sample.image)


def test_a_known_archive_in_the_folder_is_found(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "UTKFace.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo(CHIP)
        info.size = len(image_bytes())
        archive.addfile(info, io.BytesIO(image_bytes()))
    assert len(read("utkface", tmp_path).samples) == 1
    (tmp_path / "UTKFace.tar.gz").rename(tmp_path / "mine.tar.gz")
    with pytest.raises(DatasetError, match=r"holds no picture, but mine\.tar\.gz; unpack it, or"):
        read("utkface", tmp_path)


def test_utkface_that_holds_the_set_three_times(tmp_path: Path) -> None:
    bare = CHIP.replace(".chip.jpg", "")
    write(tmp_path, f"UTKFace/{CHIP}", f"utkface_aligned_cropped/UTKFace/{CHIP}", f"part1/{bare}")
    (tmp_path / "part1" / bare).write_bytes(other_bytes())
    index = read("utkface", tmp_path)
    assert [s.image.name for s in index.samples] == [f"UTKFace/{CHIP}"]
    assert index.summary() == (
        "1 samples; repaired 1 (image there more than once), 1 (another picture of the same name)"
    )


@pytest.mark.parametrize(
    ("archive", "labels"),
    [
        ("fairface-img-margin025-trainval.zip", "fairface_label_train.csv"),
        ("archive.zip", "train_labels.csv"),
    ],
)
def test_fairface_under_its_published_names(tmp_path: Path, archive: str, labels: str) -> None:
    with zipfile.ZipFile(tmp_path / archive, "w") as file:
        file.writestr("train/1.jpg", image_bytes())
    text = "File;Age;Gender;Race\ntrain/1.jpg;20-29;Male;Indian\n"
    (tmp_path / labels).write_text(text, encoding="utf-16")
    (sample,) = read("fairface", tmp_path).samples
    assert (sample.labels, sample.race) == ({"age": (20, 29), "gender": 1}, "Indian")


def test_fairface_of_both_margins_and_twice_named(tmp_path: Path) -> None:
    write(tmp_path, "margin025/train/1.jpg", "margin125/train/1.jpg", "margin025/train/2.jpg")
    head, row = "file,age,gender,race\n", "train/{},{},Male,White\n"
    rows = [row.format(*pair) for pair in (("1.jpg", "0-2"), ("1.jpg", "0-2"))]
    rows += [row.format(*pair) for pair in (("2.jpg", "0-2"), ("2.jpg", "3-9"))]
    text = head + "".join(rows) + 'train/1.jpg,"0-2,Male,White\n'
    (tmp_path / "fairface_label_train.csv").write_text(text)
    index = read("fairface", tmp_path)
    assert [s.image.name for s in index.samples] == ["margin025/train/1.jpg"]
    assert reasons(index) == {
        "image named twice": 1, "image named twice, with different labels": 1,
        "row is not like the header": 1,
    }  # fmt: skip
    assert [entry.reason for entry in index.repaired] == ["another picture of the same name"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"fairface_label_train\.csv is empty"),
        (b"\xff\xfe\x00", r"fairface_label_train\.csv, line 1, is neither"),
        (b"file,band,gender\n", r"line 1, has no column 'age'"),
        (b"[" * 100_000, r"line 1, has no column 'file'"),
    ],
)
def test_a_bad_label_file_is_one_sentence(tmp_path: Path, data: bytes, message: str) -> None:
    write(tmp_path, "train/1.jpg")
    (tmp_path / "fairface_label_train.csv").write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        read("fairface", tmp_path)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "{}", '[{"faceAttributes": {"age": 1e999}}]', "[1, 2]", '"face"', "[[]]",
     '[{"faceAttributes": {"age": ' + "9" * 5000 + "}}]"],
)  # fmt: skip
def test_a_bad_json_of_ffhq_is_skipped(tmp_path: Path, text: str) -> None:
    write(tmp_path / "images", "00000.png", "².png")
    (tmp_path / "json").mkdir()
    for name in ("00000", "²"):
        (tmp_path / "json" / f"{name}.json").write_text(text)
    index = read("ffhq", tmp_path)
    assert (len(index.samples), len(index.repaired)) == (0, 0)
    assert set(reasons(index)) <= {"missing or unreadable field", "no face"}


@pytest.mark.parametrize("name", list(READERS))
def test_a_missing_root_is_named_itself(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=f"There is nothing at {tmp_path}/nowhere; give the"):
        read(name, tmp_path / "nowhere")


def test_shadows_are_no_images(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "._a.png", "__MACOSX/b.png", "sub/._c.jpg")
    assert [ref.name for ref in list_images(tmp_path)] == ["a.png"]
