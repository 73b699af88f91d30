"""Preparing a small real data set: faces of the Solvay photo, named as UTKFace names them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agegenderemo.dataset import CROP_SIZE, Origin, PreparedSet
from agegenderemo.detection.align import align
from agegenderemo.detection.mtcnn import FaceDetector
from agegenderemo.images import load_image
from agegenderemo.preparation import prepare, report
from agegenderemo.readers import DatasetError, read
from agegenderemo.records import Reading

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def utkface(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    """Ten faces, a grey square and a broken file."""
    folder = tmp_path_factory.mktemp("utkface")
    photo = Image.open(examples / "solvay-1927.jpg").convert("RGB")
    for number, face in enumerate(FaceDetector().detect(np.asarray(photo))[:10]):
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
    return prepare("utkface", read("utkface", utkface), out, processes=2)


def test_every_face_is_found_framed_or_counted_out(prepared: PreparedSet) -> None:
    names = [sample.image.name for sample in prepared.samples]
    origin = dict(zip(names, prepared.origin.tolist(), strict=True))
    assert origin.pop("30_1_0_90.png") == Origin.ASSUMED
    assert origin.pop("30_1_0_91.png") == Origin.UNREADABLE
    assert set(origin.values()) <= {Origin.DETECTED, Origin.PADDED}
    text = report(prepared)
    assert "1 not found and framed by the set's median landmarks" in text
    assert "1 images unreadable and left out" in text
    rows = [row for split in ("train", "val", "test") for row in prepared.rows(split)]  # type: ignore[arg-type]
    assert names.index("30_1_0_91.png") not in rows
    assert len(rows) == 11


def test_training_crops_are_the_crops_of_live_use(
    prepared: PreparedSet, utkface: Path, tmp_path: Path
) -> None:
    detector = FaceDetector()
    out = tmp_path / "again"
    again = prepare("utkface", read("utkface", utkface), out, processes=1)
    stored_points = np.load(out / "utkface" / "landmarks.npy")
    rows = np.flatnonzero(again.origin == Origin.DETECTED)
    assert len(rows) >= 8
    for row in rows:
        image = load_image(utkface / again.samples[row].image.name)
        points = stored_points[row] * image.shape[1::-1]
        # The same function cuts both, and the two searches agree on where the points are.
        crop = align(image, tuple(map(tuple, points)), CROP_SIZE)
        assert np.abs(crop.astype(int) - prepared.crops[row]).mean() < 1
        live = np.asarray(detector.detect(image)[0].landmarks)
        assert np.abs(live - points).mean() < 0.02 * image.shape[1]


def test_preparing_again_does_nothing_and_another_list_is_refused(
    prepared: PreparedSet, utkface: Path, tmp_path: Path
) -> None:
    reading = read("utkface", utkface)
    prepare("utkface", reading, tmp_path, processes=1)
    stamp = np.load(tmp_path / "utkface/crops.npy").copy()
    prepare("utkface", reading, tmp_path, processes=1)
    assert np.array_equal(np.load(tmp_path / "utkface/crops.npy"), stamp)
    with pytest.raises(DatasetError, match="another list of samples"):
        prepare("utkface", reading.only("test"), tmp_path)


def test_a_killed_run_goes_on_to_the_same_crops(
    prepared: PreparedSet, utkface: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "agegenderemo", "prepare", "--data", "utkface"]
    command += ["--root", str(utkface), "--out", str(tmp_path), "--processes", "1"]
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
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert np.array_equal(PreparedSet.open(tmp_path / "utkface").crops, prepared.crops)


def test_a_crop_does_not_depend_on_the_pictures_beside_it(data_root: Path, tmp_path: Path) -> None:
    """In a batch the library's landmarks of one face in five were others."""
    samples = read("utkface", data_root).only("test").samples[:24]
    together = prepare("utkface", Reading(samples), tmp_path / "together", processes=1)
    backwards = prepare("utkface", Reading(samples[::-2]), tmp_path / "backwards", processes=1)
    assert np.array_equal(together.crops[::-2], backwards.crops)
