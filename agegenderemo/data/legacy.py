"""Prepared folders that version 0.1 made: ``framing.json`` and ``origin.npy``, labels as keys of
their own. They knew three tasks."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agegenderemo.data.samples import ImageRef, Label, Sample
from agegenderemo.tasks import DEFAULT_TASKS, TaskSpec
from agegenderemo.types import Template

SOURCE = "origin"
"""What ``source.npy`` was called."""


def is_legacy(folder: Path) -> bool:
    """Whether a folder was made by version 0.1."""
    return (folder / "framing.json").is_file() and not (folder / "index.json").exists()


def read(
    folder: Path, lines: Sequence[str]
) -> tuple[Template, tuple[TaskSpec, ...], tuple[Sample, ...]]:
    """Template, tasks and samples; raises OSError, ValueError, TypeError or LookupError."""
    template: Template = json.loads((folder / "framing.json").read_text(encoding="utf-8"))
    samples = tuple(_sample(json.loads(line)) for line in lines)
    labelled = {name for sample in samples for name in sample.labels}
    tasks = tuple(spec for spec in DEFAULT_TASKS if spec.name in labelled)
    return template, tasks, samples


def _sample(fields: Mapping[str, Any]) -> Sample:
    container, name, offset = fields["image"]
    votes = fields.get("votes")
    return Sample(
        ImageRef(Path(container), name, offset),
        fields["split"],
        {
            spec.name: label
            for spec in DEFAULT_TASKS
            if (label := _label(fields, spec.name)) is not None
        },
        None if votes is None else tuple(votes),
        fields.get("group"),
    )


def _label(fields: Mapping[str, Any], name: str) -> Label | None:
    value = fields.get(name, fields.get(f"{name}_range"))
    return tuple(map(float, value)) if isinstance(value, list) else value
