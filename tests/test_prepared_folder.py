"""The folder of a prepared set: unfinished, moved, extended, killed while it is extended."""

import dataclasses
import os
import resource
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agegenderemo.cli import main
from agegenderemo.data.dataset import CropSource, PreparedSet
from agegenderemo.data.parallel import map_rows
from agegenderemo.data.prepare import SEARCH_OPTIONS, prepare
from agegenderemo.data.samples import DatasetIndex, Estimate, ImageRef, Sample
from agegenderemo.detection import MtcnnDetector
from agegenderemo.errors import DatasetError
from agegenderemo.resources import default_checkpoint
from agegenderemo.tasks import AGE

DETECTOR = partial(MtcnnDetector, **SEARCH_OPTIONS)


def pictures(root: Path, names: str) -> DatasetIndex:
    """Noise of 128 pixels, one picture a letter, always the same of one letter."""
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        noise = np.random.default_rng(ord(name)).integers(0, 256, (128, 128, 3)).astype(np.uint8)
        Image.fromarray(noise).save(root / f"{name}.png")
    samples = [Sample(ImageRef(root, f"{n}.png"), "train", {"age": float(ord(n))}) for n in names]
    return DatasetIndex(tuple(samples), (AGE,))


def whole(index: DatasetIndex, out: Path, **options: object) -> PreparedSet:
    return prepare("own", index, out, DETECTOR, processes=1, whole=True, **options)  # type: ignore[arg-type]


def undone(out: Path, rows: Sequence[int]) -> None:
    """As a kill leaves it."""
    source = np.load(out / "own" / "source.npy", "r+")
    source[list(rows)] = CropSource.TODO
    source.flush()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    whole(pictures(tmp_path / "faces", "bdf"), tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.slow
def test_what_is_not_finished_is_refused_everywhere(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    undone(out, (0, 2))
    with pytest.raises(DatasetError, match=r"own is not finished: 2 of 3 faces .* goes on where"):
        PreparedSet.open(out / "own")
    run, shipped = str(tmp_path / "run"), str(default_checkpoint())
    for line in (
        ["train", "--prepared", str(out), "--set", 'epoch_fractions={"own": 1}', "--out", run],
        ["evaluate", "--data", "own", "--root", str(out)],
        ["calibrate", "--prepared", str(out), "--checkpoint", shipped],
    ):
        assert main(line) == 2
        error = capsys.readouterr().err
        assert "own is not finished: 2 of 3 faces are still to be prepared" in error
    whole(pictures(tmp_path / "faces", "bdf"), out)
    assert (PreparedSet.open(out / "own").source == CropSource.WHOLE).all()


def test_the_command_that_finishes_a_set_is_named(tmp_path: Path) -> None:
    pictures(tmp_path / "f f", "ab")
    out = tmp_path / "out"
    command = f"agegenderemo prepare --data csv --root '{tmp_path}/f f' --out {out}"
    whole(pictures(tmp_path / "f f", "ab"), out, command=command)
    undone(out, [1])
    with pytest.raises(DatasetError) as caught:
        PreparedSet.open(out / "own")
    assert f"run '{command}' again" in str(caught.value)


def test_a_set_is_the_same_from_any_folder(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    index = pictures(Path("faces"), "bdf")
    assert not index.samples[0].image.container.is_absolute()
    assert whole(index, out).samples[0].image.container == tmp_path / "faces"
    os.rename(tmp_path / "faces", tmp_path / "moved")
    moved = whole(pictures(tmp_path / "moved", "bdf"), out)
    assert moved.samples[0].image.container == tmp_path / "moved"
    assert PreparedSet.open(out / "own").samples == moved.samples


def test_other_pictures_or_labels_of_the_same_names_are_refused(tmp_path: Path, out: Path) -> None:
    index = pictures(tmp_path / "other", "bdf")
    Image.new("RGB", (128, 128), "teal").save(tmp_path / "other" / "d.png")
    with pytest.raises(DatasetError, match=r"other pictures of the same names, such as d\.png"):
        whole(index, out)
    samples = list(pictures(tmp_path / "faces", "bdf").samples)
    samples[1] = dataclasses.replace(samples[1], labels={"age": Estimate(100.0, 3.0)})
    with pytest.raises(DatasetError, match=r"other labels for 1 of 3 samples, such as d\.png"):
        whole(DatasetIndex(tuple(samples), (AGE,)), out)


def test_an_extended_set_is_what_it_would_be_made_at_once(tmp_path: Path, out: Path) -> None:
    marked = PreparedSet.open(out / "own", writable=True)
    marked.crops[2] = 77  # what is done is not done again
    index = pictures(tmp_path / "faces", "abcdefg")
    extended = whole(index, out)
    once = whole(index, tmp_path / "once")
    assert extended.samples == once.samples
    assert (extended.crops[5] == 77).all()
    rest = np.arange(7) != 5
    assert np.array_equal(extended.crops[rest], once.crops[rest])
    assert np.array_equal(extended.digest, once.digest)
    assert sorted(path.name for path in out.iterdir()) == ["own"]


@pytest.mark.parametrize("moves", [0, 1])
def test_a_kill_while_a_set_is_extended_loses_nothing(
    tmp_path: Path, out: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = pictures(tmp_path / "faces", "abcdefg")
    real, done = os.replace, list[Path]()

    def replace(source: Path, target: Path) -> None:
        if Path(source).is_dir():
            if len(done) == moves:
                raise KeyboardInterrupt
            done.append(source)
        real(source, target)

    monkeypatch.setattr("agegenderemo.data.folder.os.replace", replace)
    with pytest.raises(KeyboardInterrupt):
        whole(index, out)
    monkeypatch.undo()
    assert [path.parent.name for path in out.glob("*/samples.jsonl")] == ["own"][moves:]
    extended = whole(index, out)
    assert np.array_equal(extended.crops, whole(index, tmp_path / "once").crops)
    assert sorted(path.name for path in out.iterdir()) == ["own"]


def test_crops_may_be_larger(tmp_path: Path) -> None:
    made = whole(pictures(tmp_path / "faces", "ab"), tmp_path / "out", size=256)
    assert PreparedSet.open(tmp_path / "out" / "own").crops.shape == (2, 256, 256, 3)
    assert made.crops[:, ::2, ::2].std() > 50  # the pictures, not zeros


def test_a_given_box_takes_the_place_of_a_search(tmp_path: Path, examples: Path) -> None:
    photo = Image.open(examples / "solvay-1927.jpg").convert("RGB")
    faces = MtcnnDetector().detect(np.asarray(photo))
    photo.save(tmp_path / "group.png")
    ref = ImageRef(tmp_path, "group.png")
    large, small = faces[0], faces[-1]
    width, height = photo.size
    x1, y1, x2, y2 = small.box
    fractions = (x1 / width, y1 / height, x2 / width, y2 / height)
    nobody = (0.0, height - 60.0, 40.0, float(height))
    boxes = (large.box, fractions, nobody)
    index = DatasetIndex(tuple(Sample(ref, "train", box=box) for box in boxes), (AGE,))
    made = prepare("own", index, tmp_path / "out", DETECTOR, processes=1)
    assert made.source.tolist()[:2] == [CropSource.DETECTED] * 2
    assert made.source[2] == CropSource.ASSUMED
    assert [sample.box for sample in PreparedSet.open(tmp_path / "out" / "own").samples] == [*boxes]
    points = np.load(tmp_path / "out" / "own" / "landmarks.npy")
    for row, face in ((0, large), (1, small)):
        left, top, right, bottom = face.box
        found = points[row] * (right - left, bottom - top) + (left, top)
        assert np.abs(found - face.landmarks).mean() < 0.08 * (right - left)


def test_a_picture_that_was_changed_is_prepared_anew(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = tmp_path / "faces"
    before = PreparedSet.open(out / "own").crops.copy()
    (faces / "d.png").write_bytes((faces / "b.png").read_bytes())
    index = DatasetIndex(
        tuple(Sample(ImageRef(faces, f"{n}.png"), "train", {"age": float(ord(n))}) for n in "bdf"),
        (AGE,),
    )
    now = whole(index, out)
    assert np.array_equal(now.crops, before[[0, 0, 2]])
    assert bytes(now.digest[1]) == bytes(now.digest[0])
    assert "1 pictures have changed since they were prepared, such as d.png" in (
        capsys.readouterr().err
    )
    # One that cannot be read keeps its crop, and one that could not be read has another chance.
    (faces / "d.png").write_bytes(b"broken")
    assert np.array_equal(whole(index, out).crops, before[[0, 0, 2]])
    source = np.load(out / "own" / "source.npy", "r+")
    digest = np.load(out / "own" / "digest.npy", "r+")
    source[2], digest[2] = CropSource.UNREADABLE, 0
    assert (whole(index, out).source == CropSource.WHOLE).all()


def test_a_set_that_was_edited_by_hand_is_called_damaged(out: Path) -> None:
    listing = out / "own" / "samples.jsonl"
    lines = listing.read_text()
    for wrong, why in (
        (lines.replace('"age": 98.0', '"age": -3'), "age cannot be -3"),
        (lines.partition("\n")[2], "N = 2"),
        (lines.replace("train", "trian", 1), "not 'trian'"),
    ):
        listing.write_text(wrong)
        with pytest.raises(DatasetError, match=rf"own is damaged or .*{why}.*; remove it and run"):
            PreparedSet.open(out / "own")


def _die(rows: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_preparation() -> None:
    with pytest.raises(DatasetError, match="killed in the midst of own: reading"):
        list(map_rows(_die, np.arange(64), print, (), 2, "own: reading"))


def test_a_disk_without_room_is_one_sentence(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(DatasetError, match=r"own could not be made \(.*3 crops .* take 0 MB"):
            whole(pictures(tmp_path / "faces", "bdf"), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "out" / "own").iterdir())
    whole(pictures(tmp_path / "faces", "bdf"), tmp_path / "out")
