"""What every registered network must do: the day it is registered, it is tested here."""

import copy
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from tiny import TASK_SETS

from agegenderemo.export.linked_int8 import link_int8
from agegenderemo.export.onnx import check_parity, linked_graph, whole_graph
from agegenderemo.export.quantize import int8_graph
from agegenderemo.files import sha256
from agegenderemo.inference.backends import OnnxBackend
from agegenderemo.model_info import ModelInfo
from agegenderemo.models import MultiTaskNet, create_model, get_spec, model_names
from agegenderemo.models.checkpoint import load_checkpoint, parameter_count, save_checkpoint
from agegenderemo.models.registry import folded
from agegenderemo.tasks import DEFAULT_TASKS, TaskSpec
from agegenderemo.types import InputSpec


class Case(NamedTuple):
    """A network that is built once for all tests here, without dropout."""

    name: str
    tasks: tuple[TaskSpec, ...]
    model: MultiTaskNet

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(self.name, self.tasks, InputSpec(64), provenance={"commit": "abc"})


# Small networks bear every set of tasks; of the others each is built once, for that takes seconds.
CASES = [
    *((name, tasks) for name in ("tiny", "ssrnet") for tasks in TASK_SETS),
    *((name, "default") for name in model_names() if name not in ("tiny", "ssrnet")),
    ("timm:test_efficientnet", "default"),
]
CASE_IDS = [f"{name}-{tasks}" for name, tasks in CASES]
MARKED = [
    pytest.param(case, marks=[] if case[0] == "tiny" else [pytest.mark.slow]) for case in CASES
]


def build(name: str, tasks: tuple[TaskSpec, ...]) -> MultiTaskNet:
    torch.manual_seed(0)
    return create_model(name, tasks, dropout_scale=0)


@pytest.fixture(scope="module", params=MARKED, ids=CASE_IDS)
def case(request: pytest.FixtureRequest) -> Case:
    name, tasks = request.param
    return Case(name, TASK_SETS[tasks], build(name, TASK_SETS[tasks]))


def test_there_is_one_answer_a_face_and_task(case: Case) -> None:
    model = case.model.eval()
    assert model.tasks == case.tasks
    for size in {64, 96, get_spec(case.name).input.size}:
        with torch.inference_mode():
            out = model(torch.rand(2, 3, size, size))
        assert list(out.predictions) == [spec.name for spec in case.tasks]
        for spec in case.tasks:
            shape = (2, len(spec.classes)) if spec.kind == "categorical" else (2,)
            assert out.predictions[spec.name].shape == shape
        assert out.features.shape == (2, model.num_features)
        assert all(torch.isfinite(value).all() for value in (*out.predictions.values(), out[1]))


def test_every_parameter_learns(case: Case) -> None:
    model = case.model.train()
    model.zero_grad()
    # Many rows, and weights that keep ReLU units from all being off.
    torch.manual_seed(1)
    out = model(torch.randn(8, 3, 64, 64))
    parts = [(value * torch.randn(value.shape)).sum() for value in out.predictions.values()]
    torch.stack(parts).sum().backward()  # type: ignore[no-untyped-call]
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    model.zero_grad()
    assert silent == []


def test_a_head_hears_its_own_loss_alone(case: Case) -> None:
    model = case.model.train()
    model.zero_grad()
    first = case.tasks[0].name
    model(torch.randn(4, 3, 64, 64)).predictions[first].sum().backward()
    heard = {
        key for key in model.heads if any(p.grad is not None for p in model.head(key).parameters())
    }
    model.zero_grad()
    assert heard == {first}


def test_it_comes_back_from_the_disk(case: Case, tmp_path: Path) -> None:
    model, info = case.model.eval(), case.info
    save_checkpoint(tmp_path / "a.safetensors", model, info)
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.info.parameters == parameter_count(model) > 0
    assert loaded.info.to_dict() | {"parameters": 0} == info.to_dict()
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    for key, value in model.state_dict().items():
        kept = value.half().float() if value.is_floating_point() else value
        assert torch.equal(loaded.model.state_dict()[key], kept)


def test_its_graph_answers_alike(case: Case) -> None:
    faces = np.random.default_rng(0).standard_normal((5, 3, 64, 64), np.float32)
    backend = OnnxBackend(whole_graph(case.model.eval(), case.info), case.info)
    apart = check_parity(case.model, backend, faces)
    assert set(apart) == {spec.name for spec in case.tasks}


def test_its_int8_graph_answers_nearly_alike_and_so_does_the_linked_one(
    case: Case, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    # Of many colours, for averages over noise are all alike.
    colours, noise = rng.normal(0, 2, (64, 3, 1, 1)), rng.normal(0, 0.5, (64, 3, 64, 64))
    faces = (colours + noise).astype(np.float32)
    model = copy.deepcopy(case.model)
    settle(model, torch.from_numpy(faces))
    model, options = folded(model, case.name, {})
    info = dataclasses.replace(case.info, options=options)
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, model, info)
    model, weights = load_checkpoint(path).model, path.read_bytes()
    whole = int8_graph(model, info, faces, sha256(weights))
    float_graph = linked_graph(model, info, weights, path.name)
    linked = link_int8(whole, float_graph, model.state_dict(), weights, path.name)
    kernels = kernels_of(whole)
    assert kernels
    # Products of int8 are summed in pairs of 16 bits where there is no VNNI.
    assert all(2 * 255 * int(np.abs(one.astype(int)).max()) < 2**15 for one in kernels)
    graphs = ((whole_graph(model, info), None), (whole, None), (linked, weights))
    exact, ours, theirs = (OnnxBackend(graph, info, beside)(faces) for graph, beside in graphs)
    for spec in case.tasks:
        values = [one[spec.name].ravel() for one in (exact, ours, theirs)]
        # What learnt nothing is sensitive to rounding, more so where it says nearly the same of
        # every face; other kernels would give other answers.
        if np.ptp(values[0]) > 0.01 * np.abs(values[0]).max():
            assert np.corrcoef(values[0], values[1])[0, 1] > 0.5, spec.name
        assert np.abs(values[1] - values[2]).mean() <= 0.15 * np.ptp(values[1]), spec.name


def settle(model: MultiTaskNet, faces: torch.Tensor) -> None:
    """Let batch norms take what they see here for usual, so that answers differ by the face."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.momentum = None
            module.reset_running_stats()
    with torch.no_grad():
        model.train()(faces)
    model.eval()


def kernels_of(graph: bytes) -> list[np.ndarray[Any, Any]]:
    """What a graph convolves with in int8."""
    tensors = onnx.load_from_string(graph).graph.initializer
    int8 = (t for t in tensors if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4)
    return [numpy_helper.to_array(tensor) for tensor in int8]


def test_what_it_folds_to_answers_alike_and_can_be_built(case: Case) -> None:
    model = case.model.eval()
    smaller, options = folded(model, case.name, {})
    if smaller is model:
        assert options == {}
        return
    assert parameter_count(smaller) < parameter_count(model)
    x = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        ours, theirs = model(x).predictions, smaller.eval()(x).predictions
    for name, value in ours.items():
        span = max(float(value.abs().max()), 1e-3)
        assert torch.allclose(theirs[name], value, atol=1e-3 * span)
    built = create_model(case.name, case.tasks, **options)
    assert built.load_state_dict(smaller.state_dict())
    assert all(p.requires_grad for p in built.parameters())


def test_only_families_with_branches_fold() -> None:
    assert [n for n in model_names() if get_spec(n).fold] == ["mobileone_s2", "mobileone_s0"]


@pytest.mark.parametrize("name", ["tiny", pytest.param("ssrnet", marks=pytest.mark.slow)])
def test_a_seed_repeats_it(name: str) -> None:
    first, again = (build(name, DEFAULT_TASKS).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize("name", ["tiny", "ssrnet", "timm:test_resnet"])
def test_names_of_weights_do_not_depend_on_dropout(name: str) -> None:
    dropping = create_model(name, DEFAULT_TASKS)
    assert list(dropping.state_dict()) == list(build(name, DEFAULT_TASKS).state_dict())
