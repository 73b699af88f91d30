"""int8: made by one command from real crops, bound to its float weights, named in every result."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from synthetic import prepared_sets
from tiny import TASK_SETS

from agegenderemo import Analyzer, load_image
from agegenderemo.cli import main
from agegenderemo.data.dataset import PreparedSet
from agegenderemo.errors import CheckpointError, ParityError
from agegenderemo.export.linked_int8 import link_int8
from agegenderemo.export.onnx import write_checkpoint
from agegenderemo.export.quantize import compare_answers, int8_graph
from agegenderemo.files import sha256
from agegenderemo.inference.backends import OnnxBackend
from agegenderemo.inference.graph import graph_file, read_graph
from agegenderemo.inference.predictor import preprocess
from agegenderemo.model_info import META_KEY, SEAL_KEY, ModelInfo
from agegenderemo.models import create_model
from agegenderemo.models.checkpoint import load_checkpoint
from agegenderemo.models.registry import folded
from agegenderemo.tasks import AGE, DEFAULT_TASKS, EMOTION6, GENDER, ClassCalibration
from agegenderemo.types import InputSpec

INFO = ModelInfo(
    "tiny", DEFAULT_TASKS, InputSpec(32), calibration={"gender": ClassCalibration(9.0, 0.5)}
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    prepared_sets(folder, 600)
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    """A small network and its int8 graph, made as a user makes it."""
    path = tmp_path_factory.mktemp("made") / "net.safetensors"
    torch.manual_seed(0)
    net = create_model("tiny", DEFAULT_TASKS)
    for spec in DEFAULT_TASKS:  # an untrained head says nearly the same of every face
        std = 300 if spec.kind == "regression" else 3
        torch.nn.init.normal_(net.head_output(spec.name).weight, std=std)
    write_checkpoint(path, net, INFO)
    words = ["export", "--int8", "--checkpoint", str(path), "--prepared", str(prepared)]
    assert main(words) == 0
    assert main([*words, "--out", str(whole_file(path))]) == 0
    return path


def whole_file(path: Path) -> Path:
    """Where the fixture has the graph with weights of its own."""
    return path.with_name("whole.onnx")


@pytest.fixture
def made(original: Path, tmp_path: Path) -> Path:
    """A copy, to be harmed."""
    for file in original.parent.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path / original.name


def record_of(path: Path) -> dict[str, Any]:
    entry, seal = onnx.load(str(graph_file(path, "int8"))).metadata_props
    assert (entry.key, seal.key) == (META_KEY, SEAL_KEY)
    found: dict[str, Any] = json.loads(entry.value)
    return found


def test_convolutions_alone_are_quantised_a_channel_at_a_time(original: Path) -> None:
    graph = onnx.load(str(whole_file(original))).graph
    kinds = {node.op_type for node in graph.node if "quantized" in " ".join(node.output)}
    assert kinds <= {"QuantizeLinear", "DequantizeLinear"}
    weights = [t for t in graph.initializer if t.data_type == onnx.TensorProto.INT8 and t.dims]
    kernels = [tuple(t.dims) for t in weights if len(t.dims) == 4]
    assert kernels == [(16, 3, 5, 5)]
    (kernel,) = (t.name for t in weights if len(t.dims) == 4)
    (back,) = (node for node in graph.node if kernel in node.input)
    # Seven bits: eight overflow where there is no VNNI.
    (values,) = (numpy_helper.to_array(t) for t in weights if len(t.dims) == 4)
    assert np.abs(values.astype(int)).max() == 64
    shapes = {t.name: tuple(t.dims) for t in graph.initializer}
    assert (back.op_type, shapes[back.input[1]]) == ("DequantizeLinear", (16,))
    assert any(
        t.data_type == onnx.TensorProto.FLOAT and len(t.dims) == 2 for t in graph.initializer
    )


def test_the_graph_says_what_it_is_and_has_its_own_calibration(original: Path) -> None:
    record = record_of(original)
    assert record["precision"] == "int8"
    assert record["weights_sha256"] == sha256(original.read_bytes())
    assert record["tasks"] == [spec.to_dict() for spec in DEFAULT_TASKS]
    temperature = record["calibration"]["gender"]["temperature"]
    assert temperature != 9.0  # fitted on the answers of int8, not copied
    assert set(record["calibration"]) == {"age", "gender", "emotion"}


def test_it_answers_nearly_like_float(original: Path, prepared: Path) -> None:
    faces = preprocess(np.array(PreparedSet.open(prepared / "faces").crops[:60]), INFO.input)
    raw = []
    for precision in ("float", "int8"):
        info, graph, weights, digest = read_graph(original, precision)
        assert digest == sha256(original.read_bytes())
        raw.append(OnnxBackend(graph, info, weights)(faces))
    apart = compare_answers(DEFAULT_TASKS, *raw)
    assert 0 < apart["age"]["share"] < 0.05
    assert apart["gender"]["agreement"] > 0.95


def test_linked_and_whole_answer_alike(original: Path) -> None:
    """The linked graph holds no kernel: they come from the float weights, here of any name."""
    linked = onnx.load(str(graph_file(original, "int8")), load_external_data=False).graph
    kernels = [t for t in linked.initializer if len(t.dims) == 4]
    assert [t.data_location for t in kernels] == [onnx.TensorProto.EXTERNAL]
    assert not [
        t for t in linked.initializer if t.data_type == onnx.TensorProto.INT8 and t.dims[1:]
    ]
    faces = np.random.default_rng(0).standard_normal((32, 3, 32, 32), np.float32)
    info, graph, weights, _ = read_graph(original, "int8")
    assert weights == original.read_bytes()
    assert len(graph) < len(whole_file(original).read_bytes())
    ours = OnnxBackend(graph, info, weights)(faces)
    theirs = OnnxBackend(whole_file(original).read_bytes(), info)(faces)
    for name, value in ours.items():
        assert np.abs(value - theirs[name]).max() <= 0.01 * np.ptp(theirs[name])


@pytest.mark.parametrize("network", ["agegendernet", "mobileone_s0"])
@pytest.mark.slow
def test_batch_norms_and_branches_are_folded_alike(network: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, options = folded(create_model(network, DEFAULT_TASKS), network, {})
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var = torch.empty_like(module.weight).uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
    info = ModelInfo(network, DEFAULT_TASKS, InputSpec(64), options=options)
    path = tmp_path / "net.safetensors"
    write_checkpoint(path, net, info)
    net = load_checkpoint(path).model
    faces = np.random.default_rng(0).standard_normal((32, 3, 64, 64), np.float32)
    weights = path.read_bytes()
    whole = int8_graph(net, info, faces, sha256(weights))
    float_graph = path.with_suffix(".onnx").read_bytes()
    linked = link_int8(whole, float_graph, net.state_dict(), weights, path.name)
    assert len(linked) < len(whole) / 2
    ours, theirs = OnnxBackend(linked, info, weights)(faces), OnnxBackend(whole, info)(faces)
    for name, value in ours.items():
        # A weight at the edge of two steps may fall on either side.
        assert np.abs(value - theirs[name]).mean() <= 0.02 * np.ptp(theirs[name])


def test_a_whole_graph_needs_nothing_beside_it(made: Path, examples: Path) -> None:
    made.unlink()
    made.with_suffix(".onnx").unlink()
    whole_file(made).replace(graph_file(made, "int8"))
    analyzer = Analyzer.from_checkpoint(made, precision="int8")
    assert len(analyzer.analyze(examples / "astronaut.jpg")) == 1


def test_an_analyzer_says_what_it_computes_in(
    original: Path, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    analyzer = Analyzer.from_checkpoint(original, precision="int8")
    expected = {
        "model": "net", "precision": "int8", "weights_sha256": sha256(original.read_bytes()),
    }  # fmt: skip
    assert analyzer.network == expected
    image = load_image(examples / "astronaut.jpg")
    (face,) = analyzer.analyze(image)
    reopen, origin = analyzer.__reduce__()
    (again,) = reopen(*origin).analyze(image)
    assert again == face
    words = ["analyze", str(examples / "astronaut.jpg"), "--model", str(original)]
    for precision in ("float", "int8"):
        assert main([*words, "--precision", precision]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["network"] == expected | {"precision": precision}
        (said,) = record["faces"]
        assert (said == json.loads(json.dumps(face.to_dict()))) == (precision == "int8")


def test_other_float_weights_are_told(made: Path, prepared: Path) -> None:
    torch.manual_seed(1)
    write_checkpoint(made, create_model("tiny", DEFAULT_TASKS), INFO)
    with pytest.raises(CheckpointError, match=r"made from other weights .* export --int8 --prep"):
        read_graph(made, "int8")


def test_a_missing_graph_is_one_sentence(made: Path) -> None:
    graph_file(made, "int8").unlink()
    with pytest.raises(CheckpointError, match=r"no int8 graph at .*net.int8.onnx; make it with:"):
        Analyzer.from_checkpoint(made, precision="int8")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_graph_is_refused(made: Path, share: float) -> None:
    file = graph_file(made, "int8")
    file.write_bytes(file.read_bytes()[: int(len(file.read_bytes()) * share)])
    with pytest.raises(CheckpointError, match="is damaged or not a graph"):
        read_graph(made, "int8")


def test_a_float_graph_is_not_taken_for_int8(made: Path) -> None:
    made.with_suffix(".onnx").rename(graph_file(made, "int8"))
    with pytest.raises(CheckpointError, match="is no int8 graph"):
        read_graph(made, "int8")


def test_engine_and_precision_must_go_together(original: Path) -> None:
    with pytest.raises(ValueError, match="needs the onnx engine"):
        Analyzer.from_checkpoint(original, precision="int8", engine="torch")
    with pytest.raises(ValueError, match="must be float or int8"):
        Analyzer.from_checkpoint(original, precision="int4")  # type: ignore[arg-type]


def test_evaluate_measures_it(original: Path, prepared: Path, tmp_path: Path) -> None:
    words = ["evaluate", "--data", "faces", "--root", str(prepared), "--model", str(original)]
    out = tmp_path / "figures.json"
    figures = {}
    for precision in ("float", "int8"):
        assert main([*words, "--precision", precision, "--json", str(out)]) == 0
        figures[precision] = json.loads(out.read_text())
        assert figures[precision]["precision"] == precision
    faces = {precision: own["figures"]["faces"] for precision, own in figures.items()}
    assert faces["int8"]["n"] == faces["float"]["n"] > 0
    assert faces["int8"]["tasks"]["age"] != faces["float"]["tasks"]["age"]


def test_answers_that_differ_are_refused() -> None:
    tasks = (AGE, GENDER, EMOTION6)
    rng = np.random.default_rng(0)
    raw: dict[str, Any] = {
        "age": rng.uniform(0, 90, 100), "gender": rng.normal(size=100),
        "emotion": rng.normal(size=(100, 6)),
    }  # fmt: skip
    same = compare_answers(tasks, raw, raw)
    assert same["age"] == {"mean": 0, "bias": 0, "largest": 0, "share": 0}
    assert same["gender"] == same["emotion"] == {"agreement": 1}
    moved = compare_answers(tasks, raw, raw | {"age": raw["age"] + 0.5})
    assert moved["age"]["bias"] == pytest.approx(0.5)
    for task, other in (
        ("age", raw["age"] + 5), ("age", raw["age"] * np.nan), ("gender", -raw["gender"]),
        ("emotion", raw["emotion"][:, ::-1]),
    ):  # fmt: skip
        with pytest.raises(ParityError, match=f"{task} differ too much"):
            compare_answers(tasks, raw, raw | {task: other})


def test_too_few_crops_are_told(original: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="at least 16 crops"):
        int8_graph(
            create_model("tiny", TASK_SETS["default"]),
            INFO,
            np.zeros((3, 3, 32, 32), np.float32),
            "",
        )
    assert main(["export", "--int8", "--checkpoint", str(original)]) == 2


@pytest.mark.parametrize("command", ["analyze", "video", "camera", "demo", "evaluate"])
def test_every_command_that_answers_takes_a_precision(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "--precision {float,int8}" in capsys.readouterr().out
