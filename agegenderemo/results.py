"""Results as JSON and table rows: the one shape that the command line and the app give out."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from agegenderemo.tasks import TaskSpec, class_columns, csv_columns, json_keys
from agegenderemo.types import QUALITY_FLAGS, Face, RGBImage

SCHEMA_VERSION = 2
"""Of the JSON record and the CSV columns; 1 was before the keys of 0.2 (see CHANGELOG.md)."""

SEARCHES = ("plain", "thorough")
"""How a picture was searched in the end."""

_BEFORE = ("file", "face", "x1", "y1", "x2", "y2", "score")
_AFTER = ("quality_flags", "error")
_NETWORK_MEANINGS = {
    "model": "name of the network",
    "precision": "what its convolutions are computed in: float or int8",
    "weights_sha256": "SHA-256 of its weights",
}
NETWORK_COLUMNS = tuple(_NETWORK_MEANINGS)


def csv_fields(tasks: Sequence[TaskSpec]) -> tuple[str, ...]:
    """The columns of a CSV row for a network with these tasks, in their order."""
    return (
        *_BEFORE,
        *(column for spec in tasks for column in csv_columns(spec)),
        *_AFTER,
        *NETWORK_COLUMNS,
    )


def picture_record(
    name: str,
    image: RGBImage,
    faces: Sequence[Face],
    search: str,
    network: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """One analysed picture as plain JSON types, see `json_schema`; ``search`` is how it was
    searched, of `SEARCHES`, ``network`` that of the analyzer, which says what gave the answers."""
    height, width = image.shape[:2]
    return {
        "schema_version": SCHEMA_VERSION,
        "file": plain_name(name),
        "width": width,
        "height": height,
        "search": search,
        "faces": [face.to_dict() for face in faces],
        **({"network": dict(network)} if network else {}),
    }


def error_record(name: str, error: Exception | str) -> dict[str, Any]:
    """A picture that could not be read."""
    return {
        "schema_version": SCHEMA_VERSION,
        "file": plain_name(name),
        "error": plain_name(str(error)),
    }


def plain_name(name: str) -> str:
    """A file name that every program can write: bytes that are not UTF-8, for which Python has
    lone surrogates, stand as their escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


class JsonLines:
    """Writes one JSON line a record, each at once; nothing where there is no stream."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, record: dict[str, Any]) -> None:
        if self._stream:
            print(json.dumps(record), file=self._stream, flush=True)


class CsvTable:
    """Writes the rows of `csv_rows`, each at once, below a line of names; nothing where there is
    no stream. What the stream's encoding lacks is written as an escape."""

    def __init__(self, stream: TextIO | None, tasks: Sequence[TaskSpec]) -> None:
        self._stream, self._tasks = stream, tasks
        self._buffer = io.StringIO()
        self._writer = csv.DictWriter(self._buffer, csv_fields(tasks))
        self._writer.writeheader()
        self._flush()

    def write(self, record: dict[str, Any]) -> None:
        self._writer.writerows(csv_rows(record, self._tasks))
        self._flush()

    def _flush(self) -> None:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        if self._stream:
            encoding = self._stream.encoding
            text = text.encode(encoding, "backslashreplace").decode(encoding)
            self._stream.write(text)
            self._stream.flush()


def csv_rows(record: dict[str, Any], tasks: Sequence[TaskSpec]) -> Iterator[dict[str, Any]]:
    """Rows of one record by `csv_fields`: a row a face, one for no face, one for an error."""
    name = no_formula(record["file"])
    if not record.get("faces"):
        error = no_formula(record.get("error", ""))
        yield {"file": name, "error": error, **record.get("network", {})}
    for number, face in enumerate(record.get("faces", ()), start=1):
        row = {"file": name, "face": number, "score": face["score"]}
        row |= zip(("x1", "y1", "x2", "y2"), face["box"], strict=True)
        for spec in tasks:
            row |= _task_cells(face, spec)
        row["quality_flags"] = "; ".join(face["quality_flags"])
        yield row | record.get("network", {})


def _task_cells(face: dict[str, Any], spec: TaskSpec) -> dict[str, Any]:
    cells = {key: face[key] for key in csv_columns(spec) if key in json_keys(spec)}
    if spec.kind == "regression" and face[f"{spec.name}_interval"]:
        ends = (f"{spec.name}_low", f"{spec.name}_high")
        cells |= zip(ends, face[f"{spec.name}_interval"], strict=True)
    if spec.kind == "categorical":
        cells |= zip(class_columns(spec), face[spec.probabilities_key].values(), strict=True)
    return cells


def no_formula(name: str) -> str:
    """A file name that a spreadsheet does not take for a formula."""
    return (
        f"'{name}"
        if name.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))
        else name
    )


def json_schema(tasks: Sequence[TaskSpec]) -> dict[str, Any]:
    """JSON Schema (2020-12) of the record of a picture for a network with these tasks.

    >>> from agegenderemo.tasks import DEFAULT_TASKS
    >>> json_schema(DEFAULT_TASKS)["$defs"]["face"]["properties"]["age"]["description"]
    'age in years'
    """
    number = {"type": "number"}
    pair = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
    properties: dict[str, Any] = {
        "box": {
            "description": "x1, y1, x2, y2 in pixels of the picture",
            "type": "array",
            "items": number,
            "minItems": 4,
            "maxItems": 4,
        },
        "score": {"description": "how sure the detector is", **_share()},
        "landmarks": {
            "description": "left and right eye, nose, left and right mouth corner of the upright "
            "face, x and y in pixels of the picture",
            "type": "array",
            "items": pair,
            "minItems": 5,
            "maxItems": 5,
        },
        "roll": {
            "description": "degrees that the face is turned clockwise in the picture: 0 is "
            "upright, 180 on its head",
            "type": "number",
            "minimum": -180,
            "maximum": 180,
        },
    }
    for spec in tasks:
        properties |= _task_properties(spec)
    properties["quality_flags"] = {
        "description": "why this answer may be worse than usual",
        "type": "array",
        "items": {"enum": list(QUALITY_FLAGS)},
    }
    face = {"type": "object", "properties": properties, "required": list(properties)}
    version = {"description": "version of this shape", "const": SCHEMA_VERSION}
    name = {"description": "name of the picture's file", "type": "string"}
    file = {"schema_version": version, "file": name}
    width, height = (
        {"description": f"{side} of the picture in pixels", "type": "integer", "minimum": 1}
        for side in ("width", "height")
    )
    faces = {
        "description": "the largest first",
        "type": "array",
        "items": {"$ref": "#/$defs/face"},
    }
    network = {
        "description": "what gave the answers",
        "type": "object",
        "properties": {
            key: {"description": what, "type": "string"} for key, what in _NETWORK_MEANINGS.items()
        },
        "required": list(_NETWORK_MEANINGS),
    }
    search = {
        "description": "thorough where also turned, brightened and enlarged copies were searched",
        "enum": list(SEARCHES),
    }
    given = {
        "description": "what the command line was given",
        "type": "object",
        "properties": {
            "bytes": {
                "description": "size of the picture's file",
                "type": "integer",
                "minimum": 0,
            },
            "modified": {
                "description": "when that was changed, in nanoseconds since 1970",
                "type": "integer",
            },
            "search": {
                "description": "the search that was asked for",
                "enum": ["auto", "thorough", "plain"],
            },
        },
    }
    read = {**file, "width": width, "height": height, "search": search, "faces": faces}
    failed = {**file, "error": {"description": "one sentence", "type": "string"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "oneOf": [
            {
                "type": "object",
                "properties": {**one, "network": network, "input": given},
                "required": list(one),
            }
            for one in (read, failed)
        ],
        "$defs": {"face": face},
    }


def _share() -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": 1}


def _task_properties(spec: TaskSpec) -> dict[str, Any]:
    name = spec.name
    if spec.kind == "regression":
        what = f"{name} in {spec.unit}" if spec.unit else name
        return {
            name: {"description": what, "type": "number"},
            f"{name}_interval": {
                "description": "holds the true value of four in five such faces; null where the "
                "network is not calibrated",
                "type": ["array", "null"],
                "items": {"type": "number"},
                "minItems": 2,
                "maxItems": 2,
            },
            f"{name}_error": {
                "description": "mean absolute error of such faces",
                "type": ["number", "null"],
            },
        }
    label = {name: {"description": "the most probable class", "enum": list(spec.classes)}}
    confident = {
        f"{name}_confident": {
            "description": "whether the answer is more than a guess; null where the network is "
            "not calibrated",
            "type": ["boolean", "null"],
        }
    }
    if spec.kind == "binary":
        probability = {"description": f"of {name}", "type": "number", "minimum": 0.5, "maximum": 1}
        return {**label, f"{name}_probability": probability, **confident}
    classes = {one: _share() for one in spec.classes}
    return {
        **label,
        spec.probabilities_key: {
            "description": "probability of each class; they sum to one",
            "type": "object",
            "properties": classes,
            "required": list(classes),
        },
        **confident,
    }
