"""Checkpoints and training states: what comes back, and what is refused in one sentence."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from agegenderemo.errors import CheckpointError
from agegenderemo.model_info import META_KEY, ModelInfo
from agegenderemo.models import MultiTaskNet, create_model
from agegenderemo.models.checkpoint import (
    checkpoint_bytes,
    is_checkpoint,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
)
from agegenderemo.resources import default_checkpoint
from agegenderemo.tasks import (
    DEFAULT_TASKS,
    EMOTION7,
    SMILE,
    ClassCalibration,
    RegressionCalibration,
    TaskSpec,
)
from agegenderemo.types import InputSpec

BARS = RegressionCalibration((0.0, 50.0), (0.0, 40.0), (10.0, 70.0), (2.0, 8.0))
INFO = ModelInfo("tiny", DEFAULT_TASKS, InputSpec(32), recipe={"seed": 1})


def net(tasks: tuple[TaskSpec, ...] = DEFAULT_TASKS) -> MultiTaskNet:
    torch.manual_seed(0)
    return create_model("tiny", tasks)


def saved(folder: Path, info: ModelInfo = INFO) -> Path:
    path = folder / "a.safetensors"
    save_checkpoint(path, net(info.tasks), info)
    return path


def contents(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, "pt") as file:
        meta = json.loads(file.metadata()[META_KEY])
        return meta, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def rewrite(path: Path, meta: Any, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, path, {META_KEY: json.dumps(meta)})


def test_what_is_known_of_the_weights_travels_with_them(tmp_path: Path) -> None:
    tasks = (*DEFAULT_TASKS[:1], SMILE, EMOTION7, tiny.GLASSES)
    info = ModelInfo(
        "tiny",
        tasks,
        InputSpec(64, mean=(0.1, 0.2, 0.3), std=(1, 1, 1), template="ffhq"),
        calibration={"age": BARS, "glasses": ClassCalibration(1.1, 0.7)},
        recipe={"seed": 1},
        provenance={"training_faces": {"utkface": 7}, "commit": "abc"},
    )
    loaded = load_checkpoint(saved(tmp_path, info))
    assert loaded.info.to_dict() | {"parameters": 0} == info.to_dict()
    assert loaded.info.tasks == loaded.model.tasks == tasks
    assert loaded.info.parameters == sum(p.numel() for p in net(tasks).parameters())


def test_the_record_must_be_that_of_the_network() -> None:
    with pytest.raises(ValueError, match="other tasks"):
        checkpoint_bytes(net(DEFAULT_TASKS[:1]), INFO)


def test_only_checkpoints_are_known_as_such(tmp_path: Path) -> None:
    assert is_checkpoint(saved(tmp_path))
    save_file({"x": torch.zeros(2)}, tmp_path / "b.safetensors")
    assert not is_checkpoint(tmp_path / "b.safetensors")
    assert not is_checkpoint(tmp_path / "none.safetensors")
    assert not is_checkpoint(Path(__file__))


# --- files of version 0.1 --------------------------------------------------------------------

OLD_CALIBRATION = {
    "ages": [0.0, 50.0], "low": [0.0, 40.0], "high": [10.0, 70.0], "error": [2.0, 8.0],
    "gender_temperature": 1.1, "gender_threshold": 0.7,
    "emotion_temperature": 0.9, "emotion_threshold": 0.5,
}  # fmt: skip


def old_file(path: Path, *, emotion: bool = True, **changes: Any) -> MultiTaskNet:
    """A file as version 0.1 wrote it, and the network that it holds."""
    model = net(DEFAULT_TASKS if emotion else DEFAULT_TASKS[:2])
    tensors = {
        key.removeprefix("heads."): value.half() if value.is_floating_point() else value
        for key, value in model.state_dict().items()
    }
    meta = {
        "model": "tiny",
        "emotion": emotion,
        "input": {"size": 32, "mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "framing": "ffhq"},
        "recipe": {"seed": 1},
        "calibration": OLD_CALIBRATION,
        "origin": {"commit": "abc"},
    }
    rewrite(path, meta | changes, tensors)
    return model


def test_weights_of_version_0_1_load(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    model = old_file(path)
    loaded = load_checkpoint(path)
    assert loaded.info.tasks == DEFAULT_TASKS
    assert loaded.info.input == InputSpec(32, (0.1, 0.2, 0.3), (1, 1, 1), "ffhq")
    assert loaded.info.calibration["age"] == BARS
    assert loaded.info.provenance == {"commit": "abc"}
    assert loaded.info.parameters == sum(p.numel() for p in model.parameters())
    for key, value in model.state_dict().items():
        assert torch.allclose(loaded.model.state_dict()[key].float(), value.float(), atol=1e-3)


def test_weights_of_version_0_1_without_emotions_load(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    old_file(path, emotion=False, calibration=None)
    assert [spec.name for spec in load_checkpoint(path).model.tasks] == ["age", "gender"]


def test_a_family_of_version_0_1_keeps_its_weights_under_its_new_name(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    model = create_model("mobilenet_v1_face", DEFAULT_TASKS)
    tensors = {key.removeprefix("heads."): value for key, value in model.state_dict().items()}
    old_file(path)
    rewrite(path, contents(path)[0] | {"model": "facedescriptor"}, tensors)
    assert load_checkpoint(path).info.model == "mobilenet_v1_face"


# --- what is refused -------------------------------------------------------------------------


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
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("part", [0.01, 0.5, 0.999])
def test_a_truncated_checkpoint_is_one_sentence(tmp_path: Path, part: float) -> None:
    path = saved(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


NAN_CALIBRATION = {"age": {"values": [1, math.nan], "low": [0, 1], "high": [2, 3], "error": [1, 1]}}
INPUT = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "template": "face"}


@pytest.mark.parametrize(
    "change",
    [
        {"model": "unheard of"},
        {"tasks": []},
        {"tasks": [{"name": "age", "kind": "guess"}]},
        {"tasks": 3},
        {"tasks": [spec.to_dict() for spec in DEFAULT_TASKS[:2]]},
        {"tasks": [*(spec.to_dict() for spec in DEFAULT_TASKS[:2]), EMOTION7.to_dict()]},
        {"options": {"colour": "red"}},
        {"input": INPUT | {"mean": [0.5]}},
        {"input": INPUT | {"mean": [0.5, 0.5, math.nan]}},
        {"input": INPUT | {"std": [0.5, 0.5, 0.0]}},
        {"input": INPUT | {"size": math.inf}},
        {"input": INPUT | {"size": 3}},
        {"input": INPUT | {"template": "passport"}},
        {"input": None},
        {"calibration": {"age": {"ages": [1]}}},
        {"calibration": NAN_CALIBRATION},
        {"calibration": {"gender": {"temperature": math.nan, "threshold": 0.5}}},
        {"calibration": [1]},
        {"version": 99},
    ],
    ids=str,
)
def test_metadata_of_another_meaning_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = saved(tmp_path)
    meta, tensors = contents(path)
    rewrite(path, meta | change, tensors)
    with pytest.raises(CheckpointError, match="not a checkpoint of this package"):
        load_checkpoint(path)


@pytest.mark.parametrize("meta", [[], "text", None, 3])
def test_metadata_of_another_type_is_refused(tmp_path: Path, meta: Any) -> None:
    path = saved(tmp_path)
    rewrite(path, meta, contents(path)[1])
    with pytest.raises(CheckpointError, match="not a checkpoint of this package"):
        load_checkpoint(path)


def test_labels_of_version_0_1_in_another_order_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    old_file(path, labels={"genders": ["male", "female"]})
    with pytest.raises(CheckpointError, match="not a checkpoint of this package"):
        load_checkpoint(path)


def with_nan(value: Tensor) -> Tensor:
    value.view(-1)[0] = math.nan
    return value


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v[:, :1], "damaged or not a checkpoint"),
        (lambda v: v[None], "damaged or not a checkpoint"),
        (torch.zeros_like, "holds nothing but zeros"),
        (with_nan, "holds values that are no numbers"),
        (lambda v: torch.full_like(v, math.inf), "holds values that are no numbers"),
    ],
)
def test_weights_that_cannot_be_meant_are_refused(
    tmp_path: Path, change: Callable[[Tensor], Tensor], reason: str
) -> None:
    path = saved(tmp_path)
    meta, tensors = contents(path)
    key = "heads.age.0.weight"
    rewrite(path, meta, tensors | {key: change(tensors[key]).contiguous()})
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)


def test_missing_and_unknown_weights_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    meta, tensors = contents(path)
    rewrite(path, meta, {k: v for k, v in tensors.items() if k != "neck.0.bias"})
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)
    rewrite(path, meta, tensors | {"more": torch.ones(1)})
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize("value", [math.nan, 1e6])  # half precision ends at 65,504
def test_weights_that_half_precision_cannot_hold_are_not_written(
    tmp_path: Path, value: float
) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()
    model = net()
    with torch.no_grad():
        model.head_output("age").bias.fill_(value)
    with pytest.raises(CheckpointError, match=r"heads\.age\.2\.bias .* diverged"):
        save_checkpoint(path, model, INFO)
    assert path.read_bytes() == before


# --- training states and the shipped file ----------------------------------------------------


def test_states_are_read_without_pickle(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_state(path, {"epoch": 3, "weights": torch.ones(2)})
    assert load_state(path)["epoch"] == 3
    torch.save({"path": Path()}, path)  # an object, which only pickle could bring back
    with pytest.raises(CheckpointError, match="damaged"):
        load_state(path)
    with pytest.raises(CheckpointError, match="without --resume"):
        load_state(tmp_path / "none.pt")


def test_the_shipped_checkpoint_is_agegendernet_and_small() -> None:
    checkpoint = load_checkpoint(default_checkpoint())
    assert checkpoint.info.model == "agegendernet"
    assert checkpoint.info.tasks == DEFAULT_TASKS
    assert checkpoint.info.parameters == 9_365_552
    assert set(checkpoint.info.calibration) == {"age", "gender", "emotion"}
    assert default_checkpoint().stat().st_size < 20e6
    assert checkpoint.info.recipe["stages"]
