"""What teachers say, and the loss of not saying it too."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_training import (
    FRACTIONS,
    ONE_EPOCH,
    TINY,
    changed,
    public_weights,
    sets_with_pictures,
)
from torch import Tensor

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.sampler import TrainingSet
from agegenderemo.data.samples import ImageRef, Label, Sample
from agegenderemo.data.targets import Targets, make_targets
from agegenderemo.errors import CheckpointError
from agegenderemo.evaluation.predict import TorchPredictor
from agegenderemo.models.checkpoint import load_checkpoint
from agegenderemo.models.heads import Outputs
from agegenderemo.models.mobilenet_v1_face import MobileNetV1Face
from agegenderemo.tasks import (
    AGE,
    DEFAULT_TASKS,
    EMOTION,
    EMOTION6,
    GENDER,
    SMILE,
    TaskSpec,
    value_of,
)
from agegenderemo.training.config import DistillationWeights
from agegenderemo.training.distillation import (
    Batch,
    Distillation,
    build_distillation,
    soft_loss,
)
from agegenderemo.training.distributed import DistributedContext
from agegenderemo.training.fit import fit
from agegenderemo.training.losses import label_counts
from agegenderemo.training.soft_targets import (
    SoftTargets,
    ensemble,
    in_vocabulary,
    shared_tasks,
)
from agegenderemo.training.teachers import TeacherEnsemble, load_teachers
from agegenderemo.training.trainer import Trainer
from agegenderemo.types import InputSpec

WIDTH = MobileNetV1Face.num_features
CPU = torch.device("cpu")
ALONE = DistributedContext()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sets_with_pictures(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return public_weights(tmp_path_factory.mktemp("public") / "public.safetensors")


@pytest.fixture(scope="module")
def weights(sets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that can teach."""
    return fit(ONE_EPOCH, sets, tmp_path_factory.mktemp("teacher"))


def targets_of(*labels: Mapping[str, Label]) -> Targets:
    samples = [Sample(ImageRef(Path(), "a"), "train", own) for own in labels]
    return make_targets(samples, DEFAULT_TASKS, DEFAULT_TASKS)


def one_hot(*classes: int) -> Tensor:
    return torch.eye(8)[list(classes)]


@pytest.mark.parametrize("missing", ["nowhere.safetensors"])
def test_a_missing_teacher_is_named_before_the_long_work(
    sets: Path, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(MobileNetV1Face, "forward", None)  # what would take minutes
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors"):
        fit(TINY, sets, tmp_path, teachers=(public, tmp_path / missing))


def test_teachers_that_cannot_teach_are_one_sentence(
    public: Path, weights: Path, tmp_path: Path
) -> None:
    assert load_teachers([public, weights], DEFAULT_TASKS, "face").public == public
    with pytest.raises(CheckpointError, match="it has no task of smile"):
        load_teachers([weights], (SMILE,), "face")
    with pytest.raises(CheckpointError, match="template 'face'; the recipe has 'ffhq'"):
        load_teachers([weights], DEFAULT_TASKS, "ffhq")
    second = tmp_path / "second.safetensors"
    save_file({"x": torch.zeros(1)}, second)
    with pytest.raises(CheckpointError, match="are no checkpoints; one of the teachers may be"):
        load_teachers([public, second], DEFAULT_TASKS, "face")


def test_an_ensemble_is_the_mean_of_all_but_the_numbers_of_the_probe() -> None:
    probe = {
        "age": torch.tensor([20.0]), "gender": torch.tensor([0.2]), "emotion": torch.ones(1, 8) / 8
    }  # fmt: skip
    other = {"age": torch.tensor([30.0]), "gender": torch.tensor([0.8]), "emotion": one_hot(3)}
    both = ensemble(probe, [other], DEFAULT_TASKS)
    assert both["age"].item() == 30
    assert both["gender"].item() == 0.5
    assert both["emotion"][0, 3].item() == pytest.approx((1 + 0.125) / 2)
    three = ensemble(probe, [other, other], DEFAULT_TASKS)
    assert three["gender"].item() == pytest.approx((0.2 + 0.8 + 0.8) / 3)
    # The probe never saw such a face.
    alone = ensemble(probe, [other], DEFAULT_TASKS, unseen=torch.tensor([True]))
    assert alone["gender"].item() == pytest.approx(0.8)
    assert torch.equal(alone["emotion"], one_hot(3))
    assert ensemble(probe, [], DEFAULT_TASKS) == probe
    # Teachers need not have the same tasks.
    some = ensemble({}, [{"gender": torch.tensor([0.4])}, other], DEFAULT_TASKS)
    assert some["gender"].item() == pytest.approx(0.6)
    assert some["age"].item() == 30
    assert ensemble(probe, [{"age": other["age"]}], DEFAULT_TASKS)["gender"] is probe["gender"]


def test_only_shared_tasks_are_taught_and_classes_go_by_name() -> None:
    other_way = TaskSpec("smile", "binary", ("smile", "no smile"))
    cm = TaskSpec("age", "regression", unit="months")
    theirs = (AGE, GENDER, EMOTION, other_way)
    ours = (EMOTION6, SMILE, GENDER, TaskSpec("glasses", "binary", ("without", "with")))
    assert [own.name for _, own in shared_tasks(theirs, ours)] == ["emotion", "smile", "gender"]
    assert shared_tasks((AGE,), (cm,)) == []
    assert shared_tasks((EMOTION6,), (EMOTION,)) == []  # it could not say what two classes are
    values = {
        "emotion": torch.tensor([[0.1, 0.5, 0, 0, 0.3, 0.1, 0, 0], [0, 1.0, 0, 0, 0, 0, 0, 0]]),
        "smile": torch.tensor([0.9, 0.2]),
        "gender": torch.tensor([0.3, 0.4]),
    }
    said = in_vocabulary(values, theirs[1:], ours)
    assert torch.allclose(said["smile"], torch.tensor([0.1, 0.8]))
    assert said["gender"] is values["gender"]
    # anger, fear, happiness, neutral, sadness, surprise; contempt is shared out
    assert torch.allclose(said["emotion"][0], torch.tensor([0.2, 0, 0.6, 0.2, 0, 0]), atol=1e-4)
    assert torch.allclose(said["emotion"][1], torch.full((6,), 1 / 6))  # nothing is left to share


def test_teachers_online_answer_for_the_face_as_it_was_changed(sets: Path, weights: Path) -> None:
    faces = PreparedSet.open(sets / "faces")
    rows = faces.rows("val")
    checkpoint = load_checkpoint(weights)
    online = TeacherEnsemble([checkpoint, checkpoint], (EMOTION6, AGE), CPU, bfloat16=False)
    assert online.size == 32
    pictures = torch.from_numpy(faces.crops[rows]).permute(0, 3, 1, 2).float() / 255
    first, second = online.predictions(pictures)
    assert list(first) == ["emotion", "age"]
    assert first["emotion"].shape == (len(rows), 6)
    assert torch.equal(first["age"], second["age"])
    predictor = TorchPredictor(checkpoint.model, checkpoint.info.input)
    said = predictor.predict(faces.crops[rows], mirror=False)
    expected = torch.tensor([value_of(face["age"]) for face in said])
    assert torch.allclose(first["age"], expected, atol=1e-4)
    darker = online.predictions(pictures * 0.3)[0]
    assert not torch.allclose(darker["age"], first["age"], atol=1e-3)
    torch.nn.init.constant_(checkpoint.model.head_output("age").bias, -99.0)
    assert (online.predictions(pictures)[0]["age"] == 0).all()  # as everywhere: never below it


def audience(count: int) -> dict[str, tuple[Tensor, Tensor]]:
    return {s.name: (torch.ones(count).bool(), torch.tensor(count)) for s in DEFAULT_TASKS}


@pytest.mark.parametrize("labelled_too", [False, True])
def test_teachers_speak_of_labelled_faces_only_if_asked_to(labelled_too: bool) -> None:
    said = {"age": torch.tensor([30.0]), "gender": torch.tensor([1.0]), "emotion": one_hot(6)}
    targets = targets_of({"age": 20, "gender": 1, "emotion": (0, 0, 0, 0, 1.0, 0, 0, 0)})
    weights = DistillationWeights({"gender": 0}, distil_labelled_faces=labelled_too)

    def loss(age: float, emotion: Tensor) -> float:
        raw = {"age": torch.tensor([age]), "gender": torch.ones(1), "emotion": 50 * emotion}
        return soft_loss(raw, said, audience(1), targets, label_counts(targets), weights).item()

    assert loss(30, one_hot(6)) == pytest.approx(0 if labelled_too else 10)
    assert loss(20, one_hot(4)) == pytest.approx(10 + 50 if labelled_too else 0)


def test_soft_losses_are_means_over_those_whom_they_are_about() -> None:
    said = {"emotion": one_hot(6, 6, 6), "gender": torch.tensor([1.0, 0.0, 1.0])}
    targets = targets_of({"emotion": (0, 0, 0, 0, 1.0, 0, 0, 0)}, {}, {})
    raw = {"emotion": 50 * one_hot(4, 4, 6), "gender": torch.full((3,), 20.0), "age": torch.ones(3)}
    weights = DistillationWeights({"emotion": 2.0, "gender": 0.5})

    def loss(who: dict[str, tuple[Tensor, Tensor]]) -> float:
        return soft_loss(raw, said, who, targets, label_counts(targets), weights).item()

    # The first has a label; of the others one is wrong. Of the genders one of three is.
    assert loss(audience(3)) == pytest.approx(2 * 50 / 2 + 0.5 * 20 / 3, rel=1e-4)
    heard = torch.tensor([True, False, True])
    only = {name: (heard, torch.tensor(2)) for name in ("age", "gender", "emotion")}
    assert loss(only) == pytest.approx(0, abs=1e-4)
    none = soft_loss(raw, {}, {}, targets, label_counts(targets), weights)
    assert none.item() == 0


def outputs(count: int) -> Outputs:
    raw = {
        "age": torch.zeros(count),
        "gender": torch.zeros(count),
        "emotion": torch.zeros(count, 8),
    }
    return Outputs(raw, torch.zeros(count, 16))


def test_features_are_drawn_to_those_of_the_public_network() -> None:
    soft = SoftTargets({}, torch.full((4, 5), 3.0))
    weights = DistillationWeights(features=2.0)
    distillation = Distillation(DEFAULT_TASKS, weights, soft)
    projection = distillation.projection(16)
    assert projection is not None
    assert projection.weight.shape == (5, 16)
    assert not projection.weight.any()
    assert Distillation(DEFAULT_TASKS, weights, SoftTargets({}, None)).projection(16) is None
    targets = targets_of({}, {}, {}, {})
    projected = torch.zeros(4, 5)
    projected[3] = 100.0  # of a mixed face nothing is known

    def loss(features: float) -> float:
        mixed = torch.tensor([False, False, False, True])
        batch = Batch(torch.arange(4), mixed, slice(0, 4))
        own = Distillation(DEFAULT_TASKS, DistillationWeights(features=features), soft)
        return own.loss(outputs(4), projected, batch, [], targets, label_counts(targets)).item()

    assert loss(2.0) == pytest.approx(2 * 9)
    assert loss(0.0) == 0


def test_of_mixed_faces_only_those_speak_who_see_them() -> None:
    soft = SoftTargets(
        {"gender": torch.tensor([1.0, 1.0]), "age": torch.tensor([10.0, 10.0])}, None
    )
    only_gender = dict.fromkeys(("age", "emotion"), 0.0)
    distillation = Distillation(DEFAULT_TASKS, DistillationWeights(only_gender), soft)
    targets = targets_of({}, {})
    out = outputs(2)
    out.predictions["gender"] = torch.tensor([0.0, -100.0])
    batch = Batch(torch.arange(2), torch.tensor([False, True]), slice(0, 2))

    def loss(online: list[dict[str, Tensor]]) -> float:
        return distillation.loss(out, None, batch, online, targets, label_counts(targets)).item()

    # The probe knows the first face alone; a teacher online sees the second as it is.
    assert loss([]) == pytest.approx(np.log(2), rel=1e-5)
    assert loss([{"age": torch.zeros(2)}]) == pytest.approx(np.log(2), rel=1e-5)
    male = {"gender": torch.tensor([1.0, 1.0])}
    assert loss([male]) == pytest.approx((np.log(2) + 100) / 2, rel=1e-5)


def test_training_learns_from_features_and_from_teachers(
    sets: Path, public: Path, weights: Path
) -> None:
    """Without labels all that can move the weights is what teachers say."""
    silent = changed(ONE_EPOCH, loss_weights=dict.fromkeys(("age", "gender", "emotion"), 0.0))
    opened = [PreparedSet.open(sets / name) for name in FRACTIONS]
    training = TrainingSet.build(opened, silent.specs)

    def train(features: float, tasks: float, *teachers: Path) -> Trainer:
        own = DistillationWeights(dict.fromkeys(("age", "gender", "emotion"), tasks), features)
        config = changed(silent, distillation=own, weight_decay=0.0)
        team = load_teachers(teachers, config.specs, config.template)
        distillation = build_distillation(config, training, sets, team, ALONE)
        trainer = Trainer(config, training, ALONE, (), distillation)
        trainer.train_epoch(0, InputSpec(32))
        return trainer

    nothing = train(0.0, 0.0, public, weights)
    assert nothing.projection is not None
    assert not nothing.projection.weight.any()
    by_features = train(1.0, 0.0, public, weights)
    assert by_features.projection is not None
    assert by_features.projection.weight.any()
    by_teachers = train(0.0, 1.0, weights)
    assert by_teachers.projection is None
    start, first, second = (
        t.model.state_dict()["backbone.0.weight"] for t in (nothing, by_features, by_teachers)
    )
    assert not torch.equal(start, first)
    assert not torch.equal(start, second)


def test_online_teachers_alone_speak_of_mixed_faces(
    sets: Path, public: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "agegenderemo.training.distillation.cached_predictions", None
    )  # nothing is answered in advance
    augmentation = dataclasses.replace(TINY.augmentation, mixup=1.0)
    online = changed(ONE_EPOCH, online_distillation=True, augmentation=augmentation)
    fit(online, sets, tmp_path, teachers=(public, weights))
    lines = (tmp_path / "history.csv").read_text().splitlines()
    history = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    # Every face is mixed: no label counts, and all that is learnt is what the teachers say.
    assert float(history["train_age"]) == float(history["train_gender"]) == 0
    assert float(history["train_total"]) == 0
    assert float(history["train_distillation"]) > 0
    assert "train_age_mae" not in history


def test_pictures_are_as_large_as_the_largest_reader_wants(weights: Path) -> None:
    online = TeacherEnsemble([load_checkpoint(weights)], DEFAULT_TASKS, CPU, bfloat16=False)
    distillation = Distillation(DEFAULT_TASKS, DistillationWeights(), SoftTargets({}, None), online)
    assert [distillation.picture_size(size) for size in (24, 48)] == [32, 48]
    alone = Distillation(DEFAULT_TASKS, DistillationWeights(), SoftTargets({}, None))
    assert alone.picture_size(24) == 24
