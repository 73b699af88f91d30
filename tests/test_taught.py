"""What a run is taught and how: tasks with labels, frozen backbones, matched sets, validation."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_training import FRACTIONS, ONE_EPOCH, TINY, changed, history_of, trainer_of
from synthetic import prepared_sets

from agegenderemo.data.dataset import CropSource, PreparedSet
from agegenderemo.data.sampler import TrainingSet
from agegenderemo.data.samples import ImageRef, Sample
from agegenderemo.data.targets import make_targets
from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.files import sha256
from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.models.checkpoint import load_checkpoint
from agegenderemo.tasks import AGE, DEFAULT_TASKS
from agegenderemo.training.config import DistillationWeights
from agegenderemo.training.distributed import DistributedContext
from agegenderemo.training.fit import fit
from agegenderemo.training.held_out import with_validation
from agegenderemo.training.losses import LossSettings, label_counts, multitask_loss
from agegenderemo.training.scores import Scores
from agegenderemo.training.start import begin, fresh_network
from agegenderemo.training.trainer import Trainer

ALONE = DistributedContext()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_sets(tmp_path_factory.mktemp("sets"))


def test_sets_without_a_validation_split_get_one_by_digest(sets: Path, tmp_path: Path) -> None:
    folder = prepared_sets(tmp_path / "sets", count=200)
    for path in folder.glob("*/samples.jsonl"):
        path.write_text(path.read_text().replace('"val"', '"test"'))
    said: list[str] = []
    config = changed(ONE_EPOCH, keep="best", schedule="plateau")
    info = load_checkpoint(fit(config, folder, tmp_path / "run", say=said.append)).info
    held = info.provenance["held_out_of_training"]
    assert set(held) == set(FRACTIONS)
    assert all(1 <= count <= 25 for count in held.values())
    assert said[0].startswith(f"No validation split: {held['faces']} of faces, ")
    trained = info.provenance["training_faces"]
    assert {name: trained[name] + held[name] for name in held} == dict.fromkeys(held, 160)
    assert float(history_of(tmp_path / "run")[0]["val_total"]) > 0

    one = PreparedSet.open(folder / "faces")
    (first,), made = with_validation([one], config)
    rows = first.rows("val")
    assert made == {"faces": len(rows)}
    assert all(int.from_bytes(bytes(first.digest[row]), "big") % 20 == 0 for row in rows)
    assert not set(rows) & set(first.rows("train"))
    assert with_validation([first], config)[1] == {}  # a split of its own stays


def test_few_faces_are_not_all_held_out() -> None:
    crops = np.zeros((3, 32, 32, 3), np.uint8)
    for digest, held in (([20, 40, 60], 1), ([1, 2, 3], 1), ([7, 7, 8], 2), ([9, 9, 9], 0)):
        digests = np.zeros((3, 20), np.uint8)
        digests[:, -1] = digest
        samples = tuple(Sample(ImageRef(Path(), str(i)), "train", {"age": 3.0}) for i in range(3))
        source = np.full(3, CropSource.DETECTED, np.uint8)
        one = PreparedSet("few", samples, (AGE,), crops, source, digests)
        (found,), _ = with_validation([one], TINY)
        assert len(found.rows("val")) == held, digest


def test_what_nobody_knows_of_is_not_shipped_as_trained(sets: Path, tmp_path: Path) -> None:
    said: list[str] = []
    only_ages = changed(ONE_EPOCH, epoch_fractions={"faces": 1.0, "moods": 0.0})
    weights = fit(
        changed(only_ages, tasks=("age", "gender", "emotion", "smile"), loss_weights={"gender": 0}),
        sets, tmp_path / "run", say=said.append,
    )  # fmt: skip
    # Of smiles there is no label, of emotions none is drawn, and genders do not count.
    assert said[0] == "Left out, for nothing says anything of them: gender, emotion, smile."
    assert load_checkpoint(weights).info.tasks == (AGE,)
    assert Analyzer.from_checkpoint(weights).tasks == (AGE,)

    teacher = fit(ONE_EPOCH, sets, tmp_path / "teacher")
    taught = fit(only_ages, sets, tmp_path / "taught", teachers=[teacher])
    assert load_checkpoint(taught).info.tasks == DEFAULT_TASKS
    silent = changed(ONE_EPOCH, loss_weights={"gender": 0.0, "emotion": 0.0})
    skipped = changed(silent, distillation=DistillationWeights(skip_unweighted=True))
    for config, tasks in ((silent, DEFAULT_TASKS), (skipped, (AGE,))):
        out = tmp_path / f"tasks{len(tasks)}"
        weights = fit(config, sets, out, teachers=[teacher])
        assert load_checkpoint(weights).info.tasks == tasks
    provenance = load_checkpoint(weights).info.provenance
    assert provenance["teachers"] == [
        {"path": "teacher/model.safetensors", "sha256": sha256(teacher.read_bytes())}
    ]


def test_a_frozen_backbone_of_another_run_stays_as_it_was(sets: Path, tmp_path: Path) -> None:
    first = fit(ONE_EPOCH, sets, tmp_path / "first")
    config = changed(ONE_EPOCH, begin_part="backbone", freeze_backbone=True, optimiser="muon")
    second = fit(config, sets, tmp_path / "second", weights=[first])
    one, two = (load_checkpoint(path).model.state_dict() for path in (first, second))
    for name, value in one.items():
        if name.startswith("backbone"):  # batch norm's statistics too
            assert torch.equal(value, two[name]), name
        elif value.ndim > 1:
            assert not torch.equal(value, two[name]), name
    targets = trainer_of(config, sets).training.targets
    fresh, begun = fresh_network(config), fresh_network(config)
    begin(fresh, [], config, targets)
    begin(begun, [first], config, targets)
    for name, value in begun.state_dict().items():  # neck and heads are new
        same = torch.equal(value, fresh.state_dict()[name])
        assert same != name.startswith("backbone"), name


def test_a_fresh_backbone_is_not_frozen(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(AgeGenderEmoError, match="freeze_backbone wants weights to begin with"):
        fit(changed(ONE_EPOCH, freeze_backbone=True), sets, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_small_sets_are_drawn_until_they_match_the_largest(tmp_path: Path) -> None:
    folder = prepared_sets(tmp_path, count=60)
    few = PreparedSet.open(folder / "moods")
    samples = tuple(
        dataclasses.replace(s, split="train" if i % 6 == 2 else "test")
        for i, s in enumerate(few.samples)
    )
    sets = [PreparedSet.open(folder / "faces"), dataclasses.replace(few, samples=samples)]
    config = changed(ONE_EPOCH, epoch_fractions={"faces": 0.5, "moods": 1.0}, match_largest=True)
    trainer = Trainer(config, TrainingSet.build(sets, config.specs), ALONE)
    assert trainer.training.counts() == {"faces": 48, "moods": 10}
    faces = np.concatenate(trainer.training.epoch(trainer.fractions, 1, 0))
    drawn = np.bincount(trainer.training.set_index[faces])
    assert drawn.tolist() == [24, 48]
    assert np.ptp(np.bincount(faces)[48:]) <= 1  # each of the few as often as any other


def test_training_and_validation_losses_are_the_same_terms() -> None:
    """Means over the faces that have a label, however unevenly they fall into batches."""
    labels: list[dict[str, Any]] = [{"age": 10.0}, {"age": 20.0, "gender": 1}, {"age": 60.0}, {}]
    samples = [Sample(ImageRef(Path(), "a"), "train", own) for own in labels]
    targets = make_targets(samples, DEFAULT_TASKS, DEFAULT_TASKS)
    raw = {"age": torch.full((4,), 30.0), "gender": torch.ones(4), "emotion": torch.zeros(4, 8)}
    settings = LossSettings({"age": 0.5, "gender": 3.0})
    scores = Scores(DEFAULT_TASKS, torch.device("cpu"))
    for rows in (torch.tensor([0, 1, 2]), torch.tensor([3])):
        own = {name: value[rows] for name, value in raw.items()}
        part = targets.take(rows)
        losses = multitask_loss(own, part, settings).tasks
        scores.update(own, part, losses, label_counts(part))
    whole = multitask_loss(raw, targets, settings)
    found = scores.losses(settings.weights)
    assert found["age"] == pytest.approx(20)
    expected = {name: float(own) for name, own in whole.tasks.items()}
    assert found == pytest.approx({"total": float(whole.total), **expected})
    scores.add_distillation(torch.tensor(2.0))
    assert scores.losses(settings.weights)["distillation"] == 2
    assert scores.losses(settings.weights)["total"] == found["total"]
