"""As much of protobuf and of ONNX as tells what a graph says of itself and which files it names,
and as writes a changed one.

The ``onnx`` package is 20 MB and 0.2 s for what a few fields hold.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # wire types
_MAX_DEPTH = 32  # graphs within graphs

# Fields of onnx.proto that lead to tensors, by message.
_ROADS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_METADATA = 14  # of a model: pairs of text
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor


@dataclass(frozen=True, slots=True)
class ExternalTensor:
    """Where a tensor says that its numbers lie: a file, and bytes of it."""

    location: str
    offset: int
    length: int


def metadata(model: bytes) -> dict[str, str]:
    """The text by name that a serialised ONNX model carries; raises ValueError for other bytes."""
    return dict(_pair(value) for number, value in fields(memoryview(model)) if number == _METADATA)


def external_tensors(model: bytes) -> list[ExternalTensor]:
    """Every tensor of a serialised ONNX model, in whatever part, that lies in another file.

    Raises ValueError for other bytes, or a tensor that does not say where it lies.
    """
    found = (external_tensor(tensor) for tensor in _tensors(memoryview(model), "model", 0))
    return [one for one in found if one is not None]


def _tensors(message: memoryview, kind: str, depth: int) -> Iterator[memoryview]:
    if depth > _MAX_DEPTH:
        raise ValueError("graphs are nested too deeply")
    for number, value in fields(message):
        inner = _ROADS[kind].get(number)
        if inner is None:
            continue
        part = message_of(value)
        if inner == "tensor":
            yield part
        else:
            yield from _tensors(part, inner, depth + (inner == "graph"))


def external_tensor(tensor: memoryview) -> ExternalTensor | None:
    """Where a TensorProto's numbers lie; None where it holds them itself."""
    places: dict[str, str] = {}
    elsewhere = False
    for number, value in fields(tensor):
        if number == _EXTERNAL_DATA:
            key, text = _pair(value)
            places[key] = text
        elif number == _DATA_LOCATION:
            elsewhere = value == 1
    if not (elsewhere or places):
        return None
    try:
        return ExternalTensor(places["location"], int(places["offset"]), int(places["length"]))
    except KeyError as error:
        raise ValueError(f"an external tensor has no {error.args[0]}") from error


def _pair(value: int | memoryview) -> tuple[str, str]:
    """A StringStringEntry."""
    parts = dict(fields(message_of(value)))
    return tuple(bytes(message_of(parts.get(n, memoryview(b"")))).decode() for n in (1, 2))  # type: ignore[return-value]


def message_of(value: int | memoryview) -> memoryview:
    """The bytes of a field; raises ValueError for a number."""
    if isinstance(value, int):
        raise ValueError("a number stands where a message is wanted")
    return value


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an integer, or the bytes of a string or message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            length, at = _varint(message, at)
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if wire == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"unknown wire type {wire}")
        if at + length > len(message):
            raise ValueError("a field is cut off")
        yield tag >> 3, message[at : at + length]
        at += length


def field_bytes(number: int, value: int | bytes | memoryview) -> bytes:
    """A field as `fields` reads it: an integer as a varint, anything else with its length."""
    if isinstance(value, int):
        return _varint_bytes(number << 3 | _VARINT) + _varint_bytes(value)
    return _varint_bytes(number << 3 | _BYTES) + _varint_bytes(len(value)) + bytes(value)


def _varint_bytes(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """An integer, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("a number is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is too long")
