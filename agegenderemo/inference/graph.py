"""A checkpoint's files, weights and graphs, read and checked without torch.

``NAME.onnx`` lies beside ``NAME.safetensors``. Its tensors point into that file, under the name
that the file had when the graph was made; what holds the two together is the SHA-256 of the weights
in the graph, so that both may be renamed, moved or linked to.

``NAME.int8.onnx`` is the same network with convolutions in int8, linked to the same weights; or a
graph that holds its own and needs nothing beside it, but where the float weights are, they must be
those that it was made from.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agegenderemo.errors import CheckpointError
from agegenderemo.files import is_file, safetensors_header, sha256
from agegenderemo.inference.protobuf import ExternalTensor, external_tensors, metadata
from agegenderemo.model_info import (
    HASH_KEY,
    META_KEY,
    PRECISION_KEY,
    SEAL_KEY,
    ModelInfo,
    Precision,
    seal_holds,
)

# Sign, exponent and mantissa of the floats that weights are kept in, as unsigned integers.
_EXPONENTS = {"F16": ("<u2", 0x7C00), "F32": ("<u4", 0x7F800000)}


class Graph(NamedTuple):
    """What the files hold."""

    info: ModelInfo
    graph: bytes
    weights: bytes | None
    """The file that the graph points into; None for a graph that needs none."""
    digest: str
    """SHA-256 of the float weights."""


def graph_file(path: Path, precision: Precision) -> Path:
    """The graph of the checkpoint whose safetensors file is ``path``."""
    return path.with_suffix(".onnx" if precision == "float" else f".{precision}.onnx")


def read_graph(path: Path, precision: Precision = "float") -> Graph:
    """What the checkpoint whose safetensors file is ``path`` computes in a precision.

    Where there is no float graph it is made on the fly, in memory, by torch.

    Raises CheckpointError when the weights are missing, damaged, zeros or no numbers, when the
    graph was made for other weights or names any other file, when it is missing and torch is not at
    hand, and when there is no int8 graph.
    """
    if precision != "float":
        return _read_other(path, precision)
    weights = _read_weights(path)
    file = path.with_suffix(".onnx")
    if not is_file(file):
        from agegenderemo.inference.torch_backend import export_graph_on_the_fly

        return _checked(path, export_graph_on_the_fly(path), weights)
    try:
        graph = file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read ({error.strerror}).") from error
    return _checked(path, graph, weights)


def location(tensors: Sequence[ExternalTensor]) -> str | None:
    """The one file name that the external tensors of a graph give; None for a graph without any.

    Raises ValueError where they name several, or anything but a plain name.
    """
    names = {one.location for one in tensors}
    if not names:
        return None
    name = names.pop()
    if names or not name or name in (".", "..") or set(name) & set("/\\:\0"):
        raise ValueError("its tensors point elsewhere than into one file beside it")
    return name


def _read_other(path: Path, precision: Precision) -> Graph:
    """A graph in another precision than float, linked to the weights or whole."""
    file = graph_file(path, precision)
    remedy = _remedy(path, f" --{precision} --prepared DIR")
    try:
        graph = file.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no {precision} graph at {file}; make it with{remedy.partition('with')[2]}."
        ) from error
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read ({error.strerror}).") from error
    info, record = _record(file, graph, remedy)
    if record.get(PRECISION_KEY) != precision:
        raise CheckpointError(f"{file} is no {precision} graph; {remedy}.")
    tensors = _links(file, graph, remedy)
    weights = _read_weights(path) if tensors or is_file(path) else None
    if weights is not None and sha256(weights) != record[HASH_KEY]:
        raise CheckpointError(
            f"{file} was made from other weights than {path.name} holds; {remedy}."
        )
    if not tensors or weights is None:
        return Graph(info, graph, None, record[HASH_KEY])
    _check_places(file, tensors, weights, remedy)
    return Graph(info, graph, weights, record[HASH_KEY])


def _record(file: Path, graph: bytes, remedy: str) -> tuple[ModelInfo, dict[str, Any]]:
    """What a graph says of itself, as record and as plain JSON types with its digest."""
    try:
        entries = metadata(graph)
        # Older graphs have no seal.
        if SEAL_KEY in entries and not seal_holds(graph):
            raise ValueError("a byte of it has changed")
        record = json.loads(entries[META_KEY])
        info = ModelInfo.from_dict(record)
        if not isinstance(record[HASH_KEY], str):
            raise TypeError("a digest is text")
        return info, record
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{file} is damaged or not a graph of this package; {remedy}."
        ) from error


def _checked(path: Path, graph: bytes, weights: bytes) -> Graph:
    """Both, once it is sure that the graph fits the weights."""
    file = graph_file(path, "float")
    info, record = _record(file, graph, _remedy(path))
    if PRECISION_KEY in record:
        raise _unusable(file, f"it computes in {record[PRECISION_KEY]}", _remedy(path))
    digest = record[HASH_KEY]
    if digest != sha256(weights):
        raise CheckpointError(
            f"{file} was made for other weights than {path.name} holds; {_remedy(path)}."
        )
    tensors = _links(file, graph, _remedy(path))
    if not tensors:
        raise _unusable(file, "it holds no tensor of the weights", _remedy(path))
    _check_places(file, tensors, weights, _remedy(path))
    return Graph(info, graph, weights, digest)


def _links(file: Path, graph: bytes, remedy: str) -> list[ExternalTensor]:
    """The tensors of a graph that lie in another file; raises CheckpointError where that is not one
    file beside it."""
    try:
        tensors = external_tensors(graph)
        location(tensors)
        return tensors
    except ValueError as error:
        raise _unusable(file, error, remedy) from error


def _unusable(file: Path, reason: object, remedy: str) -> CheckpointError:
    return CheckpointError(f"{file} cannot be used, because {reason}; {remedy}.")


def _remedy(path: Path, options: str = "") -> str:
    return f"make it anew with: agegenderemo export{options} --checkpoint {path}"


def _check_places(
    file: Path, tensors: Sequence[ExternalTensor], weights: bytes, remedy: str
) -> None:
    _, start = safetensors_header(weights)
    for one in tensors:
        if one.offset < start or one.length < 0 or one.offset + one.length > len(weights):
            raise _unusable(file, "a tensor points outside the weights", remedy)


def _read_weights(path: Path) -> bytes:
    if not is_file(path):
        raise CheckpointError(f"There is no checkpoint at {path}.")
    try:
        weights = path.read_bytes()
        header, start = safetensors_header(weights)
        tensors = {key: entry for key, entry in header.items() if key != "__metadata__"}
        for key, entry in tensors.items():
            _check_weight(key, entry, weights, start)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from error
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be used: its {error}.") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint of this package.") from error
    return weights


def _check_weight(key: str, entry: Mapping[str, Any], weights: bytes, start: int) -> None:
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= len(weights) - start:
        raise ValueError(f"{key} is cut off")
    if entry["dtype"] not in _EXPONENTS:
        return
    # As integers: NumPy's own isfinite takes ten times as long for half precision.
    kind, exponent = _EXPONENTS[entry["dtype"]]
    size = np.dtype(kind).itemsize
    bits: NDArray[np.unsignedinteger] = np.frombuffer(
        weights, kind, (end - begin) // size, start + begin
    )
    if ((bits & exponent) == exponent).any():
        raise CheckpointError(f"{key} holds values that are no numbers")
    # A kernel of nothing but zeros is a hole in the file: training leaves none.
    if len(entry["shape"]) > 1 and not (bits << 1).any():
        raise CheckpointError(f"{key} holds nothing but zeros")
