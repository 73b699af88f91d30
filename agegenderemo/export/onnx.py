"""A network as an ONNX graph: linked to its safetensors file, or whole.

A graph has one input, ``faces`` (N×3×S×S float32, normalised as the checkpoint's input says), and
an output for each task, by its name: (N,) numbers or logits, or (N, K) logits. Its metadata holds
the record of the checkpoint under `META_KEY`.

A linked graph holds no weights. Its tensors point into the safetensors file beside it, by offset,
and are cast to float inside; the record has ``weights_sha256`` in addition, for a file that was
written anew has other offsets, and they would be read as numbers without a word.
"""

import copy
import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agegenderemo.errors import CheckpointError, ParityError
from agegenderemo.files import safetensors_header, sha256, write_atomically
from agegenderemo.model_info import HASH_KEY, META_KEY, ModelInfo, sealed
from agegenderemo.models.checkpoint import checkpoint_bytes, load_checkpoint, with_parameters
from agegenderemo.models.heads import MultiTaskNet
from agegenderemo.runtime import Session

INPUT = "faces"
TOLERANCE = 1e-3
"""Of the range of each output: how far two engines may be apart."""

RawOutputs = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]
"""N×3×S×S normalised float32 faces to the raw outputs by the name of the task."""

_OPSET = 18
_CHECKED = 16  # random faces that every new graph is checked on
_LEGACY = "heads."  # checkpoints of 0.1 hold the heads without it
_NARROWEST = 1e-2  # of an output's size: an untrained network says nearly the same of every face
PREFIX = "model"
"""Before the names of a network's tensors in its graph."""
_ONNX_TYPES = {"F16": onnx.TensorProto.FLOAT16, "F32": onnx.TensorProto.FLOAT}


def to_graph(
    module: nn.Module,
    example: Tensor,
    outputs: Sequence[str],
    free: Sequence[int] = (0,),
    *,
    fold: bool = True,
) -> bytes:
    """A module of one input, named `INPUT`, as a serialised graph.

    ``free`` are the axes of the input and of each output that may have any length. With ``fold``
    batch norms become part of their convolutions; without it every tensor of the module's state is
    in the graph as it is, under its own name.

    Raises CheckpointError for a module of which no graph can be made.
    """
    stream = io.BytesIO()
    names = (INPUT, *outputs)
    keep: dict[str, Any] = {
        "training": torch.onnx.TrainingMode.PRESERVE,
        "do_constant_folding": False,
    }
    with warnings.catch_warnings():
        # The tracing exporter is the old one, but takes one second where the new one takes
        # fifteen, and the graph is no slower.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module.eval(),
                (example,),
                stream,  # type: ignore[arg-type]
                input_names=[INPUT],
                output_names=list(outputs),
                dynamic_axes={name: {axis: f"{name}_{axis}" for axis in free} for name in names},
                opset_version=_OPSET,
                dynamo=False,
                **({} if fold else keep),
            )
        except Exception as error:  # the exporter raises whatever an operator leads to
            why = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(" .")
            raise CheckpointError(
                f"No ONNX graph can be made of this network for faces of {example.shape[-1]} "
                f"pixels: {why}."
            ) from error
    return stream.getvalue()


def whole_graph(model: MultiTaskNet, info: ModelInfo) -> bytes:
    """A network in float32 as one graph that needs nothing beside it."""
    graph = onnx.load_from_string(_traced(model, info.input.size, fold=True))
    set_record(graph, with_parameters(info, model).to_dict())
    return bytes(graph.SerializeToString())


def check_export(model: MultiTaskNet, size: int) -> None:
    """Raises CheckpointError where no graph can be made of a network that reads ``size`` × ``size``
    pixels; the network is in evaluation mode afterwards."""
    _traced(model, size, fold=False)


def linked_graph(model: MultiTaskNet, info: ModelInfo, weights: bytes, name: str) -> bytes:
    """The graph whose tensors point into ``weights``, a safetensors file of this network that will
    lie beside it under ``name``.

    Raises CheckpointError when the file's tensors are not those of the network.
    """
    graph = onnx.load_from_string(_traced(model, info.input.size, fold=False))
    try:
        header, start = safetensors_header(weights)
    except ValueError as error:
        raise CheckpointError(f"{name} cannot be linked, because {error}.") from error
    state = model.state_dict()
    for tensor in graph.graph.initializer:
        key = tensor.name.removeprefix(f"{PREFIX}.")
        if key in state:
            cast = link_tensor(tensor, key, entry_of(header, key, state[key]), (name, start))
            graph.graph.node.insert(0, cast)
    record = with_parameters(info, model).to_dict()
    set_record(graph, record | {HASH_KEY: sha256(weights)})
    return bytes(graph.SerializeToString())


def write_graph(path: Path) -> Path:
    """Make the linked graph of a checkpoint and write it beside it, with the suffix ``.onnx``.

    Raises CheckpointError when the checkpoint cannot be used or the disk refuses, and ParityError
    when the graph does not answer like the network.
    """
    graph = graph_of(path)
    write_atomically(path.with_suffix(".onnx"), sealed(graph))
    return path.with_suffix(".onnx")


def graph_of(path: Path) -> bytes:
    """The checked linked graph of a checkpoint; raises what `write_graph` does."""
    checkpoint = load_checkpoint(path)
    return _checked(checkpoint.model, checkpoint.info, path.read_bytes(), path.name)


def write_checkpoint(path: Path, model: MultiTaskNet, info: ModelInfo) -> None:
    """Write the weights of a network, in half precision, and their graph beside them.

    Nothing is written before the graph is checked. Each file is replaced whole, the weights first:
    whoever finds new weights beside the old graph is told so by the hash, and
    ``agegenderemo export`` makes the graph anew.

    Raises CheckpointError when the disk refuses or a weight is no finite number, and ParityError
    when the graph does not answer like the network.
    """
    weights = checkpoint_bytes(model, info)
    # What is written is rounded to half precision; the graph must answer like that.
    rounded = copy.deepcopy(model).cpu().half().float()
    graph = _checked(rounded, info, weights, path.name)
    write_atomically(path, weights)
    write_atomically(path.with_suffix(".onnx"), sealed(graph))


@torch.inference_mode()
def check_parity(
    model: MultiTaskNet, backend: RawOutputs, faces: NDArray[np.float32]
) -> dict[str, float]:
    """Largest distance between network and backend over N normalised faces by the name of the task,
    as a share of the range of its output over them.

    Raises ParityError when one is above `TOLERANCE`.
    """
    ours, theirs = model.eval()(torch.from_numpy(faces)).predictions, backend(faces)
    apart = {name: _share(value.numpy(), theirs[name]) for name, value in ours.items()}
    if not all(share <= TOLERANCE for share in apart.values()):  # a NaN fails too
        raise ParityError(
            "ONNX Runtime does not answer like the network: "
            + ", ".join(f"{name} differs by {share:.2%}" for name, share in apart.items())
            + " of its range; use the torch engine."
        )
    return apart


class _Plain(nn.Module):
    """Outputs as a tuple in the order of the tasks, which is what the exporter traces."""

    def __init__(self, model: MultiTaskNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, faces: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model(faces).predictions.values())


def _traced(model: MultiTaskNet, side: int, fold: bool) -> bytes:
    names = [spec.name for spec in model.tasks]
    return to_graph(_Plain(model), torch.zeros(2, 3, side, side), names, fold=fold)


def _checked(model: MultiTaskNet, info: ModelInfo, weights: bytes, name: str) -> bytes:
    graph = linked_graph(model, info, weights, name)
    session = Session(graph, {name: weights})
    side = info.input.size
    faces = np.random.default_rng(0).standard_normal((_CHECKED, 3, side, side), np.float32)
    check_parity(model, lambda x: dict(zip(session.outputs, session.run(x), strict=True)), faces)
    return graph


def entry_of(header: Mapping[str, Any], key: str, value: Tensor) -> Mapping[str, Any]:
    """Where a tensor of the network lies in the file."""
    entry = header.get(key) or header.get(key.removeprefix(_LEGACY))
    if entry is None or entry["shape"] != list(value.shape) or entry["dtype"] not in _ONNX_TYPES:
        raise CheckpointError(f"The weights hold no {key} like that of the network.")
    return dict(entry)


def link_tensor(
    tensor: onnx.TensorProto, key: str, entry: Mapping[str, Any], file: tuple[str, int]
) -> onnx.NodeProto:
    """Let a tensor, from now on named ``key``, point into the file, of this name and start of its
    tensors; the node that makes it float again under the name that it had."""
    begin, end = entry["data_offsets"]
    used_as = tensor.name
    tensor.Clear()
    tensor.name = key
    tensor.dims.extend(entry["shape"])
    tensor.data_type = _ONNX_TYPES[entry["dtype"]]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    name, start = file
    place = {"location": name, "offset": str(start + begin), "length": str(end - begin)}
    for item, value in place.items():
        tensor.external_data.add(key=item, value=value)
    return onnx.helper.make_node("Cast", [key], [used_as], to=onnx.TensorProto.FLOAT)


def set_record(graph: onnx.ModelProto, record: Mapping[str, Any]) -> None:
    """Let a graph carry a record, in plain JSON types."""
    graph.metadata_props.add(key=META_KEY, value=json.dumps(record))


def _share(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    span = max(float(np.ptp(a)), _NARROWEST * float(np.abs(a).max()), 1e-6)
    return float(np.abs(a - b).max() / span)
