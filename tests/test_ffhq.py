"""The FFHQ run of the source report: its command, its figures, and what stops it."""

import csv
import dataclasses
import itertools
import json
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
from PIL import Image
from small_training import FRACTIONS, OFF
from synthetic import prepared_sets

from agegenderemo.cli import main, train_main
from agegenderemo.data.dataset import CropSource, PreparedSet
from agegenderemo.errors import CheckpointError
from agegenderemo.models.checkpoint import load_checkpoint, load_state
from agegenderemo.tasks import EMOTION
from agegenderemo.training.config import Stage, with_settings
from agegenderemo.training.fit import fit
from agegenderemo.training.recipes import get_recipe

ROOT = Path(__file__).parent.parent
TINY = dataclasses.replace(
    get_recipe("ffhq").steps[0].config,
    epoch_fractions=FRACTIONS,
    template="face",
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
        felt = EMOTION.classes[4 if age > 40 else 5]
        emotion = dict.fromkeys(EMOTION.classes, 0.0) | {felt: 1.0}
        face = {"age": age, "gender": "male" if male else "female", "emotion": emotion}
        (labels / f"{number:05}.json").write_text(json.dumps([{"faceAttributes": face}]))
        color = np.array([age * 3, 200 * male, 90]) + rng.normal(0, 9, (32, 32, 3))
        if number - start >= missing:
            picture = Image.fromarray(color.clip(0, 255).astype(np.uint8))
            picture.save(images / f"{number:05}.png")
    return images, labels


@pytest.mark.slow
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
    assert set(prepared.source) == {CropSource.WHOLE}
    assert load_checkpoint(out / "model.safetensors").info.input.template == "ffhq"

    capsys.readouterr()
    figure = tmp_path / "bands.png"
    evaluate = ["evaluate", "--data", "ffhq", "--root", str(out / "prepared")]
    evaluate += ["--checkpoint", str(out / "model.safetensors"), "--figure", str(figure)]
    assert main([*evaluate, "--json", str(tmp_path / "figures.json")]) == 0
    record: dict[str, Any] = json.loads((tmp_path / "figures.json").read_text())
    figures = record["figures"]["ffhq"]
    text = capsys.readouterr().out
    samples = prepared.samples
    assert figures["split"] == "all"
    assert figures["n"] == 80  # age 0 included
    assert figures["training_faces"] == sum(s.split == "train" for s in samples)
    assert figures["validation"]["n"] == sum(s.split == "val" for s in samples)
    assert figures["validation"]["tasks"]["age"]["mae"] == pytest.approx(
        min(float(line["val_age_mae"]) for line in history), abs=3
    )
    assert sum(map(sum, figures["tasks"]["emotion"]["confusion"])) == 80
    assert f"of which this network was trained on {figures['training_faces']}" in text
    assert "ffhq val: " in text
    with Image.open(figure) as picture:
        assert picture.width > 1000
    assert main([*evaluate, "--split", "val", "--figure", str(tmp_path / "bands.html")]) == 0
    assert "Plotly.newPlot" in (tmp_path / "bands.html").read_text()
    assert main([*evaluate, "--figure", "bands.gif"]) == 2
    assert "--figure must end in .png or .html" in capsys.readouterr().err


def logged(folder: Path, tag: str) -> list[float]:
    from tensorboard.backend.event_processing import event_accumulator  # type: ignore[import-untyped]

    events = event_accumulator.EventAccumulator(str(folder))
    events.Reload()
    return [event.value for event in events.Scalars(tag)]


@pytest.mark.slow
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
        TINY,
        model="tiny",
        learning_rate=1e-30,
        plateau_patience=1,
        early_stopping=4,
        weight_decay=0.0,
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


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    """The rate is so high that later epochs are worse."""
    config = dataclasses.replace(
        TINY, model="tiny", learning_rate=0.05, stages=(Stage(32, 4),), plateau_patience=10
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


@pytest.mark.slow
def test_five_kills_change_nothing(tmp_path: Path) -> None:
    runs, _ = kills.survive(5, tmp_path)
    assert runs >= 1


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_state_stays(tmp_path: Path) -> None:
    sets, out = prepared_sets(tmp_path / "sets"), tmp_path / "run"
    config = with_settings(get_recipe("ffhq").steps[0].config, kills.SETTINGS)
    fit(config, sets, out, stop_after=1)
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


@pytest.mark.slow
def test_damage_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets, out = prepared_sets(tmp_path / "sets"), tmp_path / "run"
    fit(TINY, sets, out, stop_after=1)
    state = (out / "state.pt").read_bytes()
    for damaged in (state[:-1000], b"", b"\0" * 4000):
        (out / "state.pt").write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged and cannot be gone on with"):
            load_state(out / "state.pt")
    (out / "state.pt").write_bytes(state)
    os.truncate(sets / "faces/crops.npy", 5000)
    assert train_main(["--recipe", "ffhq", "--prepared", str(sets), *as_settings()]) == 2
    assert "faces is damaged or was changed by hand" in capsys.readouterr().err
    shutil.rmtree(sets / "faces")
    assert train_main(["--recipe", "ffhq", "--prepared", str(sets), *as_settings()]) == 2
    assert "holds no prepared set" in capsys.readouterr().err


def as_settings() -> list[str]:
    return [f"--set={setting}" for setting in kills.SETTINGS]


@pytest.mark.slow
def test_real_thumbnails_are_learnt(data_root: Path, tmp_path: Path) -> None:
    """From files to weights: a short run from scratch knows its own faces."""
    parts = ["--images", str(data_root / "ffhq_sample/thumbnails128x128")]
    parts += ["--labels", str(data_root / "ffhq_sample/json")]
    settings = [
        'epoch_fractions={"ffhq": 20}', "stages=[[48, 12]]", "batch=16", "learning_rate=0.001",
        "clip=5", "schedule=cosine", "keep=last", "early_stopping=0", "dropout_scale=0",
        "regression_unit=20", "start_at_mean=true", "loss_weights.age=0.2",
        "loss_weights.gender=4", "loss_weights.emotion=3", "ema=0.95",
        "augmentation.rotation=0", "augmentation.hue=0", "augmentation.brightness=0",
        "augmentation.contrast=0", "augmentation.saturation=0",
    ]  # fmt: skip
    out = tmp_path / "run"
    command = ["--data", "ffhq", *parts, "--out", str(out)]
    assert train_main([*command, *[f"--set={setting}" for setting in settings]]) == 0
    evaluate = ["evaluate", "--data", "ffhq", *parts, "--split", "train"]
    evaluate += ["--checkpoint", str(out / "model.safetensors")]
    assert main([*evaluate, "--predictions", str(tmp_path / "faces.csv")]) == 0
    with (tmp_path / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    known = [
        abs(float(row["age"]) - float(row["age_true"])) < 3
        and all(row[name] == row[f"{name}_true"] for name in ("gender", "emotion"))
        for row in rows
    ]
    # The set has no validation split, so about one face in twenty was held out of training.
    assert len(rows) >= 15
    assert known.count(False) <= 2
