"""Which faces an epoch draws: the fraction of each set, rare numbers and classes more often."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from synthetic import prepared_sets, write_set

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.sampler import TrainingSet
from agegenderemo.data.samples import ImageRef, Sample
from agegenderemo.data.targets import CategoricalTarget, RegressionTarget
from agegenderemo.errors import TaskError
from agegenderemo.tasks import AGE, DEFAULT_TASKS, EMOTION6, SMILE

FRACTIONS = {"faces": 1.0, "moods": 0.5, "bands": 2.0}


def training_set(folder: Path, **options: Any) -> TrainingSet:
    sets = [PreparedSet.open(folder / name) for name in FRACTIONS]
    return TrainingSet.build(sets, DEFAULT_TASKS, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_sets(tmp_path_factory.mktemp("sets"), count=200)


def drawn(training: TrainingSet, seeds: int | range) -> NDArray[np.int64]:
    """How often each face is drawn in the epochs of some seeds."""
    numbers = [
        np.concatenate(training.epoch(FRACTIONS, 1, seed))
        for seed in ([seeds] if isinstance(seeds, int) else seeds)
    ]
    return np.bincount(np.concatenate(numbers), minlength=len(training))


def test_it_holds_the_training_faces_and_their_crops(folder: Path) -> None:
    training = training_set(folder)
    assert training.counts() == {"faces": 160, "moods": 160, "bands": 160}
    assert len(training) == 480
    assert list(training.targets) == ["age", "gender", "emotion"]
    faces = np.array([470, 3, 200, 4])
    crops = training.crops(faces)
    assert crops.shape == (4, 40, 40, 3)
    for face, crop in zip(faces, crops, strict=True):
        prepared = training.sets[training.set_index[face]]
        assert prepared.samples[training.row[face]].split == "train"
        assert np.array_equal(crop.numpy(), prepared.crops[training.row[face]])
    assert torch.equal(training.crops_on(torch.device("cpu"))(faces), crops)


def test_copies_of_later_splits_are_left_out_unless_wanted(folder: Path, tmp_path: Path) -> None:
    samples = [Sample(ImageRef(Path(), str(i)), s, {"age": 1.0})  # type: ignore[arg-type]
               for i, s in enumerate(("test", "train", "train"))]  # fmt: skip
    digest = np.array([[7] * 20, [7] * 20, [8] * 20], np.uint8)
    crops = np.zeros((3, 40, 40, 3), np.uint8)
    sets = [PreparedSet.open(write_set(tmp_path / "own", samples, (AGE,), crops, digest))]
    assert TrainingSet.build(sets, (AGE,)).row.tolist() == [2]
    assert TrainingSet.build(sets, (AGE,), drop_copies=False).row.tolist() == [1, 2]


def test_labels_are_those_of_the_network(folder: Path) -> None:
    sets = [PreparedSet.open(folder / name) for name in FRACTIONS]
    training = TrainingSet.build(sets, (SMILE, EMOTION6), balance={"emotion": 1.0})
    assert list(training.targets) == ["smile", "emotion"]
    assert not training.targets["smile"].mask.any()
    emotion = training.targets["emotion"]
    assert isinstance(emotion, CategoricalTarget)
    assert emotion.probabilities.shape == (480, 6)
    assert emotion.mask.numpy().tolist() == (training.set_index == 1).tolist()


def test_an_epoch_draws_each_face_as_often_as_its_fraction_says(folder: Path) -> None:
    training = training_set(folder)
    counts = drawn(training, 3)
    assert set(counts[training.set_index == 0]) == {1}
    assert sorted(set(counts[training.set_index == 1])) == [0, 1]
    assert counts[training.set_index == 1].sum() == (training.set_index == 1).sum() / 2
    assert set(counts[training.set_index == 2]) == {2}


def test_batches_are_full_and_mixed(folder: Path) -> None:
    training = training_set(folder)
    batches = training.epoch(FRACTIONS, 64, 0)
    assert {len(batch) for batch in batches} == {64}
    assert len(batches) == int(160 * 3.5) // 64
    assert all(set(training.set_index[batch]) == {0, 1, 2} for batch in batches)
    assert training.epoch(dict.fromkeys(FRACTIONS, 0.0), 64, 0) == []


def test_epochs_differ_and_repeat(folder: Path) -> None:
    training = training_set(folder)
    first, again, other = (np.concatenate(training.epoch(FRACTIONS, 1, seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_batches_are_those_of_version_0_1(folder: Path) -> None:
    """So that the runs which made the shipped weights repeat."""
    plain, balanced = training_set(folder), training_set(folder, balance={"age": 0.5})
    assert plain.epoch(FRACTIONS, 8, 5)[3].tolist() == [321, 339, 455, 79, 376, 99, 416, 387]
    assert balanced.epoch(FRACTIONS, 8, 5)[3].tolist() == [364, 450, 53, 54, 424, 359, 436, 401]


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_rare_ages_are_drawn_more_often(folder: Path, power: float) -> None:
    training = training_set(folder, balance={"age": power})
    age = training.targets["age"]
    assert isinstance(age, RegressionTarget)
    faces = training.set_index == 0
    decade = (age.low.numpy() // 10).astype(int)
    counts = drawn(training, range(200))
    assert counts[faces].sum() == 200 * faces.sum()  # the fraction of the set stays
    per_decade = np.array([counts[faces & (decade == d)].sum() for d in range(8)])
    size = np.array([(faces & (decade == d)).sum() for d in range(8)])
    expected = size ** (1 - power)
    assert per_decade / per_decade.sum() == pytest.approx(expected / expected.sum(), rel=0.02)


def test_ages_from_ninety_on_are_one_bin(tmp_path: Path) -> None:
    ages = [15.0] * 6 + [90.0, 104.0]
    samples = [
        Sample(ImageRef(Path(), str(i)), "train", {"age": age}) for i, age in enumerate(ages)
    ]
    crops = np.zeros((8, 40, 40, 3), np.uint8)
    sets = [PreparedSet.open(write_set(tmp_path / "own", samples, (AGE,), crops))]
    weight = TrainingSet.build(sets, (AGE,), balance={"age": 1.0}).sampling_weight
    assert weight.tolist() == pytest.approx([2 / 3] * 6 + [2, 2])


def test_rare_classes_are_drawn_more_often(folder: Path) -> None:
    training = training_set(folder, balance={"emotion": 1.0})
    moods = training.set_index == 1
    emotion = training.targets["emotion"]
    assert isinstance(emotion, CategoricalTarget)
    glad = emotion.probabilities[:, 4].numpy() == 1
    counts = drawn(training, range(200))
    assert (moods & glad).sum() != (moods & ~glad).sum()
    assert counts[moods & glad].sum() == pytest.approx(counts[moods & ~glad].sum(), rel=0.02)


def test_rare_answers_of_a_binary_task_are_drawn_more_often(tmp_path: Path) -> None:
    samples = [
        Sample(ImageRef(Path(), str(i)), "train", {"smile": int(i < 8)} if i < 40 else {})
        for i in range(50)
    ]
    crops = np.zeros((50, 40, 40, 3), np.uint8)
    sets = [PreparedSet.open(write_set(tmp_path / "own", samples, (SMILE,), crops))]
    weight = TrainingSet.build(sets, (SMILE,), balance={"smile": 1.0}).sampling_weight
    assert weight.mean() == pytest.approx(1)
    assert weight[0] / weight[8] == pytest.approx(4)  # 8 smile, 32 do not
    assert weight[8] / weight[40] == pytest.approx(40 / 32)  # 10 are not labelled


@pytest.mark.parametrize("name", ["White", "faces/White"])
def test_races_are_drawn_as_often_as_the_recipe_says(folder: Path, name: str) -> None:
    training = training_set(folder, race_weights={name: 3.0, "bands/White": 7.0})
    faces = training.set_index == 0
    races = np.array([training.sets[0].samples[row].race for row in training.row[faces]])
    assert 0 < (races == "White").sum() < len(races)
    counts = drawn(training, range(200))[faces]
    assert counts.sum() == 200 * faces.sum()
    often, once = counts[races == "White"].mean(), counts[races != "White"].mean()
    assert often / once == pytest.approx(3, rel=0.05)


def test_a_balance_of_an_unknown_task_is_refused(folder: Path) -> None:
    with pytest.raises(TaskError, match="no task 'hats' to balance"):
        training_set(folder, balance={"age": 0.5, "hats": 0.5})
