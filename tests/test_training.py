"""Training on small synthetic sets: it learns, it is stable, and a stopped run ends the same."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from small_training import (
    FRACTIONS,
    LOSS_WEIGHTS,
    OFF,
    ONE_EPOCH,
    TINY,
    changed,
    history_of,
    open_all,
    trainer_of,
)
from synthetic import prepared_sets

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.transforms import Augmentation
from agegenderemo.errors import AgeGenderEmoError, CheckpointError, DatasetError
from agegenderemo.evaluation.predict import TorchPredictor
from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.models.checkpoint import load_checkpoint, load_state
from agegenderemo.tasks import DEFAULT_TASKS, EMOTION6, TaskSpec
from agegenderemo.training.config import Stage
from agegenderemo.training.distributed import DistributedContext
from agegenderemo.training.fit import History, fit
from agegenderemo.training.losses import LossSettings
from agegenderemo.training.validation import held_out_rows, validate
from agegenderemo.types import InputSpec

ROOT = Path(__file__).parent.parent
ALONE = DistributedContext()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_sets(tmp_path_factory.mktemp("sets"))


@pytest.mark.slow
def test_mixed_batches_learn_every_task_and_do_not_diverge(tmp_path: Path) -> None:
    """The reports' alternating batches diverged; one masked loss over mixed ones must not."""
    config = changed(
        TINY,
        model="agegendernet",
        stages=(Stage(32, 8),),
        optimiser="muon",
        dropout_scale=0.0,
        ema=0.9,
        learning_rate=1e-3,
        regression_unit=10.0,
        precision="auto",
    )
    fit(config, prepared_sets(tmp_path / "sets", count=240), tmp_path)
    rows = history_of(tmp_path)
    losses = [float(row["train_total"]) for row in rows]
    assert max(losses) <= losses[0] * 1.1
    assert losses[-1] < losses[0] / 2
    assert float(rows[-1]["train_age"]) < float(rows[0]["train_age"]) / 2
    assert float(rows[-1]["train_emotion"]) < 0.4
    assert float(rows[-1]["moods_emotion_accuracy_majority"]) == 1
    assert float(rows[-1]["faces_gender_accuracy"]) == 1


def test_a_run_leaves_what_inference_and_people_want(sets: Path, tmp_path: Path) -> None:
    weights = fit(TINY, sets, tmp_path / "run")
    rows = history_of(tmp_path / "run")
    assert [row["size"] for row in rows] == ["32", "32", "40"]
    columns = {
        "train_total", "train_age", "train_gender", "train_emotion", "train_age_mae",
        "train_gender_accuracy", "train_emotion_accuracy", "val_total", "val_age", "val_gender",
        "val_emotion", "val_age_mae", "val_gender_accuracy", "val_emotion_accuracy_majority",
        "faces_age_mae", "bands_gender_accuracy", "moods_emotion_accuracy_argmax", "seconds",
    }  # fmt: skip
    assert columns <= set(rows[0])
    info = load_checkpoint(weights).info
    assert info.input.size == 40
    assert info.recipe == TINY.to_dict()
    assert info.provenance["training_faces"] == {"faces": 48, "moods": 48, "bands": 48}
    assert (tmp_path / "run/model.onnx").is_file()
    assert Analyzer.from_checkpoint(weights).tasks == DEFAULT_TASKS
    settings = json.loads((tmp_path / "run/config.json").read_text())
    assert settings["model"] == "tiny"
    assert set(settings["data"]) == set(FRACTIONS)


@pytest.mark.slow
def test_tasks_that_nobody_knows_and_other_vocabularies_are_trained(
    sets: Path, tmp_path: Path
) -> None:
    glasses = TaskSpec("glasses", "binary", ("without", "with"))
    folder = tmp_path / "sets"
    prepared_sets(folder)
    # What tells the genders apart is called glasses in one set.
    lines = (folder / "bands/samples.jsonl").read_text().replace('"gender"', '"glasses"')
    (folder / "bands/samples.jsonl").write_text(lines)
    index = json.loads((folder / "bands/index.json").read_text())
    index["tasks"][1] = glasses.to_dict()
    (folder / "bands/index.json").write_text(json.dumps(index))
    config = changed(
        TINY,
        tasks=("age", glasses.to_dict(), "emotion6"),
        stages=(Stage(32, 12),),
        learning_rate=0.02,
        ema=0.5,
        loss_weights={"age": 0.05, "glasses": 2.0},
    )
    weights = fit(config, folder, tmp_path / "run")
    last = history_of(tmp_path / "run")[-1]
    assert float(last["val_glasses_accuracy"]) >= 0.9
    assert float(last["train_glasses"]) < 0.5
    assert "val_gender" not in last
    assert load_checkpoint(weights).info.tasks == (config.specs[0], glasses, EMOTION6)


@pytest.mark.parametrize(
    ("model", "optimiser"),
    [
        ("tiny", "adamw"),
        pytest.param("agegendernet", "muon", marks=pytest.mark.slow),
    ],
)
def test_stopping_between_epochs_changes_nothing(
    sets: Path, tmp_path: Path, model: str, optimiser: Literal["adamw", "muon"]
) -> None:
    config = changed(
        TINY, model=model, optimiser=optimiser, augmentation=Augmentation(), precision="auto"
    )
    whole = fit(config, sets, tmp_path / "whole").read_bytes()
    fit(config, sets, tmp_path / "parts", stop_after=1)
    fit(config, sets, tmp_path / "parts", stop_after=2, resume=True)
    assert not (tmp_path / "parts/finished.json").exists()
    assert fit(config, sets, tmp_path / "parts", resume=True).read_bytes() == whole
    assert (tmp_path / "parts/finished.json").exists()
    assert (tmp_path / "parts/history.csv").read_text().count("\n") == 4
    states = [load_state(tmp_path / name / "state.pt")["trainer"] for name in ("whole", "parts")]
    for key, value in states[0]["model"].items():
        assert torch.equal(value, states[1]["model"][key]), key


@pytest.mark.slow
def test_killing_train_py_mid_epoch_and_resuming_gives_the_same_weights(
    sets: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "train.py", "--recipe", "quick", "--prepared", str(sets)]
    settings = (f"epoch_fractions={json.dumps(FRACTIONS)}", "stages=[[32, 2], [40, 1]]", "batch=16")
    command += [f"--set={setting}" for setting in settings]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, "--out", str(whole)], cwd=ROOT, check=True, capture_output=True)

    again = [*command, "--out", str(killed)]
    process = subprocess.Popen(again, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    seen = ""
    # The first epoch is said when its state is written: the second is under way then.
    while "epoch 1/3" not in seen:
        piece = process.stderr.read(1)
        assert piece, f"the run ended before it could be killed:\n{seen}"
        seen += piece
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (killed / "history.csv").read_text().count("\n") < 4

    subprocess.run(again, cwd=ROOT, check=True, capture_output=True)
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"batch": 4096}, DatasetError, "144 training faces do not fill one batch of 4096"),
        ({"template": "ffhq"}, DatasetError, "cut by the template 'face'; the recipe wants 'ffhq'"),
        ({"epoch_fractions": {"nowhere": 1.0}}, DatasetError, "prepare"),
        ({"online_distillation": True}, AgeGenderEmoError, "wants a checkpoint among the teachers"),
        ({"model": "nonesuch"}, AgeGenderEmoError, "Unknown model"),
        ({"model_options": {"neck": "x"}}, AgeGenderEmoError, "names 'neck'; tiny has no options"),
        ({"race_weights": {"Asain": 9}}, AgeGenderEmoError, "'Asain', but .*are: Black, White"),
        ({"race_weights": {"moods/Black": 9, "moods/x": 9}}, AgeGenderEmoError, "'moods/x', but"),
        ({"tasks": ("smile",)}, DatasetError, "No training face has a label of smile"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(
    sets: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        fit(changed(TINY, **changes), sets, tmp_path / "run")


def test_a_loss_that_is_no_number_ends_the_run(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        fit(changed(TINY, learning_rate=1e38, clip=1e30, warmup=0.0), sets, tmp_path)


def test_gradients_are_clipped(sets: Path) -> None:
    heavy = dict.fromkeys(LOSS_WEIGHTS, 10000.0)
    norms = {}
    for clip in (1e-3, 1e9):
        trainer = trainer_of(changed(ONE_EPOCH, clip=clip, loss_weights=heavy), sets)
        trainer.train_epoch(0, InputSpec(32))
        # What the last step left behind is what it was moved by.
        gradients = [p.grad.norm() for p in trainer.parameters if p.grad is not None]
        norms[clip] = float(torch.stack(gradients).norm())
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-2)
    assert norms[1e9] > 1


@pytest.mark.parametrize(("ema", "kept"), [(0.9, 0.1), (0.05, 0.05), (0.0, 0.0)])
def test_the_average_moves_as_far_as_its_decay_says(sets: Path, ema: float, kept: float) -> None:
    """After the first step the decay is one tenth, or that of the recipe where it is less."""
    trainer = trainer_of(changed(ONE_EPOCH, ema=ema, batch=144), sets)
    assert trainer.steps == 1
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.train_epoch(0, InputSpec(32))
    after, average = trainer.model.state_dict(), trainer.average.state_dict()
    assert not torch.equal(before["neck.0.weight"], after["neck.0.weight"])
    for key, value in average.items():
        if value.is_floating_point():
            expected = kept * before[key] + (1 - kept) * after[key]
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(value, after[key])


def test_whoever_measured_the_network_does_not_stop_its_training(sets: Path) -> None:
    trainer = trainer_of(ONE_EPOCH, sets)
    TorchPredictor(trainer.model, InputSpec(32))  # batch norm stands still from here
    before = trainer.model.state_dict()["neck.1.running_mean"].clone()
    trainer.train_epoch(0, InputSpec(32))
    assert not torch.equal(trainer.model.state_dict()["neck.1.running_mean"], before)


def test_what_is_kept_and_measured_is_the_average(sets: Path, tmp_path: Path) -> None:
    weights = fit(changed(ONE_EPOCH, ema=0.5), sets, tmp_path)
    state = load_state(tmp_path / "state.pt")["trainer"]
    kept = load_checkpoint(weights).model.state_dict()
    assert torch.equal(kept["neck.0.weight"], state["average"]["neck.0.weight"].half().float())
    assert not torch.equal(state["average"]["neck.0.weight"], state["model"]["neck.0.weight"])


def test_the_rate_rises_and_falls(sets: Path) -> None:
    trainer = trainer_of(changed(TINY, stages=(Stage(32, 10),), warmup=0.1), sets)
    rates = [trainer.rate(epoch) for epoch in range(10)]
    assert rates[0] == pytest.approx(2e-3 / trainer.steps)
    assert rates[1] == pytest.approx(2e-3)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] < 1e-4
    trainer.train_epoch(9, InputSpec(32))
    # Outputs of regressions learn as much faster as the recipe says.
    slow, _, fast = (group["lr"] for group in trainer.optimisers[0].param_groups)
    assert fast == pytest.approx(20 * slow)


def test_the_validation_loss_is_that_of_the_raw_outputs(sets: Path) -> None:
    trainer = trainer_of(ONE_EPOCH, sets)
    # All weights zero but biases: the same answer for every face.
    for name, bias in (("age", -7.0), ("gender", 30.0)):
        layer = trainer.model.head_output(name)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.constant_(layer.bias, bias)
    held_out = held_out_rows([PreparedSet.open(sets / "faces")], ONE_EPOCH)
    settings = LossSettings({"age": 2.0, "gender": 3.0, "emotion": 1.0})
    line = validate(TorchPredictor(trainer.model, InputSpec(32)), held_out, settings, ALONE)
    ((faces, rows),) = held_out
    ages = np.array([faces.samples[row].labels["age"] for row in rows], dtype=float)
    genders = [faces.samples[row].labels["gender"] for row in rows]
    # An age below zero counts as it is, though the answer would be zero.
    assert line["val_age"] == pytest.approx(np.mean(ages + 7), rel=1e-5)
    assert line["val_age_mae"] == pytest.approx(np.mean(ages), rel=1e-5)
    assert line["val_gender"] == pytest.approx(30 * np.mean([g == 0 for g in genders]), rel=1e-5)
    assert line["val_emotion"] == 0
    assert line["val_total"] == pytest.approx(2 * line["val_age"] + 3 * line["val_gender"])


def test_regressions_begin_at_the_mean_of_their_labels(sets: Path) -> None:
    trainer = trainer_of(ONE_EPOCH, sets)
    labels = [s.labels["age"] for s in open_all(sets)[0].samples if s.split == "train"]
    mean = float(np.mean(np.array(labels, dtype=float)))
    assert trainer.model.head_output("age").bias.item() == pytest.approx(mean, rel=1e-4)
    fresh = trainer_of(changed(ONE_EPOCH, start_at_mean=False), sets).model.head_output("age")
    scaled = trainer.model.head_output("age").weight
    torch.testing.assert_close(scaled, 20 * fresh.weight)


def same_weights(before: Path, after: Path, prefix: str = "") -> bool:
    """Whether the weights are equal; batch norm keeps counting."""
    one, two = (load_checkpoint(path).model.state_dict() for path in (before, after))
    names = [n for n in one if n.startswith(prefix) and "running" not in n and "num_b" not in n]
    assert names
    return all(n in two and torch.equal(one[n], two[n]) for n in names)


STILL = changed(ONE_EPOCH, learning_rate=0.0, ema=0.0)


def test_training_goes_on_from_a_checkpoint(sets: Path, tmp_path: Path) -> None:
    first = fit(TINY, sets, tmp_path / "first")
    second = fit(STILL, sets, tmp_path / "second", weights=(first,))
    assert same_weights(first, second)


def test_several_weights_begin_as_their_mean(sets: Path, tmp_path: Path) -> None:
    first = fit(ONE_EPOCH, sets, tmp_path / "first")
    second = fit(changed(ONE_EPOCH, seed=2), sets, tmp_path / "second")
    mean = fit(STILL, sets, tmp_path / "mean", weights=(first, second))
    one, two, both = (load_checkpoint(p).model.state_dict() for p in (first, second, mean))
    assert not torch.equal(one["heads.age.0.weight"], two["heads.age.0.weight"])
    for name, value in both.items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(value, ((one[name] + two[name]) / 2).half().float()), name


def test_other_tasks_keep_what_they_share_with_the_first_weights(
    sets: Path, tmp_path: Path
) -> None:
    """A network for other tasks begins with the backbone, the neck and the heads that it has."""
    first = fit(ONE_EPOCH, sets, tmp_path / "first")
    other = changed(STILL, tasks=("age", "smile", "emotion6"))
    second = fit(other, sets, tmp_path / "second", weights=(first,))
    for prefix in ("backbone", "neck", "heads.age"):
        assert same_weights(first, second, prefix)
    assert not same_weights(first, second, "heads.emotion.0")
    back = fit(STILL, sets, tmp_path / "third", weights=(second,))
    assert same_weights(second, back, "neck")
    with pytest.raises(CheckpointError, match="of the family 'tiny'; the recipe trains"):
        fit(changed(STILL, model="agegendernet"), sets, tmp_path / "x", weights=(first,))


def test_the_watcher_sees_every_epoch_and_the_end(sets: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, bool]] = []

    def watch(history: History, over: bool) -> None:
        assert (tmp_path / "state.pt").is_file()
        seen.append((len(history), over))

    fit(changed(TINY, augmentation=OFF), sets, tmp_path, watch=watch)
    assert seen == [(1, False), (2, False), (3, False), (3, True)]
