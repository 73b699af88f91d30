"""Training on small synthetic sets: it learns, it is stable, and a killed run ends the same."""

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from synthetic import prepared_sets

from agegenderemo.checkpoint import CheckpointError, load_checkpoint
from agegenderemo.dataset import PreparedSet, make_targets
from agegenderemo.evaluation import evaluate
from agegenderemo.losses import LossWeights
from agegenderemo.predictor import Predictor
from agegenderemo.readers import DatasetError
from agegenderemo.recipes import RECIPES, Stage, TrainConfig, with_settings
from agegenderemo.records import InputSpec
from agegenderemo.teacher import lessons
from agegenderemo.training import fit
from agegenderemo.transforms import Augmentation

ROOT = Path(__file__).parent.parent
OFF = Augmentation(*[0.0] * len(dataclasses.fields(Augmentation)))
TINY = TrainConfig(
    shares={"faces": 1.0, "moods": 1.0, "bands": 1.0},
    stages=(Stage(32, 2), Stage(40, 1)),
    batch=16,
    augmentation=OFF,
)
TINY_SETTINGS = [
    'shares={"faces": 1, "moods": 1, "bands": 1}',
    "stages=[[32, 2], [40, 1]]",
    "batch=16",
]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_sets(tmp_path_factory.mktemp("sets"))


def test_mixed_batches_learn_every_task_and_do_not_diverge(tmp_path: Path) -> None:
    """The reports' alternating batches diverged; one masked loss over mixed ones must not."""
    config = dataclasses.replace(
        TINY,
        stages=(Stage(32, 8),),
        optimiser="muon",
        dropout_scale=0.0,
        ema=0.9,
        learning_rate=1e-3,
        age_unit=10.0,
    )
    fit(config, prepared_sets(tmp_path / "sets", count=240), tmp_path)
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["train_total"]) for row in rows]
    assert max(losses) <= losses[0] * 1.1
    assert losses[-1] < losses[0] / 2
    assert float(rows[-1]["train_age"]) < float(rows[0]["train_age"]) / 2
    assert float(rows[-1]["train_emotion"]) < 0.4
    assert float(rows[-1]["moods_emotion_accuracy_majority"]) == 1
    assert float(rows[-1]["faces_gender_accuracy"]) == 1


def test_sizes_grow_by_stage(sets: Path, tmp_path: Path) -> None:
    weights = fit(TINY, sets, tmp_path)
    with (tmp_path / "history.csv").open() as file:
        assert [row["size"] for row in csv.DictReader(file)] == ["32", "32", "40"]
    assert load_checkpoint(weights).input.size == 40


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_stopping_between_epochs_changes_nothing(
    sets: Path, tmp_path: Path, optimiser: Literal["adamw", "muon"]
) -> None:
    config = dataclasses.replace(TINY, optimiser=optimiser)
    whole = fit(config, sets, tmp_path / "whole").read_bytes()
    fit(config, sets, tmp_path / "parts", stop_after=1)
    fit(config, sets, tmp_path / "parts", stop_after=2, resume=True)
    assert fit(config, sets, tmp_path / "parts", resume=True).read_bytes() == whole
    assert (tmp_path / "parts/history.csv").read_text().count("\n") == 4


def test_killing_train_py_mid_epoch_and_resuming_gives_the_same_weights(
    sets: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "train.py", "--prepared", str(sets), "--recipe", "fifth"]
    for setting in TINY_SETTINGS:
        command += ["--set", setting]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, "--out", str(whole)], cwd=ROOT, check=True, capture_output=True)

    process = subprocess.Popen(
        [*command, "--out", str(killed)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    seen = ""
    # The second epoch's first batches: the state of the first is written, the second is under way.
    while "epoch 2/3" not in seen:
        piece = process.stderr.read(1)
        assert piece, f"the run ended before it could be killed:\n{seen}"
        seen += piece
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (killed / "history.csv").read_text().count("\n") < 4

    resumed = [*command, "--out", str(killed), "--resume"]
    subprocess.run(resumed, cwd=ROOT, check=True, capture_output=True)
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_resuming_with_another_recipe_is_refused(sets: Path, tmp_path: Path) -> None:
    fit(TINY, sets, tmp_path, stop_after=1)
    other = dataclasses.replace(TINY, learning_rate=0.5)
    with pytest.raises(CheckpointError, match="another recipe"):
        fit(other, sets, tmp_path, resume=True)


def test_there_must_be_a_state_to_resume(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume"):
        fit(TINY, sets, tmp_path, resume=True)


def test_a_batch_larger_than_the_data_is_one_sentence(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="do not fill one batch"):
        fit(dataclasses.replace(TINY, batch=4096), sets, tmp_path)


def test_missing_crops_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="prepare"):
        fit(RECIPES["fifth"], tmp_path, tmp_path / "run")


def test_settings_override_a_recipe() -> None:
    config = with_settings(
        TINY, ["weights.age=0.5", "batch=8", "precision=float32", "stages=[[48,3]]"]
    )
    assert config.weights == dataclasses.replace(TINY.weights, age=0.5)
    assert config.stages == (Stage(48, 3),)
    assert (config.batch, config.precision) == (8, "float32")
    assert TINY.batch == 16


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("learningrate=1", "known are.*learning_rate"),
        ("weights.agee=1", "known are.*weights.age"),
        ("batch", "NAME=VALUE"),
        ("batch=many", "batch"),
        ("stages=[[8]]", "stages"),
    ],
)
def test_unknown_settings_list_the_known(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_settings(TINY, [setting])


def test_lessons_come_from_the_descriptor_and_not_from_the_own_label(sets: Path) -> None:
    prepared = [PreparedSet.open(sets / name) for name in ("faces", "moods", "bands")]
    samples = [s for p in prepared for s in p.samples] * 4
    # A descriptor of pure noise knows nothing, so lessons from it must not know the labels.
    torch.manual_seed(0)
    noise = torch.rand(len(samples), 1024)
    taught = lessons(noise, make_targets(samples), seed=1, epochs=3)
    assert taught.features.shape == (len(samples), 128)
    assert taught.features.std().item() == pytest.approx(1, abs=0.01)
    targets = make_targets(samples)
    known = targets.gender_mask
    right = ((taught.male > 0.5).float() == targets.gender)[known].float().mean().item()
    assert 0.3 < right < 0.7
    assert torch.allclose(taught.emotion.sum(dim=1), torch.ones(len(samples)), atol=1e-5)


def test_evaluation_counts_every_protocol(sets: Path) -> None:
    """A network that is known to answer the same for every face."""
    from agegenderemo.models import create_model

    model = create_model("agegendernet")
    for head, bias in ((model.age, 35.0), (model.gender, -2.0)):
        torch.nn.init.zeros_(head[-1].weight)
        torch.nn.init.constant_(head[-1].bias, bias)
    assert model.emotion is not None
    torch.nn.init.zeros_(model.emotion[-1].weight)
    model.emotion[-1].bias.data = torch.eye(8)[4]
    predictor = Predictor(model, InputSpec(32))
    faces, moods, bands = (PreparedSet.open(sets / n) for n in ("faces", "moods", "bands"))

    every = np.arange(len(faces.samples))
    figures = evaluate(predictor, faces, every, progress=False)
    ages = np.array([s.age for s in faces.samples], dtype=float)
    errors = np.abs(ages - 35)
    assert figures["n"] == len(every)
    assert figures["age_mae"] == pytest.approx(errors.mean(), abs=1e-4)
    assert figures["age_sd"] == pytest.approx(errors.std(), abs=1e-4)
    assert figures["gender_accuracy"] == np.mean([s.gender == 0 for s in faces.samples])
    thirties = next(b for b in figures["bands"] if b["band"] == "30-39")
    inside = (ages >= 30) & (ages < 40)
    assert thirties["n"] == inside.sum()
    assert thirties["age_mae"] == pytest.approx(errors[inside].mean(), abs=1e-4)
    assert figures["emotion_accuracy_majority"] is None

    figures = evaluate(predictor, moods, every, progress=False)
    glad = np.mean([s.emotion is not None and s.emotion[4] == 1 for s in moods.samples])
    assert figures["emotion_accuracy_majority"] == figures["emotion_accuracy_argmax"] == glad
    assert sum(map(sum, figures["confusion"])) == len(every)
    assert figures["age_mae"] is None

    figures = evaluate(predictor, bands, every, progress=False)
    low = np.array([s.age_range[0] for s in bands.samples if s.age_range])
    assert figures["age_band_accuracy"] == np.mean(low == 30)


def test_the_loss_weights_of_the_ffhq_report_are_the_default() -> None:
    assert LossWeights() == LossWeights(age=1.0, gender=10.0, emotion=5.0, age_loss="l1")


def test_training_goes_on_from_a_checkpoint(sets: Path, tmp_path: Path) -> None:
    first = fit(TINY, sets, tmp_path / "first")
    still = dataclasses.replace(TINY, stages=(Stage(40, 1),), learning_rate=0.0, ema=0.0)
    second = fit(still, sets, tmp_path / "second", weights=(first,))
    before, after = (load_checkpoint(path).model.state_dict() for path in (first, second))
    for name, value in before.items():
        if "running" not in name and "num_batches" not in name:  # batch norm keeps counting
            assert torch.equal(after[name], value), name


def test_several_weights_begin_as_their_mean(sets: Path, tmp_path: Path) -> None:
    first = fit(TINY, sets, tmp_path / "first")
    second = fit(dataclasses.replace(TINY, seed=2), sets, tmp_path / "second")
    still = dataclasses.replace(TINY, stages=(Stage(32, 1),), learning_rate=0.0, ema=0.0)
    mean = fit(still, sets, tmp_path / "mean", weights=(first, second))
    one, two, both = (load_checkpoint(p).model.state_dict() for p in (first, second, mean))
    assert not torch.equal(one["age.0.weight"], two["age.0.weight"])
    for name, value in both.items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(value, ((one[name] + two[name]) / 2).half().float()), name
