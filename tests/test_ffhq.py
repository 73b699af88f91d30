"""The FFHQ run of the source report: its recipe, its command, its figures, and what stops it."""

import csv
import dataclasses
import itertools
import json
import math
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kills
import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import prepared_sets

from agegenderemo.checkpoint import CheckpointError, load_checkpoint, load_state
from agegenderemo.cli import main, train_main
from agegenderemo.dataset import Origin, PreparedSet
from agegenderemo.evaluation import loss_of_answers
from agegenderemo.labels import EMOTIONS
from agegenderemo.losses import LossWeights
from agegenderemo.recipes import RECIPES, Stage, TrainConfig, with_settings
from agegenderemo.records import Attributes, ImageRef, Sample
from agegenderemo.training import fit
from agegenderemo.transforms import Augmentation

ROOT = Path(__file__).parent.parent
TINY = dataclasses.replace(
    RECIPES["ffhq"],
    shares={"faces": 1.0, "moods": 1.0, "bands": 1.0},
    framing="face",
    stages=(Stage(32, 8),),
    batch=16,
)


def thumbnails(root: Path, count: int, missing: int = 0, start: int = 0) -> tuple[Path, Path]:
    """Folders of images and labels as FFHQ has them: red grows with age, green tells gender."""
    images, labels = root / "images", root / "labels"
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(exist_ok=True)
    rng = np.random.default_rng(start)
    for number in range(start, start + count):
        age, male = float(rng.integers(0, 80)), bool(rng.integers(0, 2))
        emotion = dict.fromkeys(EMOTIONS, 0.0) | {EMOTIONS[4 if age > 40 else 5]: 1.0}
        face = {"age": age, "gender": "male" if male else "female", "emotion": emotion}
        (labels / f"{number:05}.json").write_text(json.dumps([{"faceAttributes": face}]))
        color = np.array([age * 3, 200 * male, 90]) + rng.normal(0, 9, (32, 32, 3))
        if number - start >= missing:
            picture = Image.fromarray(color.clip(0, 255).astype(np.uint8))
            picture.save(images / f"{number:05}.png")
    return images, labels


def test_the_recipe_is_the_reports() -> None:
    recipe = RECIPES["ffhq"]
    assert recipe.epochs == 30
    assert {recipe.size_at(epoch) for epoch in range(30)} == {224}
    assert (recipe.optimiser, recipe.learning_rate, recipe.weight_decay) == ("adam", 1e-4, 1e-5)
    assert (recipe.batch, recipe.clip, recipe.model) == (64, 1.0, "agegendernet")
    assert (recipe.schedule, recipe.plateau_factor, recipe.plateau_patience) == ("plateau", 0.5, 5)
    assert (recipe.early_stopping, recipe.keep) == (10, "best")
    assert recipe.weights == LossWeights(age=1, gender=10, emotion=5, age_loss="l1")
    # The network as published, its dropout whole, and no help that the report did not have
    assert (recipe.dropout_scale, recipe.ema, recipe.age_unit) == (1.0, 0.0, 1.0)
    assert not recipe.start_at_mean_age
    changes = dataclasses.asdict(recipe.augmentation)
    assert changes.pop("erase_size")  # of no effect: nothing is erased
    assert {name: value for name, value in changes.items() if value} == {
        "rotation": 10, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1,
    }  # fmt: skip
    assert with_settings(recipe, ["weights.age_loss=mse"]).weights.age_loss == "mse"


def test_hue_turns_colours_and_leaves_grey() -> None:
    from agegenderemo.transforms import _turn_hue

    third = _turn_hue(torch.tensor([2 * math.pi / 3]))[0]
    assert torch.allclose(third @ torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0]), atol=1e-6)
    grey = torch.full((3,), 0.4)
    assert torch.allclose(_turn_hue(torch.tensor([0.5]))[0] @ grey, grey, atol=1e-6)


def test_validation_loss_is_the_training_loss() -> None:
    sample = Sample(ImageRef(Path(), "a"), "val", age=30, gender=1, emotion=(1.0, *[0.0] * 7))
    given = Attributes(33, 0.25, (0.5, 0.5, *[0.0] * 6))
    terms = loss_of_answers([sample], [given], LossWeights())
    assert terms.age.item() == pytest.approx(3)
    assert terms.gender.item() == pytest.approx(-math.log(0.25))
    assert terms.emotion.item() == pytest.approx(math.log(2))
    assert terms.total.item() == pytest.approx(3 + 10 * math.log(4) + 5 * math.log(2))


def test_the_run_of_the_report_from_files_to_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both parts of the numbering, so that there are training and validation faces."""
    images, labels = thumbnails(tmp_path, 60)
    thumbnails(tmp_path, 20, start=60_000)
    out = tmp_path / "run"
    command = ["--data", "ffhq", "--images", str(images), "--labels", str(labels)]
    settings = ["--set", "stages=[[32,6]]", "--set", "batch=8", "--tensorboard"]
    assert train_main([*command, "--out", str(out), *settings]) == 0

    with (out / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    assert len(history) == 6
    losses = [float(line["val_total"]) for line in history]
    assert losses[-1] < losses[0]
    page = (out / "history.html").read_text()
    assert "Plotly.newPlot" in page
    assert 'src="http' not in page
    with Image.open(out / "history.png") as picture:
        assert picture.width > 1000
    assert logged(out / "tensorboard", "val/total") == pytest.approx(losses)
    # The whole thumbnail, as the report had it
    prepared = PreparedSet.open(out / "prepared" / "ffhq")
    assert set(prepared.origin) == {Origin.WHOLE}
    assert load_checkpoint(out / "model.safetensors").input.framing == "ffhq"

    capsys.readouterr()
    figure = tmp_path / "bands.png"
    evaluate = ["evaluate", "--data", "ffhq", "--root", str(out / "prepared")]
    evaluate += ["--checkpoint", str(out / "model.safetensors"), "--figure", str(figure)]
    assert main([*evaluate, "--json", str(tmp_path / "figures.json")]) == 0
    figures: dict[str, Any] = json.loads((tmp_path / "figures.json").read_text())
    text = capsys.readouterr().out
    samples = prepared.samples
    assert figures["split"] == "all"
    assert figures["n"] == 80  # age 0 included
    assert figures["training_faces"] == sum(s.split == "train" for s in samples)
    assert figures["validation"]["n"] == sum(s.split == "val" for s in samples)
    assert figures["validation"]["age_mae"] == pytest.approx(
        min(float(line["val_age_mae"]) for line in history), abs=3
    )
    assert sum(map(sum, figures["confusion"])) == 80
    assert f"of which this network was trained on {figures['training_faces']}" in text
    assert "ffhq val: " in text
    with Image.open(figure) as picture:
        assert picture.width > 1000
    assert main([*evaluate, "--split", "val", "--figure", str(tmp_path / "bands.html")]) == 0
    assert "Plotly.newPlot" in (tmp_path / "bands.html").read_text()
    assert main([*evaluate, "--figure", "bands.gif"]) == 2
    assert "--figure must end in .png or .html" in capsys.readouterr().err


def logged(folder: Path, tag: str) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [event.value for event in events.Scalars(tag)]


def test_missing_images_are_named_and_many_stop_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = thumbnails(tmp_path, 40, missing=2)
    thumbnails(tmp_path, 5, start=60_000)
    command = ["--data", "ffhq", "--images", str(images), "--labels", str(labels)]
    command += ["--out", str(tmp_path / "run"), "--set", "stages=[[32,1]]", "--set", "batch=8"]
    assert train_main(command) == 2
    error = capsys.readouterr().err
    assert "2 of 45 images are missing: 00000, 00001" in error
    assert "--allow-missing" in error
    assert (tmp_path / "run/missing.txt").read_text().split() == ["00000", "00001"]
    assert train_main([*command, "--allow-missing"]) == 0


def test_a_plateau_lowers_the_rate_and_then_ends_the_run(tmp_path: Path) -> None:
    """A network that cannot learn: no epoch is better than the first."""
    config = dataclasses.replace(
        TINY, learning_rate=1e-30, plateau_patience=1, early_stopping=4, weight_decay=0.0
    )
    frozen = dataclasses.replace(config, augmentation=OFF)
    fit(frozen, prepared_sets(tmp_path / "sets"), tmp_path / "run")
    with (tmp_path / "run/history.csv").open() as file:
        history = list(csv.DictReader(file))
    losses = [float(line["val_total"]) for line in history]
    best = losses.index(min(losses))
    assert len(history) == best + 1 + 4
    rates = [float(line["rate"]) for line in history]
    assert rates[0] == 1e-30
    assert rates[-1] < rates[0]
    assert {a / b for a, b in itertools.pairwise(rates)} <= {1.0, 2.0}


OFF = Augmentation(*[0.0] * len(dataclasses.fields(Augmentation)))


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    """The rate is so high that later epochs are worse."""
    config: TrainConfig = dataclasses.replace(
        TINY, learning_rate=0.05, stages=(Stage(32, 4),), plateau_patience=10
    )
    sets = prepared_sets(tmp_path / "sets")
    kept: dict[int, bytes] = {}

    def watch(history: list[dict[str, Any]], over: bool) -> None:
        if not over:
            kept[len(history)] = (tmp_path / "run/model.safetensors").read_bytes()

    fit(config, sets, tmp_path / "run", watch=watch)
    with (tmp_path / "run/history.csv").open() as file:
        losses = [float(line["val_total"]) for line in csv.DictReader(file)]
    best = losses.index(min(losses)) + 1
    assert (tmp_path / "run/model.safetensors").read_bytes() == kept[best]
    assert len({kept[epoch] for epoch in range(best, 5)}) == 1


def test_five_kills_change_nothing(tmp_path: Path) -> None:
    runs, _ = kills.survive(5, tmp_path)
    assert runs >= 1


def test_a_full_disk_is_one_sentence_and_the_state_stays(tmp_path: Path) -> None:
    sets, out = prepared_sets(tmp_path / "sets"), tmp_path / "run"
    fit(TINY, sets, out, stop_after=1)
    before = (out / "state.pt").read_bytes()
    command = [sys.executable, "train.py", "--recipe", "ffhq", "--prepared", str(sets)]
    command += ["--out", str(out), *as_settings()]

    def little_room() -> None:
        # A file may not grow past 30 MB: the weights fit, the state does not.
        resource.setrlimit(resource.RLIMIT_FSIZE, (30 * 2**20, 30 * 2**20))

    process = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, preexec_fn=little_room
    )
    assert process.returncode == 2
    assert "state.pt could not be written" in process.stderr
    assert "Traceback" not in process.stderr
    assert (out / "state.pt").read_bytes() == before
    assert not list(out.glob("*.tmp"))


def test_damage_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets, out = prepared_sets(tmp_path / "sets"), tmp_path / "run"
    fit(TINY, sets, out, stop_after=1)
    state = (out / "state.pt").read_bytes()
    for damaged in (state[:-1000], b"", b"\0" * 4000):
        (out / "state.pt").write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged and cannot be resumed"):
            load_state(out / "state.pt")
    (out / "state.pt").write_bytes(state)
    os.truncate(sets / "faces/crops.npy", 5000)
    assert train_main(["--recipe", "ffhq", "--prepared", str(sets), *as_settings()]) == 2
    assert "holds no prepared set" in capsys.readouterr().err
    shutil.rmtree(sets / "faces")
    assert train_main(["--recipe", "ffhq", "--prepared", str(sets), *as_settings()]) == 2
    assert "holds no prepared set" in capsys.readouterr().err


def as_settings() -> list[str]:
    return [f"--set={setting}" for setting in kills.SETTINGS]


def test_real_thumbnails_are_learnt(data_root: Path, tmp_path: Path) -> None:
    """From files to weights: a short run from scratch knows its own faces."""
    parts = ["--images", str(data_root / "ffhq_sample/thumbnails128x128")]
    parts += ["--labels", str(data_root / "ffhq_sample/json")]
    settings = [
        'shares={"ffhq": 20}', "stages=[[48, 12]]", "batch=16", "learning_rate=0.001", "clip=5",
        "schedule=cosine", "keep=last", "early_stopping=0", "dropout_scale=0", "age_unit=20",
        "start_at_mean_age=true", "weights.age=0.2", "weights.gender=4", "weights.emotion=3",
        "ema=0.95",
        "augmentation.rotation=0", "augmentation.hue=0", "augmentation.brightness=0",
        "augmentation.contrast=0", "augmentation.saturation=0",
    ]  # fmt: skip
    out = tmp_path / "run"
    command = ["--data", "ffhq", *parts, "--out", str(out)]
    assert train_main([*command, *[f"--set={setting}" for setting in settings]]) == 0
    evaluate = ["evaluate", "--data", "ffhq", *parts, "--split", "train"]
    evaluate += ["--checkpoint", str(out / "model.safetensors")]
    assert main([*evaluate, "--json", str(tmp_path / "figures.json")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["n"] >= 15
    assert figures["age_mae"] < 1
    assert figures["gender_accuracy"] == 1
    assert figures["emotion_accuracy_majority"] == 1
