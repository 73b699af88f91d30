"""Samples, what readers make of them, and prepared folders on disk, today's and the older ones."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import TASKS, prepared_sets, write_set
from tiny import GLASSES

from agegenderemo.data.dataset import CropSource, PreparedSet, sample_from_json, sample_to_json
from agegenderemo.data.samples import DatasetIndex, ImageRef, Label, Sample, SkippedEntry, Split
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import AGE, DEFAULT_TASKS, EMOTION, GENDER, TaskSpec

REF = ImageRef(Path("set"), "a.png")
HAPPY = (0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
SPLITS: tuple[Split, ...] = ("train", "val", "test")


# --- samples ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        (AGE, -1.0),
        (AGE, math.nan),
        (AGE, math.inf),
        (AGE, (9.0, 3.0)),
        (AGE, (-1.0, 3.0)),
        (AGE, (math.nan, 3.0)),
        (AGE, (1.0, 2.0, 3.0)),
        (GENDER, 2),
        (GENDER, 0.5),
        (GENDER, (0.5, 0.5)),
        (EMOTION, 4),
        (EMOTION, HAPPY[1:]),
        (EMOTION, (0.5, *HAPPY[1:])),
    ],
)
def test_labels_that_their_task_cannot_have_are_refused(spec: TaskSpec, label: Label) -> None:
    with pytest.raises(ValueError, match=r"must|cannot|wanted|two ends"):
        DatasetIndex((Sample(REF, "train", {spec.name: label}),), (spec,))


def test_labels_of_no_task_are_refused() -> None:
    with pytest.raises(ValueError, match="'gender', no task of the set"):
        DatasetIndex((Sample(REF, "train", {"gender": 1}),), (AGE,))


def test_samples_of_no_split_or_with_wrong_votes_are_refused() -> None:
    with pytest.raises(ValueError, match="a split is one of train, val, test"):
        Sample(REF, "holdout")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="votes are counts"):
        Sample(REF, "val", votes=(1, -1))


def test_an_index_counts_what_was_left_out_and_restored() -> None:
    labels: Mapping[str, Label] = {"age": (70, math.inf), "gender": 0}
    samples = (Sample(REF, "train", labels), Sample(REF, "test"))
    skipped = tuple(SkippedEntry(f"{i}.png", ("no face", "no image")[i % 2]) for i in range(3))
    index = DatasetIndex(samples, (AGE, GENDER), skipped, (SkippedEntry("x", "age band"),))
    assert index.summary() == (
        "2 samples; skipped 2 (no face), 1 (no image); repaired 1 (age band)"
    )
    assert index.only("test").samples == samples[1:]
    assert index.only("test").skipped == skipped
    assert DatasetIndex((), (AGE,)).summary() == "0 samples"


def test_samples_survive_the_disk() -> None:
    samples = [
        Sample(ImageRef(Path("set.zip"), "a.png"), "test", {"age": 3.5, "gender": 0}, race="Asian"),
        Sample(ImageRef(Path("x.csv"), "", 77), "val", {"age": (70.0, math.inf)}),
        Sample(
            ImageRef(Path("set"), "ä.png"),
            "train",
            {"emotion": (0.5, 0.5, *[0.0] * 6)},
            votes=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
        ),
        Sample(REF, "train"),
    ]
    lines = [sample_to_json(sample) for sample in samples]
    assert [sample_from_json(line, DEFAULT_TASKS) for line in lines] == samples
    assert "Infinity" not in lines[1]  # which is not JSON
    assert json.loads(lines[1])["labels"] == {"age": [70, None]}
    assert list(json.loads(lines[3])) == ["image", "split", "labels"]


# --- prepared folders ------------------------------------------------------------------------


def test_prepared_sets_come_back_with_their_tasks(tmp_path: Path) -> None:
    folder = prepared_sets(tmp_path, 20)
    for name, tasks in TASKS.items():
        prepared = PreparedSet.open(folder / name)
        assert prepared.name == name
        assert prepared.tasks == tasks
        assert prepared.template == "face"
        assert prepared.crops.shape == (20, 40, 40, 3)
        assert {label for sample in prepared.samples for label in sample.labels} == {
            spec.name for spec in tasks
        }


def test_a_task_that_nobody_knows_is_kept_in_the_folder(tmp_path: Path) -> None:
    samples = [Sample(REF, "train", {"glasses": i % 2}) for i in range(4)]
    crops = np.zeros((4, 40, 40, 3), np.uint8)
    write_set(tmp_path / "own", samples, (GLASSES,), crops, template="ffhq")
    prepared = PreparedSet.open(tmp_path / "own")
    assert prepared.tasks == (GLASSES,)
    assert prepared.samples == tuple(samples)
    assert prepared.template == "ffhq"


def test_splits_leave_out_copies_of_later_splits(tmp_path: Path) -> None:
    prepared = PreparedSet.open(prepared_sets(tmp_path, 20) / "faces")
    before = {split: set(prepared.rows(split).tolist()) for split in SPLITS}
    assert before["test"] == {0, 10}
    digest, source = prepared.digest.copy(), prepared.source.copy()
    digest[2], digest[3], digest[11] = digest[0], digest[1], digest[10]
    source[4], source[5] = CropSource.UNREADABLE, CropSource.TODO
    changed = dataclasses.replace(prepared, digest=digest, source=source)
    assert before["train"] - set(changed.rows("train").tolist()) == {2, 3, 4, 5}
    assert before["val"] - set(changed.rows("val").tolist()) == {11}
    assert set(changed.rows("test").tolist()) == before["test"]
    # Two training images that are each other's copies both stay.
    digest[7] = digest[6]
    assert {6, 7} <= set(changed.rows("train").tolist())
    with_copies = {split: set(changed.rows(split, copies=True).tolist()) for split in SPLITS}
    assert with_copies == before | {"train": before["train"] - {4, 5}}
    assert set(changed.rows("all").tolist()) == set(range(20)) - {4, 5}


def old_folder(root: Path) -> Path:
    """What version 0.1 made."""
    folder = root / "old"
    folder.mkdir()
    image = ["set.zip", "a.png", None]
    votes = [0, 10, *[0] * 8]
    lines: list[dict[str, Any]] = [
        {"image": image, "split": "test", "age": 25, "gender": 0, "group": "Asian"},
        {"image": image, "split": "val", "age_range": [70, math.inf], "gender": 1},
        {"image": image, "split": "train", "emotion": list(HAPPY), "votes": votes},
        {"image": ["x.csv", "", 77], "split": "train", "age": 0.0},
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "framing.json").write_text('"ffhq"')
    np.save(folder / "crops.npy", np.zeros((4, 40, 40, 3), np.uint8))
    np.save(folder / "origin.npy", np.array([1, 2, 3, 4], np.uint8))
    np.save(folder / "digest.npy", np.arange(80, dtype=np.uint8).reshape(4, 20))
    return folder


def test_folders_of_version_0_1_open(tmp_path: Path) -> None:
    prepared = PreparedSet.open(old_folder(tmp_path), writable=True)
    assert prepared.tasks == DEFAULT_TASKS
    assert prepared.template == "ffhq"
    assert prepared.source.tolist() == [
        CropSource.DETECTED, CropSource.PADDED, CropSource.ASSUMED, CropSource.UNREADABLE,
    ]  # fmt: skip
    ref = ImageRef(Path("set.zip"), "a.png")
    assert prepared.samples == (
        Sample(ref, "test", {"age": 25, "gender": 0}, race="Asian"),
        Sample(ref, "val", {"age": (70, math.inf), "gender": 1}),
        Sample(ref, "train", {"emotion": HAPPY}, votes=(0, 10, *[0] * 8)),
        Sample(ImageRef(Path("x.csv"), "", 77), "train", {"age": 0.0}),
    )


def test_a_set_of_version_0_1_has_the_tasks_that_it_is_labelled_for(tmp_path: Path) -> None:
    folder = old_folder(tmp_path)
    lines = (folder / "samples.jsonl").read_text().splitlines()
    (folder / "samples.jsonl").write_text("\n".join([lines[0], lines[1], lines[3], lines[3]]))
    assert PreparedSet.open(folder).tasks == (AGE, GENDER)


def spoil(folder: Path, what: str) -> None:
    path = folder / what
    if what == "samples.jsonl":
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:-1]))  # one label fewer than crops
    elif what.endswith(".npy"):
        os.truncate(path, 40)
    else:
        path.write_text(json.dumps({"template": "passport", "tasks": []}))


@pytest.mark.parametrize("what", ["samples.jsonl", "crops.npy", "source.npy", "index.json"])
def test_a_spoilt_folder_is_one_sentence(tmp_path: Path, what: str) -> None:
    folder = prepared_sets(tmp_path, 20) / "faces"
    spoil(folder, what)
    with pytest.raises(DatasetError, match=r"is damaged or .*; remove it and run "):
        PreparedSet.open(folder)
    (folder / what).unlink()
    with pytest.raises(DatasetError, match=r"is damaged or|set; .* holds bands, moods; run "):
        PreparedSet.open(folder)


@pytest.mark.parametrize(
    "line",
    ["[]", "{}", '{"image": ["a"], "split": "train", "labels": {}}',
     '{"image": ["a", "b", null], "split": "train", "labels": {"hat": 1}}',
     '{"image": ["a", "b", null], "split": "train", "labels": {"age": -4}}'],
)  # fmt: skip
def test_a_line_that_is_no_sample_is_one_sentence(tmp_path: Path, line: str) -> None:
    folder = prepared_sets(tmp_path, 20) / "faces"
    lines = (folder / "samples.jsonl").read_text().splitlines()
    (folder / "samples.jsonl").write_text("\n".join([line, *lines[1:]]))
    with pytest.raises(DatasetError, match="is damaged or was changed by hand"):
        PreparedSet.open(folder)


def test_arrays_must_be_of_the_samples(tmp_path: Path) -> None:
    prepared = PreparedSet.open(prepared_sets(tmp_path, 20) / "faces")
    for changed in (
        {"crops": prepared.crops[:, :30]},
        {"crops": prepared.crops.astype(np.float32)},
        {"source": prepared.source[1:]},
        {"digest": prepared.digest[:, 1:]},
        {"template": "passport"},
    ):
        with pytest.raises(ValueError, match=r"must be|not as many|unknown alignment"):
            dataclasses.replace(prepared, **changed)
