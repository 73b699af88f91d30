"""What a checkpoint says of itself: the same record in its weights and in its graph."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from agegenderemo.files import sha256
from agegenderemo.tasks import (
    DEFAULT_TASKS,
    TaskCalibration,
    TaskSpec,
    by_name,
    calibration_from_dict,
    calibration_to_dict,
)
from agegenderemo.types import InputSpec

META_KEY = "agegenderemo"
"""Under which the record, as JSON text, stands in the metadata of safetensors and ONNX files."""

HASH_KEY = "weights_sha256"
"""What a graph's record has in addition: the digest of the safetensors file it was made for."""

PRECISION_KEY = "precision"
"""What the record of a graph in another precision than float has in addition: ``"int8"``."""

SEAL_KEY = "agegenderemo_sha256"
"""Under which a graph's metadata holds the digest of all bytes of the graph before it."""

Precision = Literal["float", "int8"]
"""What convolutions are computed in."""

_VERSION = 2


@dataclass(frozen=True)
class ModelInfo:
    """Family and options of a network, its tasks, what it wants to see, its calibration, and how
    it was made. ``parameters`` counts the numbers that it learns."""

    model: str
    tasks: tuple[TaskSpec, ...]
    input: InputSpec
    parameters: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the family's builder, beside the tasks."""
    calibration: Mapping[str, TaskCalibration] = field(default_factory=dict)
    """By the name of the task; a task that is not calibrated is absent."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """The whole training configuration."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Where the weights come from: faces of each training set, commit of the code, …"""

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("a network must have a task")
        unknown = set(self.calibration) - set(by_name(self.tasks))
        if unknown:
            raise ValueError(f"a calibration of tasks that the network lacks: {sorted(unknown)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "version": _VERSION,
            "model": self.model,
            "options": dict(self.options),
            "tasks": [spec.to_dict() for spec in self.tasks],
            "input": asdict(self.input),
            "parameters": self.parameters,
            "calibration": calibration_to_dict(self.calibration),
            "recipe": dict(self.recipe),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelInfo":
        """What `to_dict` gave, or what checkpoints of version 0.1 hold.

        Raises KeyError, TypeError or ValueError for anything else.
        """
        if "tasks" not in values:
            values = _from_version_1(values)
        if values.get("version", _VERSION) != _VERSION:
            raise ValueError(f"version {values['version']!r} of the record is not known here")
        tasks = tuple(map(TaskSpec.from_dict, values["tasks"]))
        spec = values["input"]
        input = InputSpec(
            int(spec["size"]),
            tuple(map(float, spec["mean"])),  # type: ignore[arg-type]
            tuple(map(float, spec["std"])),  # type: ignore[arg-type]
            spec["template"],
        )
        return cls(
            str(values["model"]),
            tasks,
            input,
            int(values.get("parameters", 0)),
            dict(values.get("options", {})),
            calibration_from_dict(values.get("calibration"), tasks),
            dict(values.get("recipe", {})),
            dict(values.get("provenance", {})),
        )


def sealed(graph: bytes) -> bytes:
    """A serialised ONNX graph with the digest of itself at its end, as one more entry of its
    metadata: a byte of it that is damaged changes answers without a word."""
    return graph + _seal(graph)


def seal_holds(graph: bytes) -> bool:
    """Whether the last bytes of a graph are the digest of all others."""
    body = graph[: -len(_seal(b""))]
    return graph == sealed(body)


def _seal(graph: bytes) -> bytes:
    # Protobuf, and every length below 128, so that each is one byte: field 14 of a model is a
    # message of a key (field 1) and a value (field 2).
    key, value = SEAL_KEY.encode(), sha256(graph).encode()
    pair = b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(value)]) + value
    return b"\x72" + bytes([len(pair)]) + pair


def _from_version_1(old: Mapping[str, Any]) -> dict[str, Any]:
    """Checkpoints of 0.1 knew three tasks, and two names that are others now."""
    labels = {
        spec.plural or f"{spec.name}s": list(spec.classes) for spec in DEFAULT_TASKS if spec.classes
    }
    if old.get("labels", labels) != labels:
        raise ValueError("labels in another order")
    tasks = [spec for spec in DEFAULT_TASKS if old.get(spec.name, True)]
    spec = dict(old["input"])
    spec["template"] = spec.pop("framing", "face")
    model = {"facedescriptor": "mobilenet_v1_face"}.get(old["model"], old["model"])
    return {
        "model": model,
        "tasks": [task.to_dict() for task in tasks],
        "input": spec,
        "calibration": old.get("calibration"),
        "recipe": old.get("recipe", {}),
        "provenance": old.get("origin", {}),
    }
