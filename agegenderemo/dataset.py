"""Prepared crops on disk, and the tensors that a model is trained and tested on.

A prepared set is a folder with ``samples.jsonl`` (labels, one line a sample), ``crops.npy``
(N×S×S×3 RGB uint8, aligned), ``origin.npy`` (N, how each face was found: `Origin`),
``digest.npy`` (N×20, SHA-1 of the encoded image) and ``framing.json``. Plain arrays, so that
reading is a memory map.
"""

import dataclasses
import enum
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agegenderemo.labels import EMOTIONS
from agegenderemo.readers.source import DatasetError
from agegenderemo.records import Framing, ImageRef, Sample, Split

CROP_SIZE = 128
"""Side of stored crops in pixels: a little more than the largest input, for jitter."""


class Origin(enum.IntEnum):
    """How the face of a prepared crop was found."""

    TODO = 0
    DETECTED = 1
    PADDED = 2  # found once the picture had a wider border
    ASSUMED = 3  # not found: framed by the median landmarks of the set
    UNREADABLE = 4  # the image could not be decoded: there is no crop
    WHOLE = 5  # not searched for: the picture is framed already, and was taken whole


@dataclass(frozen=True)
class PreparedSet:
    """The arrays of one prepared data set; row i of each belongs to ``samples[i]``."""

    name: str
    samples: tuple[Sample, ...]
    crops: NDArray[np.uint8]
    origin: NDArray[np.uint8]
    digest: NDArray[np.uint8]
    framing: Framing = "face"

    @classmethod
    def open(cls, folder: Path, writable: bool = False) -> "PreparedSet":
        """Map the arrays of a folder that ``prepare`` made.

        Raises DatasetError when the folder holds no prepared set.
        """
        mode: Literal["r+", "r"] = "r+" if writable else "r"
        try:
            lines = (folder / "samples.jsonl").read_text().splitlines()
            crops, origin, digest = (
                np.load(folder / f"{name}.npy", mode) for name in ("crops", "origin", "digest")
            )
            framing: Framing = json.loads((folder / "framing.json").read_text())
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"{folder} holds no prepared set; run 'python -m agegenderemo prepare' first."
            ) from error
        samples = tuple(map(sample_from_json, lines))
        return cls(folder.name, samples, crops, origin, digest, framing)

    def rows(self, split: Split | Literal["all"], *, copies: bool = False) -> NDArray[np.int64]:
        """Rows of a split, or of all of them, that have a crop.

        UTKFace holds byte-identical images under several names: a training or validation row that
        is a copy of a test row, and a training row that is a copy of a validation row, is dropped
        unless ``copies`` are wanted.
        """
        readable = ~np.isin(self.origin, (Origin.TODO, Origin.UNREADABLE))
        if split == "all" or copies:
            wanted = [split in ("all", sample.split) for sample in self.samples]
            return np.flatnonzero(readable & np.array(wanted, dtype=bool))
        keys = [bytes(d) for d in self.digest]
        later: dict[str, set[bytes]] = {"train": set(), "val": set(), "test": set()}
        for key, sample in zip(keys, self.samples, strict=True):
            if sample.split in ("val", "test"):
                later["train"].add(key)
            if sample.split == "test":
                later["val"].add(key)
        return np.array(
            [
                row
                for row, sample in enumerate(self.samples)
                if sample.split == split and readable[row] and keys[row] not in later[split]
            ],
            dtype=np.int64,
        )


def sample_to_json(sample: Sample) -> str:
    """One line of ``samples.jsonl``; absent labels are left out."""
    fields = {f.name: getattr(sample, f.name) for f in dataclasses.fields(sample)}
    fields["image"] = [str(sample.image.container), sample.image.name, sample.image.offset]
    return json.dumps({k: v for k, v in fields.items() if v is not None})


def sample_from_json(line: str) -> Sample:
    """What `sample_to_json` wrote."""
    fields: dict[str, Any] = json.loads(line)
    container, name, offset = fields.pop("image")
    tuples: dict[str, Any] = {k: tuple(v) if type(v) is list else v for k, v in fields.items()}
    return Sample(ImageRef(Path(container), name, offset), **tuples)


class Targets(NamedTuple):
    """Labels of a batch of N faces; where a mask is False the values beside it mean nothing.

    Ages are intervals in years, ``age_low == age_high`` where the age is known exactly.
    """

    age_low: Tensor  # (N,) float32
    age_high: Tensor  # (N,) float32
    age_mask: Tensor  # (N,) bool
    gender: Tensor  # (N,) float32, 1 male
    gender_mask: Tensor  # (N,) bool
    emotion: Tensor  # (N, 8) float32, rows sum to one
    emotion_mask: Tensor  # (N,) bool

    def take(self, rows: Tensor | slice) -> "Targets":
        """The labels of some faces."""
        return Targets(*(value[rows] for value in self))

    def without(self, faces: Tensor) -> "Targets":
        """The same with no labels where ``faces``, (N,) bool, is True."""
        return self._replace(
            age_mask=self.age_mask & ~faces,
            gender_mask=self.gender_mask & ~faces,
            emotion_mask=self.emotion_mask & ~faces,
        )


_OPEN_END = 120.0  # years: stands for the missing end of "more than 70"


def make_targets(samples: Sequence[Sample]) -> Targets:
    """Labels of samples as tensors with masks."""
    ranges = [s.age_range if s.age is None else (s.age, s.age) for s in samples]
    none = (0.0,) * len(EMOTIONS)

    def column(values: list[Any], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.tensor(values, dtype=dtype)

    return Targets(
        age_low=column([r[0] if r else 0 for r in ranges]),
        age_high=column(
            [0 if not r else r[1] if math.isfinite(r[1]) else _OPEN_END for r in ranges]
        ),
        age_mask=column([r is not None for r in ranges], torch.bool),
        gender=column([s.gender or 0 for s in samples]),
        gender_mask=column([s.gender is not None for s in samples], torch.bool),
        emotion=column([s.emotion or none for s in samples]).reshape(-1, len(EMOTIONS)),
        emotion_mask=column([s.emotion is not None for s in samples], torch.bool),
    )
