"""A task as data: what one head of a network answers."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from agegenderemo.errors import TaskError

Kind = Literal["regression", "binary", "categorical"]

# Keys of a face's JSON and columns of its CSV row, which a task may not take.
_RESERVED = frozenset(
    {"file", "face", "box", "x1", "y1", "x2", "y2", "score", "landmarks", "quality_flags",
     "error", "track_id", "time", "roll", "features", "model", "precision", "weights_sha256"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task by name.

    A *regression* answers a number in ``unit``, never below ``minimum``; a *binary* task has two
    ``classes``, the probability is that of the second; a *categorical* one has three or more, in
    the order of its head's outputs. ``plural`` names the mapping from class to probability in JSON,
    by default ``NAME_probabilities``; a task that has one writes its classes as CSV columns under
    their own names.

    Raises TaskError for a name or classes that no output could bear.

    >>> TaskSpec("glasses", "binary", ("without", "with")).outputs
    1
    """

    name: str
    kind: Kind
    classes: tuple[str, ...] = ()
    unit: str = ""
    minimum: float | None = None
    plural: str = ""

    def __post_init__(self) -> None:
        named = isinstance(self.name, str) and self.name.isidentifier() and self.name.islower()
        if not named or self.name in _RESERVED:
            raise TaskError(
                f"A task's name must be a lower-case identifier that is no key of a face's record, "
                f"not {self.name!r}."
            )
        if self.kind not in get_args(Kind):
            raise TaskError(f"A task is {', '.join(get_args(Kind))}, not {self.kind!r}.")
        if self.minimum is not None and not math.isfinite(self.minimum):
            raise TaskError(f"The minimum of {self.name!r} must be finite, not {self.minimum}.")
        wanted = {"regression": 0, "binary": 2}.get(self.kind)
        enough = len(self.classes) >= 3 if wanted is None else len(self.classes) == wanted
        worded = all(isinstance(one, str) and one for one in self.classes)
        if not enough or not worded or len(set(self.classes)) != len(self.classes):
            raise TaskError(
                f"The {self.kind} task {self.name!r} cannot have the classes {self.classes!r}."
            )
        for written in (json_keys(self), csv_columns(self)):
            clash = _RESERVED.intersection(written)
            clash |= {one for one in written if written.count(one) > 1}
            if clash:
                raise TaskError(
                    f"The task {self.name!r} would write {min(clash)!r}, which stands for "
                    "something else in a face's record; give another plural or other classes."
                )

    @property
    def outputs(self) -> int:
        """How many numbers its head gives for a face."""
        return len(self.classes) if self.kind == "categorical" else 1

    @property
    def probabilities_key(self) -> str:
        """The JSON key of the mapping from class to probability of a categorical task."""
        return self.plural or f"{self.name}_probabilities"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, as checkpoints hold them; what is empty is left out."""
        whole = {
            "name": self.name,
            "kind": self.kind,
            "classes": list(self.classes),
            "unit": self.unit,
            "minimum": self.minimum,
            "plural": self.plural,
        }
        return {key: value for key, value in whole.items() if value not in ([], "", None)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TaskSpec":
        """What `to_dict` gave; raises TaskError for anything else."""
        try:
            minimum = values.get("minimum")
            return cls(
                str(values["name"]),
                values["kind"],
                tuple(map(str, values.get("classes", ()))),
                str(values.get("unit", "")),
                None if minimum is None else float(minimum),
                str(values.get("plural", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, TaskError):
                raise
            raise TaskError(f"This is no description of a task: {values!r}.") from error


def by_name(specs: Iterable[TaskSpec]) -> dict[str, TaskSpec]:
    """Specs by their names, in their order; raises TaskError for a name, JSON key or CSV column
    that two of them share."""
    found: dict[str, TaskSpec] = {}
    taken: dict[str, str] = {}
    for spec in specs:
        for key in (*json_keys(spec), *csv_columns(spec)):
            if taken.setdefault(key, spec.name) != spec.name:
                raise TaskError(f"The tasks {taken[key]!r} and {spec.name!r} share {key!r}.")
        if spec.name in found:
            raise TaskError(f"Two tasks are named {spec.name!r}.")
        found[spec.name] = spec
    return found


def json_keys(spec: TaskSpec) -> tuple[str, ...]:
    """Keys that a task has in the record of a face, in their order."""
    name = spec.name
    if spec.kind == "regression":
        return name, f"{name}_interval", f"{name}_error"
    if spec.kind == "binary":
        return name, f"{name}_probability", f"{name}_confident"
    return name, spec.probabilities_key, f"{name}_confident"


def class_columns(spec: TaskSpec) -> tuple[str, ...]:
    """CSV columns of the probabilities of a categorical task, in the order of its classes."""
    if spec.kind != "categorical":
        return ()
    return tuple(name if spec.plural else f"{spec.name}_{name}" for name in spec.classes)


def csv_columns(spec: TaskSpec) -> tuple[str, ...]:
    """CSV columns that a task fills, in their order."""
    name = spec.name
    if spec.kind == "regression":
        return name, f"{name}_low", f"{name}_high", f"{name}_error"
    if spec.kind == "binary":
        return name, f"{name}_probability", f"{name}_confident"
    return name, *class_columns(spec), f"{name}_confident"
