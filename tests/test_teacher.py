import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from synthetic import prepared_sets
from torch import Tensor, nn
from torch.nn import functional as F

from agegenderemo.checkpoint import CheckpointError, load_checkpoint
from agegenderemo.dataset import PreparedSet, Targets, sample_to_json
from agegenderemo.models import Outputs
from agegenderemo.models.facedescriptor import DESCRIPTOR_INPUT, WIDTH, DescriptorBackbone
from agegenderemo.predictor import Predictor
from agegenderemo.recipes import Stage, TeacherWeights, TrainConfig
from agegenderemo.records import ImageRef
from agegenderemo.teacher import Lessons, Panel, ask, describe, joined
from agegenderemo.training import fit, teacher_loss
from agegenderemo.transforms import to_input

TINY = TrainConfig(
    shares={"faces": 1.0, "moods": 1.0}, stages=(Stage(32, 1),), batch=16, precision="float32"
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic sets, with the pictures that their samples name."""
    root = prepared_sets(tmp_path_factory.mktemp("sets"), count=30)
    for name in ("faces", "moods"):
        prepared = PreparedSet.open(root / name)
        lines = []
        for index, sample in enumerate(prepared.samples):
            Image.fromarray(prepared.crops[index]).save(root / name / f"{index}.png")
            ref = ImageRef(root / name, f"{index}.png")
            lines.append(sample_to_json(dataclasses.replace(sample, image=ref)) + "\n")
        (root / name / "samples.jsonl").write_text("".join(lines))
    return root


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the public network's format, with weights of no use."""
    torch.manual_seed(0)
    network = DescriptorBackbone()
    for conv in network.conv:
        nn.init.kaiming_normal_(conv.weight)  # smaller ones would let the signal die
    weights = network.state_dict()
    path = tmp_path_factory.mktemp("public") / "public.safetensors"
    save_file({**weights, "hidden.weight": torch.zeros(256, WIDTH)}, path)
    return path


def test_the_public_weights_describe_a_face_as_their_author_has_it(
    data_root: Path, examples: Path
) -> None:
    network = DescriptorBackbone().eval()
    network.load_public(data_root / "face_descriptor.safetensors")
    face = Image.open(examples / "astronaut.jpg").crop((165, 50, 285, 170))
    picture = np.array(face.resize((224, 224), Image.Resampling.BILINEAR))
    with torch.inference_mode():
        numbers = network(to_input(torch.from_numpy(picture)[None], DESCRIPTOR_INPUT))
    assert numbers.shape == (1, WIDTH)
    assert numbers.mean().item() == pytest.approx(0.2466, abs=5e-5)


@pytest.mark.parametrize("content", [b"", b"not weights at all"])
def test_another_file_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not the face descriptor's"):
        DescriptorBackbone().load_public(path)
    save_file({"conv.0.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="not the face descriptor's"):
        DescriptorBackbone().load_public(path)


def test_the_family_begins_with_the_public_weights_and_trains(
    sets: Path, public: Path, tmp_path: Path
) -> None:
    still = dataclasses.replace(TINY, model="facedescriptor", learning_rate=0.0, ema=0.0)
    weights = fit(still, sets, tmp_path / "still", weights=(public,))
    expected = DescriptorBackbone()
    expected.load_public(public)
    checkpoint = load_checkpoint(weights)
    assert checkpoint.name == "facedescriptor"
    assert checkpoint.input.mean == DESCRIPTOR_INPUT.mean
    for name, value in checkpoint.model.backbone.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name].half().float()), name
    moving = dataclasses.replace(still, learning_rate=1e-3, optimiser="muon")
    on = load_checkpoint(fit(moving, sets, tmp_path / "moving", weights=(weights,)))
    for before, after in zip(
        checkpoint.model.backbone.parameters(), on.model.backbone.parameters(), strict=True
    ):
        assert not torch.equal(before, after)
    with pytest.raises(CheckpointError, match="facedescriptor"):
        fit(TINY, sets, tmp_path / "other", weights=(weights,))


def test_checkpoints_teach_beside_the_descriptor_and_answer_once(
    sets: Path, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = fit(TINY, sets, tmp_path / "first")
    fit(TINY, sets, tmp_path / "second", teachers=(public, weights))
    faces = PreparedSet.open(sets / "faces")
    rows = faces.rows("train")
    answers = ask(faces, sets / "faces", rows, weights)
    assert answers.shape == (len(rows), 10)
    assert ((answers[:, 1] >= 0) & (answers[:, 1] <= 1)).all()
    assert torch.allclose(answers[:, 2:].sum(dim=1), torch.ones(len(rows)), atol=1e-2)
    # All of it was answered already: nothing is computed a second time.
    monkeypatch.setattr(DescriptorBackbone, "forward", None)
    monkeypatch.setattr("agegenderemo.predictor.Predictor.predict", None)
    assert torch.equal(ask(faces, sets / "faces", rows, weights), answers)
    assert describe(faces, sets / "faces", rows, public).shape == (len(rows), WIDTH)


def test_a_missing_teacher_is_named_before_the_long_work(
    sets: Path, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DescriptorBackbone, "forward", None)  # what would take minutes
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors"):
        fit(TINY, sets, tmp_path, teachers=(public, tmp_path / "nowhere.safetensors"))


def test_the_descriptor_sees_the_picture_and_not_the_crop(
    sets: Path, public: Path, tmp_path: Path
) -> None:
    faces = PreparedSet.open(sets / "faces")
    rows = faces.rows("val")
    blind = dataclasses.replace(faces, crops=np.zeros_like(faces.crops))
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    assert torch.equal(describe(faces, first, rows, public), describe(blind, second, rows, public))


def test_joined_lessons_average_all_but_the_ages_of_the_probe() -> None:
    taught = Lessons(
        torch.tensor([20.0]), torch.tensor([0.2]), torch.full((1, 8), 0.125), torch.ones(1, 128)
    )
    emotion = nn.functional.one_hot(torch.tensor([3]), 8).float()
    other = torch.cat([torch.tensor([[30.0, 0.8]]), emotion], dim=1)
    both = joined(taught, [other])
    assert both.age.item() == 30
    assert both.male.item() == 0.5
    assert both.emotion[0, 3].item() == pytest.approx((1 + 0.125) / 2)
    assert torch.equal(both.features, taught.features)
    assert joined(taught, [other, other]).male.item() == pytest.approx((0.2 + 0.8 + 0.8) / 3)
    alone = joined(taught, [other], mixed=torch.tensor([True]))  # the probe never saw such a face
    assert alone.male.item() == pytest.approx(0.8)
    assert torch.equal(alone.emotion, emotion)
    assert joined(taught, []) is taught


def test_a_panel_answers_for_the_face_as_it_was_changed(sets: Path, tmp_path: Path) -> None:
    weights = fit(TINY, sets, tmp_path / "first")
    faces = PreparedSet.open(sets / "faces")
    rows = faces.rows("val")
    panel = Panel([weights, weights], "face", torch.device("cpu"), bfloat16=False)
    assert panel.size == 32
    crops = torch.from_numpy(faces.crops[rows])
    pictures = crops.permute(0, 3, 1, 2).float() / 255
    first, second = panel.answers(pictures)
    assert torch.equal(first, second)
    checkpoint = load_checkpoint(weights)
    said = Predictor(checkpoint.model, checkpoint.input).predict(crops, mirror=False)
    expected = torch.tensor([(a.age, a.male_probability, *a.emotions) for a in said])
    assert torch.allclose(first, expected, atol=1e-4)
    assert not torch.allclose(panel.answers(pictures * 0.3)[0], first, atol=1e-3)
    with pytest.raises(CheckpointError, match="framed as 'face'"):
        Panel([weights], "ffhq", torch.device("cpu"), bfloat16=False)


@pytest.mark.parametrize("over_labels", [False, True])
def test_a_teacher_speaks_of_labelled_faces_only_if_asked_to(over_labels: bool) -> None:
    sad, glad = F.one_hot(torch.tensor([[6], [4]]), 8).float()
    taught = Lessons(torch.tensor([30.0]), torch.tensor([1.0]), sad, torch.empty(1, 0))
    one = torch.ones(1)
    targets = Targets(20 * one, 20 * one, one.bool(), one, one.bool(), glad, one.bool())
    weights = TeacherWeights(age=1, gender=0, emotion=1, over_labels=over_labels)

    def loss(age: float, emotion: Tensor) -> float:
        said = Outputs(age * one, one, 50 * emotion, torch.empty(1, 0))
        return teacher_loss(said, taught, targets, torch.zeros(1), weights).item()

    assert loss(30, sad) == pytest.approx(0 if over_labels else 10)
    assert loss(20, glad) == pytest.approx(10 + 50 if over_labels else 0)


def test_live_teachers_alone_speak_of_mixed_faces(
    sets: Path, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = fit(TINY, sets, tmp_path / "first")
    monkeypatch.setattr("agegenderemo.pool.ask", None)  # nothing is answered in advance
    live = dataclasses.replace(
        TINY, live_teachers=True, augmentation=dataclasses.replace(TINY.augmentation, mix=1.0)
    )
    fit(live, sets, tmp_path / "second", teachers=(public, weights))
    lines = (tmp_path / "second" / "history.csv").read_text().splitlines()
    history = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    # Every face is mixed: no label counts, and the loss is what the teachers say.
    assert float(history["train_age"]) == float(history["train_gender"]) == 0
    assert float(history["train_total"]) > 0
    with pytest.raises(ValueError, match=r"augmentation\.mix wants live_teachers"):
        fit(dataclasses.replace(live, live_teachers=False), sets, tmp_path / "third")
    with pytest.raises(ValueError, match="live_teachers wants a checkpoint"):
        fit(live, sets, tmp_path / "third", teachers=(public,))
