"""The folder of a run: what may be written there, what goes on, and what is made longer."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_training import ONE_EPOCH, TINY, changed, history_of, trainer_of
from synthetic import prepared_sets

from agegenderemo.errors import AgeGenderEmoError, CheckpointError
from agegenderemo.export.onnx import write_checkpoint
from agegenderemo.models.checkpoint import load_checkpoint, load_state, save_state
from agegenderemo.training.config import Stage, TrainConfig
from agegenderemo.training.distributed import DistributedContext
from agegenderemo.training.fit import fit
from agegenderemo.training.folder import is_finished
from agegenderemo.training.settings import settings_digest

ALONE = DistributedContext()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_sets(tmp_path_factory.mktemp("sets"))


def test_resuming_another_run_names_the_difference(sets: Path, tmp_path: Path) -> None:
    fit(TINY, sets, tmp_path / "run", stop_after=1)

    def refused(what: str, config: TrainConfig = TINY, folder: Path = sets, **files: Any) -> None:
        with pytest.raises(CheckpointError, match=f"trained with other settings: {what}"):
            fit(config, folder, tmp_path / "run", resume=True, **files)

    digest = "[0-9a-f]{12}"
    refused("learning_rate was 0.002 there and is 0.5 now", changed(TINY, learning_rate=0.5))
    refused("loss_weights.age was 0.1 there and is nothing now", changed(TINY, loss_weights={}))
    other = prepared_sets(tmp_path / "other", count=50)
    refused(f"data.faces was {digest} there and is {digest} now", folder=other)
    weights = fit(ONE_EPOCH, sets, tmp_path / "weights")
    refused(f"begin_with was none there and is {digest} now", weights=[weights])
    refused("teachers was none there", teachers=[weights])
    recut = prepared_sets(tmp_path / "recut")
    crops = np.load(recut / "faces/crops.npy", "r+")
    crops += 1
    crops.flush()
    refused(f"crops.faces was {digest} there and is {digest} now", folder=recut)
    with pytest.raises(CheckpointError, match=r"processes was 1 there and is 2 now.*--overwrite"):
        fit(TINY, sets, tmp_path / "run", resume=True, context=DistributedContext(0, 2))


@pytest.mark.slow
def test_a_run_of_before_a_setting_was_known_goes_on(sets: Path, tmp_path: Path) -> None:
    whole = fit(TINY, sets, tmp_path / "whole").read_bytes()
    fit(TINY, sets, tmp_path / "run", stop_after=1)
    state = load_state(tmp_path / "run/state.pt")
    for key in ("momentum", "freeze_backbone", "processes", "crops", "continued"):
        del state["settings"][key]
    del state["machines"]
    save_state(tmp_path / "run/state.pt", state)
    (tmp_path / "run/config.json").write_text(json.dumps(state["settings"]))
    assert fit(TINY, sets, tmp_path / "run", resume=True).read_bytes() == whole
    with pytest.raises(CheckpointError, match=r"momentum was 0\.9 there and is 0.5 now"):
        fit(changed(TINY, momentum=0.5), sets, tmp_path / "run", resume=True)


def test_a_run_is_never_overwritten_in_silence(sets: Path, tmp_path: Path) -> None:
    before = fit(ONE_EPOCH, sets, tmp_path).read_bytes()
    ways = r"--resume, .* --out, .* --overwrite"
    with pytest.raises(CheckpointError, match=f"is there already, of another run: .*{ways}"):
        fit(ONE_EPOCH, sets, tmp_path)
    with pytest.raises(CheckpointError, match=f"seed was 1 there and is 2 now.*{ways}"):
        fit(changed(ONE_EPOCH, seed=2), sets, tmp_path)
    for name in ("config.json", "state.pt", "finished.json"):
        (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is there already"):
        fit(ONE_EPOCH, sets, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_settings_alone_are_no_run(sets: Path, tmp_path: Path) -> None:
    """A start that was refused after they were written has trained nothing."""
    (tmp_path / "config.json").write_text('{"seed": 7}')
    weights = fit(ONE_EPOCH, sets, tmp_path)
    assert load_checkpoint(weights).info.recipe["seed"] == ONE_EPOCH.seed


def test_other_threads_are_named(sets: Path, tmp_path: Path) -> None:
    said: list[str] = []
    threads = torch.get_num_threads()
    fit(TINY, sets, tmp_path, stop_after=1)
    try:
        torch.set_num_threads(threads + 1)
        weights = fit(TINY, sets, tmp_path, resume=True, say=said.append)
    finally:
        torch.set_num_threads(threads)
    warning = f"with {threads} threads so far and goes on with {threads + 1}: its weights will not"
    assert any(warning in text for text in said)
    machines = load_checkpoint(weights).info.provenance["machines"]
    assert [one["threads"] for one in machines] == [threads, threads + 1]


def test_there_must_be_a_state_to_resume(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume"):
        fit(TINY, sets, tmp_path, resume=True)


def test_weights_that_are_gone_are_missed(sets: Path, tmp_path: Path) -> None:
    fit(ONE_EPOCH, sets, tmp_path).unlink()
    with pytest.raises(CheckpointError, match=r"its model\.safetensors is gone"):
        fit(ONE_EPOCH, sets, tmp_path, resume=True)


def test_weights_of_another_run_are_not_those_of_a_finished_one(sets: Path, tmp_path: Path) -> None:
    out, settings = tmp_path / "run", tmp_path / "run/config.json"
    weights = fit(ONE_EPOCH, sets, out)
    known = json.loads(settings.read_text())
    checkpoint = load_checkpoint(weights)
    calibrated = dataclasses.replace(checkpoint.info, provenance={"calibration_faces": {}})
    write_checkpoint(weights, checkpoint.model, calibrated)
    assert is_finished(out, known)  # the same numbers
    other = fit(changed(ONE_EPOCH, seed=2), sets, tmp_path / "other")
    shutil.copy(other, weights)
    with pytest.raises(CheckpointError, match=r"not what the run in this folder ended with"):
        is_finished(out, known)
    # Versions before kept no digest of the weights.
    (out / "finished.json").write_text(json.dumps(settings_digest(known)))
    assert is_finished(out, known)


def test_what_a_network_or_a_folder_cannot_do_is_said_before_training(
    sets: Path, tmp_path: Path
) -> None:
    for match, change in (
        ("ssrnet cannot read faces of 32 pixels", {"model": "ssrnet"}),
        ("wants the name of a set in", {"epoch_fractions": {f"../{sets.name}/faces": 1.0}}),
    ):
        with pytest.raises(AgeGenderEmoError, match=match):
            fit(changed(ONE_EPOCH, **change), sets, tmp_path / "run")
    with pytest.raises(AgeGenderEmoError, match="one face a process"):
        fit(changed(ONE_EPOCH, batch=2), sets, tmp_path, context=DistributedContext(0, 2))


@pytest.mark.slow
def test_a_finished_run_is_made_longer(sets: Path, tmp_path: Path) -> None:
    fit(TINY, sets, tmp_path / "run", stop_after=2)
    with pytest.raises(CheckpointError, match="not over yet"):
        fit(TINY, sets, tmp_path / "run", more=2)
    fit(TINY, sets, tmp_path / "run", resume=True)
    fit(TINY, sets, tmp_path / "run", more=2, stop_after=4)
    info = load_checkpoint(fit(TINY, sets, tmp_path / "run", more=2)).info  # killed: goes on
    rows = history_of(tmp_path / "run")
    assert [row["size"] for row in rows] == ["32", "32", "40", "40", "40"]
    assert info.provenance["continued"] == [[3, 2]]
    assert (tmp_path / "run/finished.json").exists()
    # The rate is that of a run that was as long from the first.
    whole = trainer_of(changed(TINY, stages=(Stage(32, 2), Stage(40, 3))), sets)
    assert [float(row["rate"]) for row in rows[3:]] == [whole.rate(3), whole.rate(4)]
    weights = (tmp_path / "run/model.safetensors").read_bytes()
    fit(TINY, sets, tmp_path / "alone")
    assert fit(TINY, sets, tmp_path / "alone", more=2).read_bytes() == weights
    fit(TINY, sets, tmp_path / "alone", more=1)
    assert len(history_of(tmp_path / "alone")) == 6
