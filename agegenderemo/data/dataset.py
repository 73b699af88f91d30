"""Prepared crops on disk.

A prepared set is a folder with ``index.json`` (alignment template and tasks), ``samples.jsonl``
(labels, one line a sample), ``crops.npy`` (N×S×S×3 RGB uint8, aligned), ``source.npy`` (N, how each
face was found: `CropSource`), ``digest.npy`` (N×20, SHA-1 of the encoded image) and
``thumbnail.npy`` (N×256, its perceptual hash; older sets lack it until ``prepare`` sees them
again). Plain arrays, so that reading is a memory map.
"""

import enum
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from agegenderemo.data import legacy
from agegenderemo.data.copies import THUMBNAIL, near_copies
from agegenderemo.data.samples import Estimate, ImageRef, Label, Sample, Split, check_labels
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import TaskSpec, by_name
from agegenderemo.types import Template

THUMBNAILS = "thumbnail.npy"


class CropSource(enum.IntEnum):
    """How the face of a prepared crop was found."""

    TODO = 0
    DETECTED = 1
    PADDED = 2  # found once the picture had a wider border
    ASSUMED = 3  # not found: framed by the median landmarks of the set
    UNREADABLE = 4  # the image could not be decoded: there is no crop
    WHOLE = 5  # not searched for: the picture is aligned already, and was taken whole


@dataclass(frozen=True)
class PreparedSet:
    """The arrays of one prepared data set; row i of each belongs to ``samples[i]``. ``tasks`` are
    what the set is labelled for."""

    name: str
    samples: tuple[Sample, ...]
    tasks: tuple[TaskSpec, ...]
    crops: NDArray[np.uint8]
    source: NDArray[np.uint8]
    digest: NDArray[np.uint8]
    template: Template = "face"
    thumbnail: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        count, crops = len(self.samples), self.crops.shape
        if crops != (count, *crops[1:2] * 2, 3) or self.crops.dtype != np.uint8:
            raise ValueError(f"crops must be N×S×S×3 bytes, N = {count}, not {crops}")
        if self.source.shape != (count,) or self.digest.shape != (count, 20):
            raise ValueError(f"there are {count} samples, but not as many sources and digests")
        if self.thumbnail is not None and self.thumbnail.shape != (count, THUMBNAIL):
            raise ValueError(f"thumbnails must be {count}×{THUMBNAIL}, not {self.thumbnail.shape}")
        if self.template not in get_args(Template):
            raise ValueError(f"unknown alignment template {self.template!r}")
        check_labels(self.samples, self.tasks)

    @classmethod
    def open(cls, folder: Path, writable: bool = False) -> "PreparedSet":
        """Map the arrays of a folder that ``prepare``, today's or that of version 0.1, made.

        Raises DatasetError when the folder holds no prepared set, or one that ``prepare`` has not
        finished; to finish it, it is opened ``writable``.
        """
        prepared = cls._map(folder, "r+" if writable else "r")
        left = int(np.sum(prepared.source == CropSource.TODO))
        if left and not writable:
            raise DatasetError(
                f"{folder} is not finished: {left:,} of {len(prepared.samples):,} faces are still "
                f"to be prepared; run {_command(folder)} again, which goes on where it was."
            )
        return prepared

    @classmethod
    def _map(cls, folder: Path, mode: Literal["r+", "r"]) -> "PreparedSet":
        old = legacy.is_legacy(folder)
        source_name = legacy.SOURCE if old else "source"
        try:
            lines = (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()
            crops, source, digest = (
                np.load(folder / f"{name}.npy", mode) for name in ("crops", source_name, "digest")
            )
            if old:
                template, tasks, samples = legacy.read(folder, lines)
            else:
                index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
                template, tasks = index["template"], tuple(map(TaskSpec.from_dict, index["tasks"]))
                samples = tuple(sample_from_json(line, tasks) for line in lines)
            hashes = folder / THUMBNAILS
            thumbnail = np.load(hashes, mode) if hashes.exists() else None
            return cls(folder.name, samples, tasks, crops, source, digest, template, thumbnail)
        except (OSError, EOFError, LookupError, TypeError, ValueError, AttributeError) as error:
            if (folder / "samples.jsonl").is_file():
                # Other kinds are of a library, and say nothing to people.
                why = f" ({error})" if type(error) is ValueError else ""
                raise DatasetError(
                    f"{folder} is damaged or was changed by hand{why}; remove it and run "
                    f"{_command(folder)} again."
                ) from error
            others = sorted(one.parent.name for one in folder.parent.glob("*/samples.jsonl"))
            there = [name for name in others if name != folder.name]
            known = f"; {folder.parent} holds {', '.join(there)}" if there else ""
            raise DatasetError(
                f"{folder} holds no prepared set{known}; run 'agegenderemo prepare' first."
            ) from error

    def rows(self, split: Split | Literal["all"], *, copies: bool = False) -> NDArray[np.int64]:
        """Rows of a split, or of all of them, that have a crop.

        A training or validation row that is a copy of a test row, and a training row that is a copy
        of a validation row, is dropped unless ``copies`` are wanted: UTKFace holds many an image
        under several names, byte by byte or encoded anew.
        """
        wanted = np.array([split in ("all", sample.split) for sample in self.samples], dtype=bool)
        rows = np.flatnonzero(self._readable & wanted)
        if split == "all" or copies:
            return rows
        return rows[~np.isin(rows, np.concatenate(self.copies_of_later(split)))]

    def copies_of_later(
        self, split: Split | Literal["all"]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of a split that are copies of one that it must not know: those with the same bytes,
        and those that are encoded anew."""
        if split not in self._copies:
            later = {"train": ("val", "test"), "val": ("test",)}.get(split, ())
            own, others = (
                np.flatnonzero(self._readable & np.array([s.split in which for s in self.samples]))
                for which in ((split,), later)
            )
            known = {bytes(digest) for digest in self.digest[others]}
            same = np.array([bytes(digest) in known for digest in self.digest[own]], dtype=bool)
            rest = own[~same]
            alike = np.zeros(len(rest), dtype=bool)
            if self.thumbnail is not None:
                alike = near_copies(self.thumbnail, rest, others)
            self._copies[split] = (own[same], rest[alike])
        return self._copies[split]

    @cached_property
    def _copies(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        return {}

    @property
    def _readable(self) -> NDArray[np.bool_]:
        return ~np.isin(self.source, (CropSource.TODO, CropSource.UNREADABLE))


def index_to_json(template: Template, tasks: Sequence[TaskSpec], command: str = "") -> str:
    """What stands in ``index.json``; ``command`` makes the set, and finishes it."""
    index = {"template": template, "tasks": [spec.to_dict() for spec in tasks]}
    return json.dumps(index | ({"command": command} if command else {}), indent=1)


def _command(folder: Path) -> str:
    """What finishes a set, for people."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # version 0.1 has no such file; or it is damaged
        index = {}
    return f"'{index.get('command', 'agegenderemo prepare')}'"


def sample_to_json(sample: Sample) -> str:
    """One line of ``samples.jsonl``; what is not known is left out, and an open end is null."""
    image = sample.image
    fields: dict[str, Any] = {
        "image": [str(image.container), image.name, image.offset],
        "split": sample.split,
        "labels": {name: _finite(label) for name, label in sample.labels.items()},
        "votes": sample.votes,
        "race": sample.race,
        "box": sample.box,
    }
    return json.dumps({k: v for k, v in fields.items() if v is not None}, allow_nan=False)


def sample_from_json(line: str, tasks: Sequence[TaskSpec]) -> Sample:
    """What `sample_to_json` wrote; raises ValueError, TypeError or LookupError otherwise."""
    fields = json.loads(line)
    specs = by_name(tasks)
    votes, box = fields.get("votes"), fields.get("box")
    return Sample(
        image_from_json(fields),
        fields["split"],
        {name: _label(specs[name], value) for name, value in fields["labels"].items()},
        None if votes is None else tuple(votes),
        fields.get("race"),
        None if box is None else tuple(box),
    )


def image_from_json(fields: Mapping[str, Any]) -> ImageRef:
    """The reference in a line of ``samples.jsonl``."""
    container, name, offset = fields["image"]
    return ImageRef(Path(container), name, offset)


def _finite(label: Label) -> Any:
    if isinstance(label, tuple):
        return [None if math.isinf(value) else value for value in label]
    if isinstance(label, Estimate):
        return {"mean": float(label), "deviation": label.deviation}
    return label


def _label(spec: TaskSpec, value: Any) -> Label:
    if isinstance(value, list):
        return tuple(math.inf if v is None else float(v) for v in value)
    if isinstance(value, dict):
        return Estimate(value["mean"], value["deviation"])
    return int(value) if spec.kind == "binary" else float(value)
