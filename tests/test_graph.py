"""Weights and linked graph hold together by the hash; whatever else a graph names is refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from safetensors.torch import load, save
from tiny import TASK_SETS

import agegenderemo.export.onnx
from agegenderemo.errors import CheckpointError, ParityError
from agegenderemo.export.onnx import write_checkpoint, write_graph
from agegenderemo.files import safetensors_header, sha256
from agegenderemo.inference.backends import OnnxBackend
from agegenderemo.inference.graph import read_graph
from agegenderemo.inference.protobuf import external_tensors, metadata
from agegenderemo.model_info import HASH_KEY, META_KEY, PRECISION_KEY, SEAL_KEY, ModelInfo
from agegenderemo.models import MultiTaskNet, create_model
from agegenderemo.types import InputSpec

TASKS = TASK_SETS["default"]
INFO = ModelInfo("tiny", TASKS, InputSpec(32))
FACES = np.random.default_rng(0).standard_normal((4, 3, 32, 32), np.float32)
HERE = Path(__file__).parent


def network(seed: int = 0) -> MultiTaskNet:
    torch.manual_seed(seed)
    return create_model("tiny", TASKS)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "net.safetensors"
    write_checkpoint(path, network(), INFO)
    return path


@pytest.fixture
def pair(original: Path, tmp_path: Path) -> Path:
    """A copy of a checkpoint and its graph, to be harmed."""
    for file in (original, original.with_suffix(".onnx")):
        shutil.copy(file, tmp_path)
    return tmp_path / original.name


def answers(path: Path) -> list[float]:
    info, graph, weights, _ = read_graph(path)
    raw = OnnxBackend(graph, info, weights)(FACES)
    return [float(v) for name in sorted(raw) for v in raw[name].ravel()]


def refused(path: Path) -> str:
    """The one sentence that reading gives."""
    with pytest.raises(CheckpointError) as caught:
        answers(path)
    return str(caught.value)


def change(path: Path, harm: Callable[[onnx.ModelProto], None]) -> str:
    """Let a graph be changed, keep its record, and give what reading says."""
    file = path.with_suffix(".onnx")
    model = unsealed(file)
    harm(model)
    file.write_bytes(model.SerializeToString())
    return refused(path)


def unsealed(file: Path) -> onnx.ModelProto:
    """A graph without its seal, to be changed on purpose."""
    model = onnx.load_from_string(file.read_bytes())
    assert model.metadata_props.pop().key == SEAL_KEY
    return model


def locate(tensor: onnx.TensorProto, **places: str) -> None:
    """Set what an external tensor says of where it lies."""
    for entry in tensor.external_data:
        entry.value = places.get(entry.key, entry.value)


def test_a_pair_may_be_renamed_moved_and_linked_to(
    original: Path, pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answers(original)
    folder = tmp_path / "another folder"
    folder.mkdir()
    for suffix in (".safetensors", ".onnx"):
        pair.with_suffix(suffix).rename(folder / f"best{suffix}")
        (tmp_path / f"link{suffix}").symlink_to(folder / f"best{suffix}")
    assert answers(folder / "best.safetensors") == expected
    assert answers(tmp_path / "link.safetensors") == expected
    monkeypatch.chdir(folder)
    assert answers(Path("best.safetensors")) == expected


def test_nothing_is_read_from_the_working_directory(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime looks there for a graph that it was given as bytes."""
    expected = answers(pair)
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    (decoy / pair.name).write_bytes(bytes(len(pair.read_bytes())))
    monkeypatch.chdir(decoy)
    assert answers(pair) == expected
    info, graph, _, _ = read_graph(pair)
    with pytest.raises(CheckpointError, match="cannot load it") as caught:
        OnnxBackend(graph, info)
    assert str(caught.value.__cause__) == "its weights are not given"  # before ONNX Runtime looks


def test_a_changed_header_without_a_new_graph_is_one_sentence(pair: Path) -> None:
    """As a calibration would: the header grows, every offset shifts."""
    data = pair.read_bytes()
    header, _ = safetensors_header(data)
    pair.write_bytes(save(load(data), header["__metadata__"] | {"note": "longer"}))
    said = refused(pair)
    assert "was made for other weights" in said
    assert f"agegenderemo export --checkpoint {pair}" in said
    write_graph(pair)
    assert answers(pair)


def test_a_flipped_bit_of_the_graph_is_one_sentence(pair: Path) -> None:
    """Without the seal some of them are another offset or number, and other answers."""
    expected = answers(pair)
    file = pair.with_suffix(".onnx")
    whole = file.read_bytes()
    sealed_at = whole.index(SEAL_KEY.encode())
    for at in np.random.default_rng(0).integers(sealed_at, size=300).tolist():
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        file.write_bytes(data)
        assert "damaged or not a graph" in refused(pair)
    # A seal that is not known as one any more is that of an older graph, which has none.
    file.write_bytes(whole.replace(SEAL_KEY.encode(), SEAL_KEY.encode()[::-1]))
    assert answers(pair) == expected


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_graph_is_one_sentence(pair: Path, share: float) -> None:
    file = pair.with_suffix(".onnx")
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    assert "damaged or not a graph" in refused(pair)


def test_a_kill_between_the_two_files_is_one_sentence(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def killed(path: Path, data: bytes) -> None:
        if written:
            raise KeyboardInterrupt
        path.write_bytes(data)
        written.append(path)

    monkeypatch.setattr(agegenderemo.export.onnx, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(pair, network(1), INFO)
    assert written == [pair]
    assert "was made for other weights" in refused(pair)
    monkeypatch.undo()
    write_checkpoint(pair, network(1), INFO)
    assert answers(pair)


def test_a_graph_that_answers_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = agegenderemo.export.onnx.linked_graph

    def swapped(*given: Any) -> bytes:
        model = onnx.load_from_string(linked(*given))
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        a, b = (tensors[f"heads.{name}.0.weight"] for name in ("age", "gender"))
        a.external_data[1].value, b.external_data[1].value = (
            b.external_data[1].value, a.external_data[1].value,
        )  # fmt: skip
        return bytes(model.SerializeToString())

    monkeypatch.setattr(agegenderemo.export.onnx, "linked_graph", swapped)
    with pytest.raises(ParityError, match="age differs"):
        write_checkpoint(tmp_path / "net.safetensors", network(), INFO)
    assert list(tmp_path.iterdir()) == []


def test_writing_leaves_the_network_as_it_is(tmp_path: Path) -> None:
    model = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    write_checkpoint(tmp_path / "net.safetensors", model, INFO)
    after = model.state_dict()
    assert all(after[key].dtype == value.dtype for key, value in before.items())
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_a_missing_graph_is_made_on_the_fly_and_not_written(original: Path, pair: Path) -> None:
    pair.with_suffix(".onnx").unlink()
    assert answers(pair) == answers(original)
    assert not pair.with_suffix(".onnx").exists()


def test_a_missing_graph_without_torch_is_one_sentence(pair: Path) -> None:
    pair.with_suffix(".onnx").unlink()
    code = f"""
import sys
sys.modules["torch"] = None
from pathlib import Path
from agegenderemo.errors import CheckpointError
from agegenderemo.inference.graph import read_graph
try:
    read_graph(Path({str(pair)!r}))
except CheckpointError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE.parent, check=True
    )
    assert "there is no torch here" in result.stdout
    assert f"agegenderemo export --checkpoint {pair}" in result.stdout


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../net.safetensors", "sub/net.safetensors", "..", "", "C:net", "a\\b"]
)
def test_only_a_plain_name_may_be_named(pair: Path, name: str) -> None:
    def harm(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            locate(tensor, location=name)

    assert "point elsewhere" in change(pair, harm)


@pytest.mark.parametrize("name", ["/etc/passwd", "other.safetensors", "*/_ORT_MEM_ADDR_/*"])
def test_only_one_file_may_be_named(pair: Path, name: str) -> None:
    said = change(pair, lambda model: locate(model.graph.initializer[0], location=name))
    assert "point elsewhere" in said


def outside(name: str) -> onnx.TensorProto:
    tensor = onnx.TensorProto(
        name="x", dims=[1], data_type=onnx.TensorProto.FLOAT,
        data_location=onnx.TensorProto.EXTERNAL,
    )  # fmt: skip
    for key, value in (("location", name), ("offset", "0"), ("length", "4")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def in_a_constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["x"], value=outside("/etc/passwd")))


def in_a_branch(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [], [outside("/etc/passwd")])
    deeper = helper.make_graph(
        [helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)],
        "deeper", [], [],
    )  # fmt: skip
    model.graph.node.append(helper.make_node("Loop", [], ["z"], body=deeper))


def in_a_sparse_one(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(outside("/etc/passwd"))


def in_a_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["x"], value=outside("/etc/passwd"))
    model.functions.append(helper.make_function("d", "f", [], ["x"], [node], []))


@pytest.mark.parametrize("harm", [in_a_constant, in_a_branch, in_a_sparse_one, in_a_function])
def test_a_file_cannot_be_named_anywhere(
    pair: Path, harm: Callable[[onnx.ModelProto], None]
) -> None:
    assert "point elsewhere" in change(pair, harm)


@pytest.mark.parametrize(
    "places",
    [{"offset": "0"}, {"offset": str(2**40)}, {"length": str(2**40)}, {"offset": "-8"},
     {"length": "-1"}, {"offset": "many"}],
)  # fmt: skip
def test_offsets_lie_within_the_weights(pair: Path, places: dict[str, str]) -> None:
    said = change(pair, lambda model: locate(model.graph.initializer[-1], **places))
    assert "cannot be used, because" in said


def test_a_graph_that_lacks_a_place_is_refused(pair: Path) -> None:
    said = change(pair, lambda model: model.graph.initializer[0].external_data.pop() and None)
    assert "has no length" in said


def test_a_whole_graph_is_not_taken_for_a_linked_one(pair: Path) -> None:
    assert "holds no tensor" in change(pair, lambda model: model.graph.ClearField("initializer"))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
def test_a_truncated_graph_is_refused(pair: Path, share: float) -> None:
    file = pair.with_suffix(".onnx")
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    said = refused(pair)
    assert "damaged" in said
    assert "agegenderemo export" in said


def test_no_truncation_of_a_graph_loads(pair: Path) -> None:
    data = pair.with_suffix(".onnx").read_bytes()
    rng = np.random.default_rng(0)
    for cut in rng.integers(0, len(data), 40):
        pair.with_suffix(".onnx").write_bytes(data[:cut])
        refused(pair)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.999])
def test_truncated_weights_are_refused(pair: Path, share: float) -> None:
    data = pair.read_bytes()
    pair.write_bytes(data[: int(len(data) * share)])
    assert "damaged or not a checkpoint" in refused(pair)


def test_missing_weights_are_one_sentence(pair: Path) -> None:
    pair.unlink()
    assert refused(pair) == f"There is no checkpoint at {pair}."


def rebind(path: Path) -> None:
    """Let the graph believe in the weights as they are."""
    file = path.with_suffix(".onnx")
    model = unsealed(file)
    (entry,) = model.metadata_props
    record = json.loads(entry.value) | {HASH_KEY: sha256(path.read_bytes())}
    entry.value = json.dumps(record)
    file.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("bits", "says"), [(0x7E00, "no numbers"), (0x7C00, "no numbers"), (0xFC00, "no numbers"),
                       (0x0000, "nothing but zeros"), (0x8000, "nothing but zeros")],
)  # fmt: skip
def test_zeros_and_no_numbers_are_refused(pair: Path, bits: int, says: str) -> None:
    data = bytearray(pair.read_bytes())
    header, start = safetensors_header(bytes(data))
    begin, end = header["heads.age.0.weight"]["data_offsets"]
    data[start + begin : start + end] = np.full((end - begin) // 2, bits, "<u2").tobytes()
    pair.write_bytes(data)
    rebind(pair)
    said = refused(pair)
    assert says in said
    assert "heads.age.0.weight" in said


def test_a_record_of_other_tasks_is_refused(pair: Path) -> None:
    def harm(model: onnx.ModelProto) -> None:
        (entry,) = model.metadata_props
        record = json.loads(entry.value)
        record["tasks"] = record["tasks"][:1]
        entry.value = json.dumps(record)

    assert "its tasks are age" in change(pair, harm)


def test_a_graph_in_another_precision_is_not_taken_for_the_float_one(pair: Path) -> None:
    """Its answers would be named float."""

    def harm(model: onnx.ModelProto) -> None:
        (entry,) = model.metadata_props
        entry.value = json.dumps(json.loads(entry.value) | {PRECISION_KEY: "int8"})

    assert "cannot be used, because it computes in int8" in change(pair, harm)


def test_the_small_reader_reads_what_onnx_wrote(original: Path) -> None:
    data = original.with_suffix(".onnx").read_bytes()
    model = onnx.load_from_string(data)
    assert metadata(data) == {one.key: one.value for one in model.metadata_props}
    assert set(json.loads(metadata(data)[META_KEY])) > {"model", "tasks", HASH_KEY}
    found = {(t.location, t.offset, t.length) for t in external_tensors(data)}
    places = ({e.key: e.value for e in t.external_data} for t in model.graph.initializer)
    with pytest.raises(ValueError, match="cut off"):
        external_tensors(data[:-3])
    assert found == {(p["location"], int(p["offset"]), int(p["length"])) for p in places}
