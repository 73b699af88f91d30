"""What frozen networks say of stored faces: the public one, its probe, and checkpoints."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_training import (
    ONE_EPOCH,
    changed,
    public_weights,
    sets_with_pictures,
)
from torch import Tensor

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.samples import ImageRef, Label, Sample
from agegenderemo.data.targets import BinaryTarget, Targets, make_targets
from agegenderemo.data.transforms import to_input
from agegenderemo.errors import CheckpointError
from agegenderemo.evaluation.predict import TorchPredictor
from agegenderemo.models.checkpoint import load_checkpoint
from agegenderemo.models.mobilenet_v1_face import PUBLIC_INPUT, MobileNetV1Face
from agegenderemo.tasks import (
    DEFAULT_TASKS,
    value_of,
)
from agegenderemo.training.cached import cached_embeddings, cached_predictions, pad_and_resize
from agegenderemo.training.distributed import DistributedContext
from agegenderemo.training.fit import fit
from agegenderemo.training.probe import probe_targets

WIDTH = MobileNetV1Face.num_features
CPU = torch.device("cpu")
ALONE = DistributedContext()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sets_with_pictures(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def weights(sets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that can teach."""
    return fit(ONE_EPOCH, sets, tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return public_weights(tmp_path_factory.mktemp("public") / "public.safetensors")


def targets_of(*labels: Mapping[str, Label]) -> Targets:
    samples = [Sample(ImageRef(Path(), "a"), "train", own) for own in labels]
    return make_targets(samples, DEFAULT_TASKS, DEFAULT_TASKS)


def test_the_public_weights_describe_a_face_as_their_author_has_it(
    data_root: Path, examples: Path
) -> None:
    network = MobileNetV1Face().eval()
    network.load_public(data_root / "face_descriptor.safetensors")
    face = Image.open(examples / "astronaut.jpg").crop((165, 50, 285, 170))
    picture = np.array(face.resize((224, 224), Image.Resampling.BILINEAR))
    with torch.inference_mode():
        numbers = network(to_input(torch.from_numpy(picture)[None], PUBLIC_INPUT))
    assert numbers.shape == (1, WIDTH)
    assert numbers.mean().item() == pytest.approx(0.2466, abs=5e-5)


@pytest.mark.slow
def test_the_family_begins_with_the_public_weights_and_trains(
    sets: Path, public: Path, tmp_path: Path
) -> None:
    still = changed(ONE_EPOCH, model="mobilenet_v1_face", learning_rate=0.0, ema=0.0)
    weights = fit(still, sets, tmp_path / "still", weights=(public,))
    expected = MobileNetV1Face()
    expected.load_public(public)
    checkpoint = load_checkpoint(weights)
    assert checkpoint.info.model == "mobilenet_v1_face"
    assert checkpoint.info.input.mean == PUBLIC_INPUT.mean
    for name, value in checkpoint.model.backbone.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name].half().float()), name
    moving = changed(still, learning_rate=1e-3, optimiser="muon")
    on = load_checkpoint(fit(moving, sets, tmp_path / "moving", weights=(weights,)))
    for before, after in zip(
        checkpoint.model.backbone.parameters(), on.model.backbone.parameters(), strict=True
    ):
        assert not torch.equal(before, after)


@pytest.mark.parametrize("content", [b"", b"not weights at all"])
def test_another_file_is_refused_in_one_sentence(
    sets: Path, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    faces = PreparedSet.open(sets / "faces")
    with pytest.raises(CheckpointError, match="not the public face network's"):
        cached_embeddings(faces, tmp_path, np.arange(2), path)


def test_checkpoints_and_the_public_network_answer_once(
    sets: Path, public: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = changed(ONE_EPOCH, epoch_fractions={"faces": 1.0})
    fit(config, sets, tmp_path / "run", teachers=(public, weights))
    faces = PreparedSet.open(sets / "faces")
    rows = faces.rows("train")
    checkpoint = load_checkpoint(weights)
    said = TorchPredictor(checkpoint.model, checkpoint.info.input).predict(faces.crops[rows])
    # All of it was answered already: nothing is computed a second time.
    monkeypatch.setattr(MobileNetV1Face, "forward", None)
    monkeypatch.setattr(TorchPredictor, "predict", None)
    answers = cached_predictions(faces, sets / "faces", rows, weights, checkpoint)
    assert list(answers) == ["age", "gender", "emotion"]
    for name, shape in (("age", ()), ("gender", ()), ("emotion", (8,))):
        assert answers[name].shape == (len(rows), *shape)
        expected = torch.tensor([value_of(face[name]) for face in said])
        torch.testing.assert_close(answers[name], expected, rtol=1e-3, atol=1e-3)
    assert cached_embeddings(faces, sets / "faces", rows, public).shape == (len(rows), WIDTH)


def test_a_cache_goes_on_where_it_was_and_another_set_has_its_own(
    sets: Path, weights: Path, tmp_path: Path
) -> None:
    faces = PreparedSet.open(sets / "faces")
    checkpoint = load_checkpoint(weights)

    def ask(prepared: PreparedSet, rows: list[int]) -> Tensor:
        return cached_predictions(prepared, tmp_path, np.array(rows), weights, checkpoint)["age"]

    first = ask(faces, [3, 4])
    (cache,) = tmp_path.glob("predictions-*.npy")
    store = np.load(cache, "r+")
    assert np.flatnonzero(~np.isnan(store[:, 0])).tolist() == [3, 4]
    store[3, 0] = 77  # it is read, not made anew
    store.flush()
    both = ask(faces, [4, 3, 5])
    assert both[:2].tolist() == [first[1].item(), 77]
    # As many faces, framed otherwise, or as many others.
    others = (
        dataclasses.replace(faces, crops=255 - faces.crops),
        dataclasses.replace(faces, digest=faces.digest[::-1].copy()),
    )
    for other in others:
        fresh = ask(other, [3, 4])
        assert 77 not in fresh
    assert not torch.equal(ask(others[0], [3, 4]), first)
    assert ask(faces, [3]).item() == 77
    assert len(list(tmp_path.glob("predictions-*.npy"))) == 3


def test_embeddings_are_of_these_pictures_and_these_weights(
    sets: Path, public: Path, tmp_path: Path
) -> None:
    faces = PreparedSet.open(sets / "faces")
    rows = np.array([0])
    cached_embeddings(faces, tmp_path, rows, public)
    (cache,) = tmp_path.glob("embeddings-*.npy")
    np.load(cache, "r+")[0] = 77
    anew = dataclasses.replace(faces, digest=faces.digest[::-1].copy())
    assert cached_embeddings(faces, tmp_path, rows, public)[0, 0] == 77
    assert cached_embeddings(anew, tmp_path, rows, public)[0, 0] != 77
    other = tmp_path / "other.safetensors"
    other.write_bytes(public.read_bytes() + b" ")
    with pytest.raises(CheckpointError):  # not the old numbers of another file
        cached_embeddings(faces, tmp_path, rows, other)


def test_the_public_network_sees_the_picture_and_not_the_crop(
    sets: Path, public: Path, tmp_path: Path
) -> None:
    faces = PreparedSet.open(sets / "faces")
    rows = faces.rows("val")
    blind = dataclasses.replace(faces, crops=np.zeros_like(faces.crops))
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    seen = cached_embeddings(faces, first, rows, public)
    assert torch.equal(seen, cached_embeddings(blind, second, rows, public))


def test_pictures_get_a_border_of_their_edge() -> None:
    image = np.full((100, 50, 3), 9, np.uint8)
    image[2:-2, 2:-2] = 200
    padded = pad_and_resize(image, 58)  # the short side with its border of four pixels
    assert padded.shape == (58, 58, 3)
    assert (padded[:, :5] == 9).all()
    assert (padded[20, 10:-10] == 200).all()


def test_the_probe_says_what_embeddings_show_and_not_the_own_label() -> None:
    torch.manual_seed(0)
    labels: list[Mapping[str, Label]] = [
        {"age": 20 + 40 * (i % 2), "gender": i // 2 % 2} for i in range(600)
    ]
    targets = targets_of(*labels)
    gender = targets["gender"]
    assert isinstance(gender, BinaryTarget)
    # Of pure noise nothing can be known, so it must not know the labels.
    soft = probe_targets(torch.rand(600, WIDTH), targets, seed=1, epochs=3)
    assert set(soft.values) == {"age", "gender"}  # no face has an emotion
    right = ((soft.values["gender"] > 0.5).float() == gender.value).float().mean().item()
    assert 0.3 < right < 0.7
    # Embeddings that show it are read.
    shown = torch.rand(600, WIDTH)
    shown[:, :50] *= 1 + 8 * gender.value[:, None]
    shown[:, 50:100] *= 1 + 8 * torch.tensor([float(i % 2) for i in range(600)])[:, None]
    soft = probe_targets(shown, targets, seed=1, epochs=12)
    right = ((soft.values["gender"] > 0.5).float() == gender.value).float().mean().item()
    assert right > 0.95
    ages = soft.values["age"]
    assert (ages[1::2] - ages[::2]).mean() > 15
    assert 20 <= ages.min() <= ages.max() <= 60  # never beyond the labels
    assert soft.features is not None
    assert soft.features.shape == (600, 128)
    assert soft.features.std().item() == pytest.approx(1, abs=0.01)


def test_the_probe_begins_where_it_is_told() -> None:
    targets = targets_of(*[{"age": 10 + i % 5} for i in range(40)])
    still = [
        probe_targets(torch.ones(40, WIDTH), targets, 1, epochs=1, start=start).values["age"]
        for start in (None, {"age": (1000.0, 20.0)})
    ]
    assert still[0].mean().item() == pytest.approx(12, abs=1.5)
    assert still[1].tolist() == [14] * 40  # the highest label: so far as it may say
