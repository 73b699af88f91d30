"""Preparing a small real data set: faces of the Solvay photo, named as UTKFace names them."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agegenderemo.data.dataset import CropSource, PreparedSet
from agegenderemo.data.prepare import SEARCH_OPTIONS, main_face, prepare, report_line
from agegenderemo.data.readers import read
from agegenderemo.data.samples import DatasetIndex, ImageRef, Sample, Split
from agegenderemo.detection import MtcnnDetector
from agegenderemo.errors import DatasetError
from agegenderemo.imaging.geometry import align
from agegenderemo.imaging.load import load_image
from agegenderemo.tasks import AGE, GENDER
from agegenderemo.types import CROP_SIZE, Box, Detection, Landmarks

ROOT = Path(__file__).parent.parent
SPLITS: tuple[Split, ...] = ("train", "val", "test")
DETECTOR = partial(MtcnnDetector, **SEARCH_OPTIONS)

SCRIPT = """
from pathlib import Path
from functools import partial
from agegenderemo.data.prepare import SEARCH_OPTIONS, prepare
from agegenderemo.data.readers import read
from agegenderemo.detection import MtcnnDetector
detector = partial(MtcnnDetector, **SEARCH_OPTIONS)
prepare("utkface", read("utkface", {root!r}), Path({out!r}), detector, processes=1)
"""


@pytest.fixture(scope="module")
def utkface(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    """Ten faces, a grey square and a broken file."""
    folder = tmp_path_factory.mktemp("utkface")
    photo = Image.open(examples / "solvay-1927.jpg").convert("RGB")
    for number, face in enumerate(MtcnnDetector().detect(np.asarray(photo))[:10]):
        x1, y1, x2, y2 = face.box
        margin = (x2 - x1) * 0.4
        crop = photo.crop((int(x1 - margin), int(y1 - margin), int(x2 + margin), int(y2 + margin)))
        crop.resize((200, 200)).save(folder / f"40_0_0_{number}.png")
    Image.new("RGB", (200, 200), "grey").save(folder / "30_1_0_90.png")
    (folder / "30_1_0_91.png").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def prepared(utkface: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    out = tmp_path_factory.mktemp("prepared")
    return prepare("utkface", read("utkface", utkface), out, DETECTOR, processes=2)


def test_every_face_is_found_framed_or_counted_out(prepared: PreparedSet) -> None:
    names = [sample.image.name for sample in prepared.samples]
    source = dict(zip(names, prepared.source.tolist(), strict=True))
    assert source.pop("30_1_0_90.png") == CropSource.ASSUMED
    assert source.pop("30_1_0_91.png") == CropSource.UNREADABLE
    assert set(source.values()) <= {CropSource.DETECTED, CropSource.PADDED}
    text = report_line(prepared)
    assert text.startswith("utkface: 12 samples; ")
    assert "1 not found and framed by the set's median landmarks" in text
    assert "1 images unreadable and left out" in text
    rows = [row for split in SPLITS for row in prepared.rows(split)]
    assert names.index("30_1_0_91.png") not in rows
    assert len(rows) == 11


def test_the_folder_says_what_it_holds(prepared: PreparedSet, utkface: Path) -> None:
    assert prepared.tasks == (AGE, GENDER)
    assert prepared.samples == read("utkface", utkface).samples
    unread = prepared.source == CropSource.UNREADABLE
    assert (prepared.digest.any(axis=1) != unread).all()
    assert (prepared.crops.any(axis=(1, 2, 3)) != unread).all()


def test_training_crops_are_the_crops_of_live_use(
    prepared: PreparedSet, utkface: Path, tmp_path: Path
) -> None:
    again = prepare("utkface", read("utkface", utkface), tmp_path, DETECTOR, processes=1)
    assert np.array_equal(again.crops, prepared.crops)
    stored_points = np.load(tmp_path / "utkface" / "landmarks.npy")
    rows = np.flatnonzero(again.source == CropSource.DETECTED)
    assert len(rows) >= 8
    detector = MtcnnDetector()
    for row in rows:
        image = load_image(utkface / again.samples[row].image.name)
        points = stored_points[row] * image.shape[1::-1]
        landmarks: Landmarks = tuple((float(x), float(y)) for x, y in points)  # type: ignore[assignment]
        # The same function cuts both, and the two searches agree on where the points are.
        crop = align(image, landmarks, CROP_SIZE)
        assert np.abs(crop.astype(int) - prepared.crops[row]).mean() < 1
        live = np.asarray(detector.detect(image)[0].landmarks)
        assert np.abs(live - points).mean() < 0.02 * image.shape[1]


def test_preparing_again_does_nothing_and_another_list_is_refused(
    utkface: Path, tmp_path: Path
) -> None:
    index = read("utkface", utkface)
    prepare("utkface", index, tmp_path, DETECTOR, processes=1)
    marked = PreparedSet.open(tmp_path / "utkface", writable=True)
    marked.crops[0] = 77  # a row that is done is not done again
    prepare("utkface", index, tmp_path, DETECTOR, processes=1)
    assert (PreparedSet.open(tmp_path / "utkface").crops[0] == 77).all()
    with pytest.raises(DatasetError, match=r"another list of samples: \d+ of 12 are not in this"):
        prepare("utkface", index.only("test"), tmp_path, DETECTOR)
    with pytest.raises(DatasetError, match="another alignment template"):
        prepare("utkface", index, tmp_path, DETECTOR, template="ffhq")
    with pytest.raises(DatasetError, match="holds crops of 128 pixels, not 256"):
        prepare("utkface", index, tmp_path, DETECTOR, size=256)
    with pytest.raises(DatasetError, match="64 to 256 pixels, in steps of 16, not 100"):
        prepare("utkface", index, tmp_path, DETECTOR, size=100)


def test_a_folder_of_version_0_1_is_gone_on_with(
    prepared: PreparedSet, utkface: Path, tmp_path: Path
) -> None:
    index = read("utkface", utkface)
    prepare("utkface", index, tmp_path, DETECTOR, processes=1)
    folder = tmp_path / "utkface"
    source = np.load(folder / "source.npy")
    source[3:] = CropSource.TODO
    np.save(folder / "origin.npy", source)
    crops = np.load(folder / "crops.npy")
    crops[3:] = 0
    np.save(folder / "crops.npy", crops)
    (folder / "source.npy").unlink()
    (folder / "index.json").unlink()
    (folder / "framing.json").write_text('"face"')
    lines = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    old = [{"image": line["image"], "split": line["split"], **line["labels"],
            "group": line["race"]} for line in lines]  # fmt: skip
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    again = prepare("utkface", index, tmp_path, DETECTOR, processes=1)
    assert np.array_equal(again.crops, prepared.crops)
    assert np.array_equal(again.source, prepared.source)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_crops(
    prepared: PreparedSet, utkface: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", SCRIPT.format(root=str(utkface), out=str(tmp_path))]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (tmp_path / "utkface" / "samples.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(DatasetError, match=r"is not finished: \d+ of 12 faces"):
        PreparedSet.open(tmp_path / "utkface")
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert np.array_equal(PreparedSet.open(tmp_path / "utkface").crops, prepared.crops)


def test_a_set_without_samples_or_faces_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"own has no readable sample: 0 samples\."):
        prepare("own", DatasetIndex((), (AGE,)), tmp_path, DETECTOR)
    Image.new("RGB", (160, 160), "grey").save(tmp_path / "a.png")
    index = DatasetIndex((Sample(ImageRef(tmp_path, "a.png"), "train"),), (AGE,))
    with pytest.raises(DatasetError, match="No face was found in any of the 1 images of own"):
        prepare("own", index, tmp_path, DETECTOR, processes=1)


def test_pictures_of_the_wanted_template_are_taken_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    Image.new("RGB", (256, 256), "teal").save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"broken")
    samples = tuple(Sample(ImageRef(tmp_path, f"{n}.png"), "train") for n in "abc")
    index = DatasetIndex(samples, (AGE,))
    done = prepare("ffhq", index, tmp_path / "out", DETECTOR, template="ffhq")
    assert done.source.tolist() == [CropSource.WHOLE, CropSource.WHOLE, CropSource.UNREADABLE]
    assert np.array_equal(done.crops[0], noise)
    assert done.crops[1].reshape(-1, 3).tolist() == [[0, 128, 128]] * 128**2
    assert done.template == "ffhq"
    assert report_line(done) == (
        "ffhq: 3 samples; 2 pictures taken whole, 1 images unreadable and left out"
    )


def face(box: Box) -> Detection:
    x, y = box[:2]
    return Detection(box, 0.9, ((x, y), (x + 2, y), (x + 1, y + 1), (x, y + 2), (x + 2, y + 2)))


def test_the_main_face_is_large_and_near_the_middle() -> None:
    middle, large, corner = face((40, 40, 60, 60)), face((0, 20, 90, 80)), face((0, 0, 30, 30))
    assert main_face([corner, middle], 100, 100) is middle  # the larger one is in the corner
    assert main_face([middle, large, corner], 100, 100) is large
    with pytest.raises(ValueError, match="empty"):
        main_face([], 100, 100)


@pytest.mark.slow
def test_a_crop_does_not_depend_on_the_pictures_beside_it(data_root: Path, tmp_path: Path) -> None:
    """In a batch the library's landmarks of one face in five were others."""
    index = read("utkface", data_root).only("test")
    samples = index.samples[:24]
    together, backwards = (
        prepare("utkface", DatasetIndex(some, index.tasks), tmp_path / name, DETECTOR, processes=1)
        for name, some in (("together", samples), ("backwards", samples[::-2]))
    )
    assert np.array_equal(together.crops[::-2], backwards.crops)
