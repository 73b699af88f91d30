import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from agegenderemo.calibration import Calibration
from agegenderemo.checkpoint import (
    DEFAULT_CHECKPOINT,
    CheckpointError,
    load_card,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
    update_card,
    write_atomically,
)
from agegenderemo.models import create_model
from agegenderemo.predictor import Predictor
from agegenderemo.records import InputSpec


def test_a_checkpoint_survives_the_disk_within_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = create_model("agegendernet").eval()
    spec = InputSpec(64, mean=(0.1, 0.2, 0.3), std=(1, 1, 1))
    save_checkpoint(tmp_path / "a.safetensors", model, "agegendernet", spec, {"seed": 1})
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.input == spec
    assert loaded.recipe == {"seed": 1}
    assert not loaded.model.training
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(loaded.model(x).emotion, model(x).emotion, atol=1e-3)
    assert (tmp_path / "a.safetensors").stat().st_size < 20e6


def test_a_network_without_emotion_keeps_its_shape(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(
        path, create_model("agegendernet", emotion=False), "agegendernet", InputSpec(64), {}
    )
    model = load_checkpoint(path).model
    assert model.emotion is None
    with pytest.raises(ValueError, match="without an emotion head"):
        Predictor(model, InputSpec(64))


@pytest.mark.parametrize("content", [b"", b"text", b"\xff" * 4000])
def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_foreign_and_missing_checkpoints_are_one_sentence(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="not a checkpoint of this package"):
        load_checkpoint(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "b.safetensors")


def test_what_is_known_of_the_weights_travels_with_them(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    bars = Calibration((0.0, 50.0), (0.0, 40.0), (10.0, 70.0), (2.0, 8.0), 1.1, 0.9, 0.7, 0.5)
    origin = {"training_faces": {"utkface": 7}, "commit": "abc"}
    model = create_model("agegendernet")
    save_checkpoint(path, model, "agegendernet", InputSpec(64), {}, bars, origin)
    loaded = load_checkpoint(path)
    assert loaded.calibration == bars
    assert loaded.origin == origin


@pytest.mark.parametrize(
    "change", [{"labels": {"genders": ["male", "female"]}}, {"calibration": {"ages": [1]}}]
)
def test_metadata_of_another_meaning_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, create_model("agegendernet"), "agegendernet", InputSpec(64), {})
    with safe_open(path, "pt") as file:
        meta = json.loads(file.metadata()["agegenderemo"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(tensors, path, {"agegenderemo": json.dumps({**meta, **change})})
    with pytest.raises(CheckpointError, match="not a checkpoint of this package"):
        load_checkpoint(path)


def test_a_truncated_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    data = DEFAULT_CHECKPOINT.read_bytes()
    (tmp_path / "a.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_states_are_read_without_pickle(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_state(path, {"epoch": 3, "weights": torch.ones(2)})
    assert load_state(path)["epoch"] == 3
    torch.save({"path": Path()}, path)  # an object, which only pickle could bring back
    with pytest.raises(CheckpointError, match="damaged"):
        load_state(path)
    with pytest.raises(CheckpointError, match="without --resume"):
        load_state(tmp_path / "none.pt")


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(CheckpointError, match="No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_card_keeps_the_figures_of_other_sets(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    update_card(path, "utkface", {"n": 1})
    update_card(path, "ferplus", {"n": 2})
    assert load_card(path) == {"utkface": {"n": 1}, "ferplus": {"n": 2}}
    assert json.loads((tmp_path / "a.json").read_text()) == load_card(path)


def test_the_shipped_checkpoint_is_agegendernet_and_small() -> None:
    checkpoint = load_checkpoint(DEFAULT_CHECKPOINT)
    assert checkpoint.name == "agegendernet"
    assert sum(p.numel() for p in checkpoint.model.parameters()) == 9_365_552
    assert DEFAULT_CHECKPOINT.stat().st_size < 20e6
    assert checkpoint.recipe["stages"]


def test_weights_trained_without_dropout_load(tmp_path: Path) -> None:
    """The names of weights do not depend on the rate."""
    model = create_model("agegendernet", dropout_scale=0.0)
    save_checkpoint(tmp_path / "a.safetensors", model, "agegendernet", InputSpec(64), {})
    assert load_checkpoint(tmp_path / "a.safetensors").name == "agegendernet"
