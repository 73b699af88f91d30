"""The ONNX graph answers like the network, on real faces, and a graph that does not is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from agegenderemo.analyzer import Analyzer
from agegenderemo.checkpoint import DEFAULT_CHECKPOINT, Checkpoint, load_checkpoint
from agegenderemo.cli import main
from agegenderemo.detection.align import align
from agegenderemo.detection.mtcnn import FaceDetector
from agegenderemo.export import OnnxEngine, ParityError, check_parity, onnx_engine, to_onnx
from agegenderemo.images import load_image
from agegenderemo.models import create_model
from agegenderemo.records import InputSpec
from agegenderemo.transforms import to_input


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(DEFAULT_CHECKPOINT)


@pytest.fixture(scope="module")
def graph(checkpoint: Checkpoint) -> bytes:
    return to_onnx(checkpoint.model, checkpoint.input)


@pytest.fixture(scope="module")
def faces(analyzer: Analyzer, examples: Path, checkpoint: Checkpoint) -> torch.Tensor:
    """The 29 faces of the Solvay conference and an astronaut."""
    crops = []
    for name in ("solvay-1927.jpg", "astronaut.jpg"):
        picture = load_image(examples / name)
        crops += [align(picture, f.landmarks, 128) for f in analyzer.analyze(picture)]
    return to_input(torch.from_numpy(np.stack(crops)), checkpoint.input)


def test_the_engine_answers_like_the_network_on_real_faces(
    checkpoint: Checkpoint, graph: bytes, faces: torch.Tensor
) -> None:
    apart = check_parity(checkpoint.model, OnnxEngine(graph), faces)
    assert max(apart.values()) <= 1e-3


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_number_of_faces(graph: bytes, checkpoint: Checkpoint, count: int) -> None:
    size = checkpoint.input.size
    age, gender, emotion = OnnxEngine(graph)(torch.zeros(count, 3, size, size))
    assert (age.shape, gender.shape, emotion.shape) == ((count,), (count,), (count, 8))


def test_a_changed_graph_is_refused(
    checkpoint: Checkpoint, graph: bytes, faces: torch.Tensor
) -> None:
    model = onnx.load_from_string(graph)
    largest = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    changed = numpy_helper.to_array(largest) * 1.02
    largest.CopyFrom(numpy_helper.from_array(changed.astype(np.float32), largest.name))
    with pytest.raises(ParityError, match="does not answer like the network"):
        check_parity(checkpoint.model, OnnxEngine(model.SerializeToString()), faces)


def test_a_network_that_gives_no_numbers_is_refused() -> None:
    model = create_model("agegendernet").eval()
    with torch.no_grad():
        model.age[-1].bias.fill_(float("nan"))  # type: ignore[index,union-attr]
    with pytest.raises(ParityError):
        onnx_engine(model, InputSpec(64))


def test_both_engines_say_the_same_of_a_photo(analyzer: Analyzer, examples: Path) -> None:
    # Of the same crops: test_detection.py compares what finds them.
    torch_only = Analyzer(FaceDetector(), Analyzer.from_checkpoint(engine="torch").predictor)
    for name in ("astronaut.jpg", "solvay-1927.jpg"):
        pairs = zip(
            analyzer.analyze(examples / name), torch_only.analyze(examples / name), strict=True
        )
        for a, b in pairs:
            assert a.box == b.box
            assert a.age == pytest.approx(b.age, abs=0.01)
            assert a.attributes.emotions == pytest.approx(b.attributes.emotions, abs=1e-3)


def test_the_command_writes_a_valid_graph(tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    assert main(["export", "--out", str(out)]) == 0
    onnx.checker.check_model(str(out), full_check=True)
