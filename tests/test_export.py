"""The ONNX graph answers like the network, on real faces, and a graph that does not is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from tiny import TASK_SETS

from agegenderemo import Analyzer, load_image
from agegenderemo.cli import main
from agegenderemo.errors import CheckpointError, ParityError
from agegenderemo.export.onnx import check_parity, linked_graph, whole_graph, write_checkpoint
from agegenderemo.inference.backends import OnnxBackend
from agegenderemo.inference.graph import read_graph
from agegenderemo.inference.predictor import Predictor, preprocess
from agegenderemo.inference.torch_backend import TorchBackend
from agegenderemo.model_info import META_KEY, ModelInfo
from agegenderemo.models import create_model
from agegenderemo.models.checkpoint import Checkpoint, checkpoint_bytes, load_checkpoint
from agegenderemo.resources import default_checkpoint
from agegenderemo.tasks import (
    BinaryPrediction,
    CategoricalPrediction,
    Prediction,
    RegressionPrediction,
)
from agegenderemo.types import InputSpec


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(default_checkpoint())


@pytest.fixture(scope="module")
def graph(checkpoint: Checkpoint) -> bytes:
    return whole_graph(checkpoint.model, checkpoint.info)


@pytest.fixture(scope="module")
def crops(analyzer: Analyzer, examples: Path) -> NDArray[np.uint8]:
    """The 29 faces of the Solvay conference and an astronaut."""
    found = []
    for name in ("solvay-1927.jpg", "astronaut.jpg"):
        picture = load_image(examples / name)
        found += analyzer.crops(picture, analyzer.detector.detect(picture))
    return np.stack(found)


def shipped() -> OnnxBackend:
    info, graph, weights, _ = read_graph(default_checkpoint())
    return OnnxBackend(graph, info, weights)


def test_the_shipped_graph_answers_like_the_network_on_real_faces(
    checkpoint: Checkpoint, crops: NDArray[np.uint8]
) -> None:
    apart = check_parity(checkpoint.model, shipped(), preprocess(crops, checkpoint.info.input))
    assert max(apart.values()) <= 1e-5
    assert list(apart) == [spec.name for spec in checkpoint.info.tasks]


def test_the_shipped_graph_is_the_one_that_would_be_made_now(checkpoint: Checkpoint) -> None:
    path = default_checkpoint()
    made = linked_graph(checkpoint.model, checkpoint.info, path.read_bytes(), path.name)
    kept = onnx.load(str(path.with_suffix(".onnx")), load_external_data=False)
    assert onnx.load_from_string(made).graph == kept.graph
    assert len(made) < 100_000


def test_a_whole_graph_answers_like_the_network_and_says_what_it_is(
    checkpoint: Checkpoint, graph: bytes, crops: NDArray[np.uint8]
) -> None:
    backend = OnnxBackend(graph, checkpoint.info)
    check_parity(checkpoint.model, backend, preprocess(crops, checkpoint.info.input))
    (entry,) = onnx.load_from_string(graph).metadata_props
    assert entry.key == META_KEY


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_number_of_faces(graph: bytes, checkpoint: Checkpoint, count: int) -> None:
    size = checkpoint.info.input.size
    backend = OnnxBackend(graph, checkpoint.info)
    shapes = {k: v.shape for k, v in backend(np.zeros((count, 3, size, size), np.float32)).items()}
    assert shapes == {"age": (count,), "gender": (count,), "emotion": (count, 8)}


@pytest.mark.parametrize("tasks", TASK_SETS)
def test_outputs_are_the_tasks_whatever_they_are(tmp_path: Path, tasks: str) -> None:
    specs = TASK_SETS[tasks]
    info = ModelInfo("tiny", specs, InputSpec(32))
    path = tmp_path / "net.safetensors"
    write_checkpoint(path, create_model("tiny", specs), info)
    record, graph, weights, _ = read_graph(path)
    faces = np.random.default_rng(0).standard_normal((3, 3, 32, 32), np.float32)
    apart = check_parity(load_checkpoint(path).model, OnnxBackend(graph, record, weights), faces)
    assert record.tasks == specs
    assert list(apart) == [spec.name for spec in specs]


def test_a_changed_graph_is_refused(
    checkpoint: Checkpoint, graph: bytes, crops: NDArray[np.uint8]
) -> None:
    model = onnx.load_from_string(graph)
    largest = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    changed = numpy_helper.to_array(largest) * 1.02
    largest.CopyFrom(numpy_helper.from_array(changed.astype(np.float32), largest.name))
    backend = OnnxBackend(model.SerializeToString(), checkpoint.info)
    with pytest.raises(ParityError, match="does not answer like the network"):
        check_parity(checkpoint.model, backend, preprocess(crops, checkpoint.info.input))


def test_a_network_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    specs = TASK_SETS["default"]
    info = ModelInfo("tiny", specs, InputSpec(32))
    model = create_model("tiny", specs).eval()
    faces = np.zeros((2, 3, 32, 32), np.float32)
    broken = create_model("tiny", specs)
    with torch.no_grad():
        broken.head_output("age").bias.fill_(float("nan"))
    backend = OnnxBackend(whole_graph(broken, info), info)
    with pytest.raises(ParityError):
        check_parity(broken, backend, faces)
    with pytest.raises(ParityError):
        check_parity(model, backend, faces)
    with pytest.raises(CheckpointError, match="finite"):
        write_checkpoint(tmp_path / "net.safetensors", broken, info)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_are_not_linked() -> None:
    specs = TASK_SETS["default"]
    info = ModelInfo("tiny", specs, InputSpec(32))
    model, other = create_model("tiny", specs), create_model("tiny", TASK_SETS["age"])
    weights = checkpoint_bytes(other, ModelInfo("tiny", other.tasks, info.input))
    with pytest.raises(CheckpointError, match="hold no"):
        linked_graph(model, info, weights, "net.safetensors")
    with pytest.raises(CheckpointError, match="cannot be linked"):
        linked_graph(model, info, b"no", "net.safetensors")


def numbers(prediction: Prediction) -> list[float]:
    if isinstance(prediction, RegressionPrediction):
        return [prediction.value]
    if isinstance(prediction, BinaryPrediction):
        return [prediction.positive]
    assert isinstance(prediction, CategoricalPrediction)
    return list(prediction.probabilities)


def test_both_engines_say_the_same_of_faces(crops: NDArray[np.uint8]) -> None:
    # Of the same crops: test_detection.py is about what finds them.
    torch_backend = TorchBackend(default_checkpoint())
    info = torch_backend.info
    ours = Predictor(shipped(), info).predict(crops)
    theirs = Predictor(torch_backend, info).predict(crops)
    for a, b in zip(ours, theirs, strict=True):
        for name in a:
            assert numbers(a[name]) == pytest.approx(numbers(b[name]), abs=1e-3)


def test_the_torch_engine_reads_a_photo(examples: Path) -> None:
    analyzer = Analyzer.from_checkpoint(engine="torch")
    (face,) = analyzer.analyze(examples / "astronaut.jpg")
    (same,) = Analyzer.from_checkpoint().analyze(examples / "astronaut.jpg")
    assert face.age == pytest.approx(same.age, abs=0.01)
    with pytest.raises(CheckpointError, match="no device"):
        Analyzer.from_checkpoint(engine="torch", device="nowhere")


def test_the_command_writes_a_valid_graph(tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    assert main(["export", "--out", str(out)]) == 0
    onnx.checker.check_model(str(out), full_check=True)
