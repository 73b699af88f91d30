"""What every registered network must do: the day it is registered, it is tested here."""

from pathlib import Path

import pytest
import torch
from tiny import TASK_SETS

from agegenderemo.model_info import ModelInfo
from agegenderemo.models import MultiTaskNet, create_model, get_spec, model_names
from agegenderemo.models.checkpoint import load_checkpoint, parameter_count, save_checkpoint
from agegenderemo.tasks import TaskSpec

MODELS = [
    pytest.param(name, marks=[] if name == "tiny" else [pytest.mark.slow]) for name in model_names()
]
"""All, of which the fast tests try the tiny one."""

every_model = pytest.mark.parametrize("name", MODELS)
every_tasks = pytest.mark.parametrize("tasks", TASK_SETS.values(), ids=TASK_SETS)


def net_of(name: str, tasks: tuple[TaskSpec, ...]) -> MultiTaskNet:
    torch.manual_seed(0)
    return create_model(name, tasks, dropout_scale=0)


@every_model
@every_tasks
def test_there_is_one_answer_a_face_and_task(name: str, tasks: tuple[TaskSpec, ...]) -> None:
    model = net_of(name, tasks).eval()
    assert model.tasks == tasks
    for size in (64, 96, get_spec(name).input.size):
        with torch.inference_mode():
            out = model(torch.rand(2, 3, size, size))
        assert list(out.predictions) == [spec.name for spec in tasks]
        for spec in tasks:
            shape = (2, len(spec.classes)) if spec.kind == "categorical" else (2,)
            assert out.predictions[spec.name].shape == shape
        assert out.features.shape == (2, model.num_features)
        assert all(torch.isfinite(value).all() for value in (*out.predictions.values(), out[1]))


@every_model
@every_tasks
def test_every_parameter_learns(name: str, tasks: tuple[TaskSpec, ...]) -> None:
    model = net_of(name, tasks).train()
    # Many rows, and weights that keep ReLU units from all being off.
    out = model(torch.randn(8, 3, 64, 64))
    parts = [(value * torch.randn(value.shape)).sum() for value in out.predictions.values()]
    torch.stack(parts).sum().backward()  # type: ignore[no-untyped-call]
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@every_model
@every_tasks
def test_a_head_hears_its_own_loss_alone(name: str, tasks: tuple[TaskSpec, ...]) -> None:
    model = net_of(name, tasks).train()
    first = tasks[0].name
    model(torch.randn(4, 3, 64, 64)).predictions[first].sum().backward()
    heard = {key for key in model.heads if model.head_output(key).bias.grad is not None}
    assert heard == {first}


@every_model
@every_tasks
def test_it_comes_back_from_the_disk(
    name: str, tasks: tuple[TaskSpec, ...], tmp_path: Path
) -> None:
    model = net_of(name, tasks).eval()
    info = ModelInfo(name, tasks, get_spec(name).input, provenance={"commit": "abc"})
    save_checkpoint(tmp_path / "a.safetensors", model, info)
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.info.parameters == parameter_count(model) > 0
    assert loaded.info.to_dict() | {"parameters": 0} == info.to_dict()
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    for key, value in model.state_dict().items():
        kept = value.half().float() if value.is_floating_point() else value
        assert torch.equal(loaded.model.state_dict()[key], kept)
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        before, after = model(x), loaded.model(x)
    for task, value in before.predictions.items():
        assert torch.allclose(after.predictions[task], value, rtol=5e-3, atol=5e-3)


@every_model
def test_a_seed_repeats_it(name: str) -> None:
    first, again = (net_of(name, TASK_SETS["default"]).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)


@every_model
def test_names_of_weights_do_not_depend_on_dropout(name: str) -> None:
    tasks = TASK_SETS["default"]
    assert list(create_model(name, tasks).state_dict()) == list(net_of(name, tasks).state_dict())
