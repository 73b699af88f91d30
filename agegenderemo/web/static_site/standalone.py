"""A graph that needs nothing beside it, from one that is linked to a safetensors file.

What a linked int8 graph computes of the file once, when a session begins (kernels in int8, from
those in float), is computed here and written into it; so its answers stay what they were, and it is
smaller than the file. Neither torch nor the package onnx is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agegenderemo.inference.protobuf import external_tensor, field_bytes, fields, message_of
from agegenderemo.model_info import SEAL_KEY, sealed
from agegenderemo.runtime import constants

# Fields of onnx.proto.
_GRAPH, _METADATA = 7, 14  # of a model
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 1, 5, 11, 12, 13  # of a graph
_NODE_INPUT, _NODE_OUTPUT, _OP_TYPE = 1, 2, 4
_NAME = 1  # of a value
_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 9, 13, 14
_DATA_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "float16": 10}

_KEPT = ("DequantizeLinear", "Constant")
"""Constant nodes that stay: the first says to the engine that it may compute in int8."""

_Part = tuple[int, int | memoryview]


@dataclass(frozen=True, slots=True)
class _Node:
    data: memoryview
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def standalone(graph: bytes, weights: bytes | None) -> bytes:
    """The graph with its weights in it, sealed; one without a file beside it is given back.

    Raises ValueError for other bytes.
    """
    if weights is None:
        return graph
    model = list(fields(memoryview(graph)))
    (parts,) = [list(fields(message_of(value))) for number, value in model if number == _GRAPH]
    whole = field_bytes(_GRAPH, _whole(parts, model, memoryview(weights)))
    rest = b"".join(
        whole if number == _GRAPH else field_bytes(number, value)
        for number, value in model
        if not (number == _METADATA and _text(message_of(value), _NAME) == SEAL_KEY)
    )
    return sealed(rest)


def _whole(parts: Sequence[_Part], model: Sequence[_Part], weights: memoryview) -> bytes:
    """The graph of these parts without nodes that compute what is always the same."""
    nodes = [_node(message_of(value)) for number, value in parts if number == _NODE]
    held = [message_of(value) for number, value in parts if number == _INITIALIZER]
    tensors = {_text(one, _TENSOR_NAME): one for one in held}
    folded, stay = _split(nodes, tensors)
    asked = {_text(message_of(value), _NAME) for number, value in parts if number == _OUTPUT}
    asked.update(name for node in stay for name in node.inputs)
    edge = sorted({name for node in folded for name in node.outputs} & asked)
    inlined = {name: _inlined(tensor, weights) for name, tensor in tensors.items()}
    side = _graph_of(folded, [node for node in stay if node.op_type == "Constant"], inlined, edge)
    header = b"".join(field_bytes(n, v) for n, v in model if n not in (_GRAPH, _METADATA))
    found = constants(header + field_bytes(_GRAPH, side)) if edge else {}
    inlined = {name: data for name, data in inlined.items() if name in asked}
    inlined |= {name: _tensor(name, found[name]) for name in edge}
    return b"".join(
        [
            *(field_bytes(_NODE, node.data) for node in stay),
            *(field_bytes(_INITIALIZER, inlined[name]) for name in sorted(inlined)),
            *(
                field_bytes(number, value)
                for number, value in parts
                if number not in (_NODE, _INITIALIZER, _VALUE_INFO)
            ),
        ]
    )


def _split(
    nodes: Sequence[_Node], tensors: Mapping[str, memoryview]
) -> tuple[list[_Node], list[_Node]]:
    """Nodes that compute what is always the same, and the others, each in their order.

    A weight that is only cast stays as it is, with its cast: it is half as large.
    """
    fixed = set(tensors)
    constant = []
    for node in nodes:
        if node.op_type == "Constant" or set(node.inputs) - {""} <= fixed:
            fixed.update(node.outputs)
            constant.append(node)
    readers: dict[str, list[_Node]] = {}
    for node in nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    folded = []
    for node in constant:
        used = [reader for name in node.outputs for reader in readers.get(name, ())]
        only_cast = node.op_type == "Cast" and set(node.inputs) <= set(tensors)
        if node.op_type in _KEPT or (only_cast and not any(one in constant for one in used)):
            continue
        folded.append(node)
    return folded, [node for node in nodes if node not in folded]


def _graph_of(
    nodes: Sequence[_Node], before: Sequence[_Node], tensors: Mapping[str, bytes], out: list[str]
) -> bytes:
    """A graph without inputs that answers ``out``."""
    used = {name for node in nodes for name in node.inputs}
    return b"".join(
        [
            *(field_bytes(_NODE, node.data) for node in (*before, *nodes)),
            field_bytes(2, b"constants"),
            *(field_bytes(_INITIALIZER, tensors[name]) for name in sorted(used & set(tensors))),
            *(field_bytes(_OUTPUT, field_bytes(_NAME, name.encode())) for name in out),
        ]
    )


def _node(data: memoryview) -> _Node:
    parts = list(fields(data))
    (op_type,) = _texts(parts, _OP_TYPE)
    return _Node(data, op_type, _texts(parts, _NODE_INPUT), _texts(parts, _NODE_OUTPUT))


def _texts(parts: Sequence[_Part], wanted: int) -> tuple[str, ...]:
    return tuple(bytes(message_of(value)).decode() for number, value in parts if number == wanted)


def _text(message: memoryview, wanted: int) -> str:
    """A text field; empty where it is missing."""
    return "".join(_texts(list(fields(message)), wanted)[-1:])


def _inlined(tensor: memoryview, weights: memoryview) -> bytes:
    """A tensor that holds its numbers itself."""
    place = external_tensor(tensor)
    if place is None:
        return bytes(tensor)
    data = weights[place.offset : place.offset + place.length]
    kept = (_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION)
    body = b"".join(field_bytes(n, v) for n, v in fields(tensor) if n not in kept)
    return body + field_bytes(_RAW_DATA, data)


def _tensor(name: str, values: NDArray[Any]) -> bytes:
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    return b"".join(
        [
            *(field_bytes(_DIMS, size) for size in values.shape),
            field_bytes(_DATA_TYPE, _DATA_TYPES[values.dtype.name]),
            field_bytes(_TENSOR_NAME, name.encode()),
            field_bytes(_RAW_DATA, little.tobytes()),
        ]
    )
