"""Copies of one picture in a data set: byte by byte, or encoded anew.

A copy is told by a perceptual hash: the picture in grey at 16×16, whose correlation with that of
the other is 0.99 or more. Measured on the pictures of the three sets: it finds 91 test images of
UTKFace, 64 of FER+ and 4 validation images of FairFace that have one in training beside the
identical ones; at 0.97 different faces of FER+ begin to be taken for copies.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agegenderemo.data.samples import Label, Sample, interval
from agegenderemo.tasks import TaskSpec, by_name
from agegenderemo.types import RGBImage

THUMBNAIL = 16 * 16
"""Bytes of a picture's hash."""

_ALIKE = 0.99
_FLAT = 4.0  # levels of grey: a standard deviation below this is no picture to compare
_AT_ONCE = 256  # rows


def thumbnail(image: RGBImage) -> NDArray[np.uint8]:
    """The perceptual hash of a picture, (256,)."""
    grey = Image.fromarray(image).convert("L").resize((16, 16), Image.Resampling.BOX)
    return np.asarray(grey).reshape(-1)


def near_copies(
    thumbnails: NDArray[np.uint8], rows: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each of ``rows`` is a copy of one of the ``others``, by their hashes, N×256.

    The same on every machine: sums of such products are whole numbers that float32 holds.
    """
    found = np.zeros(len(rows), dtype=bool)
    if not len(others):
        return found
    theirs, total, spread = _moments(thumbnails[others])
    for start in range(0, len(rows), _AT_ONCE):
        own, own_total, own_spread = _moments(thumbnails[rows[start : start + _AT_ONCE]])
        products = (own @ theirs.T).astype(np.float64)
        shared = products * THUMBNAIL - own_total[:, None] * total
        both = own_spread[:, None] * spread
        alike = (shared > 0) & (shared**2 >= _ALIKE**2 * both) & (both > 0)
        found[start : start + _AT_ONCE] = alike.any(axis=1)
    return found


def _moments(
    thumbnails: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """The hashes as numbers, their sums, and 256² times their variances, 0 for flat ones."""
    values = thumbnails.astype(np.float32)
    whole = thumbnails.astype(np.float64)
    total = whole.sum(axis=1)
    spread = THUMBNAIL * (whole**2).sum(axis=1) - total**2
    return values, total, np.where(spread < (_FLAT * THUMBNAIL) ** 2, 0.0, spread)


def settled(
    samples: Sequence[Sample], digests: NDArray[np.uint8], tasks: Sequence[TaskSpec]
) -> tuple[list[Sample], int, int]:
    """Samples of which identical pictures have the same labels; how many groups of such there are,
    and in how many of them labels contradicted each other.

    Of numbers the interval that holds all of them; the class that most of them have, none on a tie;
    the mean of distributions. ``digests`` are N×20.
    """
    groups: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        groups[bytes(digest)].append(row)
    out, several = list(samples), [rows for rows in groups.values() if len(rows) > 1]
    contradicting = 0
    specs = by_name(tasks)
    for rows in several:
        labels, differ = _agreed([samples[row].labels for row in rows], specs)
        contradicting += differ
        for row in rows:
            out[row] = replace(samples[row], labels=labels)
    return out, len(several), contradicting


def _agreed(
    labels: Sequence[Mapping[str, Label]], specs: Mapping[str, TaskSpec]
) -> tuple[dict[str, Label], bool]:
    agreed: dict[str, Label] = {}
    differ = False
    for name, spec in specs.items():
        known = [own[name] for own in labels if name in own]
        if all(label == known[0] for label in known):
            if known:
                agreed[name] = known[0]
            continue
        differ = True
        if spec.kind == "regression":
            ends = [interval(label) for label in known]
            agreed[name] = (min(low for low, _ in ends), max(high for _, high in ends))
        elif spec.kind == "binary":
            (first, most), *others = Counter(known).most_common()
            if not others or others[0][1] < most:
                agreed[name] = first
        else:
            agreed[name] = tuple(np.mean(list(known), axis=0).tolist())
    return agreed, differ
