"""How far figures may be off by the choice of the faces: percentile bootstrap (Efron 1979) over
faces, 2,000 resamples from a fixed seed, so that the same faces give the same ends."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_TIMES, _AT_ONCE = 20, 100  # resamples: 2,000, without a large table of rows
RESAMPLES = _TIMES * _AT_ONCE
_ENDS = (0.025, 0.975)


def interval(values: ArrayLike) -> list[float] | None:
    """Ends of the 95 % interval of the mean of N values, ``[low, high]``; None without any."""
    own = np.asarray(values, dtype=np.float64)
    if not len(own):
        return None
    low, high = np.quantile(_resampled_means(own), _ENDS)
    return [float(low), float(high)]


def with_interval(values: ArrayLike) -> list[float] | None:
    """``[mean, low, high]`` of the values that are numbers; None where none is."""
    own = np.asarray(values, dtype=np.float64)
    own = own[np.isfinite(own)]
    ends = interval(own)
    return None if ends is None else [float(own.mean()), *ends]


class PairedDifference(NamedTuple):
    """What two networks score on the same faces: the mean of each and of the second less the first,
    with its 95 % interval; ``share`` is how often resamples fall on the other side of zero, twice:
    read it like a p-value."""

    n: int
    first: float
    second: float
    difference: float
    interval: tuple[float, float]
    share: float


def paired(first: ArrayLike, second: ArrayLike) -> PairedDifference:
    """The difference over N faces that both were asked about, one score of each a face.

    Raises ValueError for none, or where they are not as many.
    """
    a, b = (np.asarray(side, dtype=np.float64) for side in (first, second))
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(f"scores must be of the same faces, not {a.shape} and {b.shape}")
    means = _resampled_means(b - a)
    low, high = np.quantile(means, _ENDS)
    # The faces as they are count as one more resample: a share is never nothing.
    sides = [(1 + int(np.sum(side))) / (1 + RESAMPLES) for side in (means <= 0, means >= 0)]
    return PairedDifference(
        len(a), float(a.mean()), float(b.mean()), float((b - a).mean()),
        (float(low), float(high)), min(1.0, 2 * min(sides)),
    )  # fmt: skip


class Range(NamedTuple):
    """How far the best group is from the worst: the 95 % ``interval`` when faces are drawn again
    within each group; and, were all groups alike, what ``chance`` alone shows on average, and the
    ``share`` of deals in which it shows this much or more."""

    interval: tuple[float, float]
    chance: float
    share: float


def accuracy_range(groups: Sequence[ArrayLike]) -> Range:
    """The range of the accuracies of groups, each given as 0 or 1 a face.

    Chance deals the same right and wrong answers to the groups anew. Raises ValueError for fewer
    than two groups, or an empty one.
    """
    right = np.array([np.sum(np.asarray(group) > 0) for group in groups], dtype=np.int64)
    faces = np.array([np.size(group) for group in groups], dtype=np.int64)
    if len(faces) < 2 or not faces.all():
        raise ValueError("a range is of two groups or more, none of them empty")
    rng = np.random.default_rng(0)
    drawn = np.ptp(rng.binomial(faces, right / faces, (RESAMPLES, len(faces))) / faces, axis=1)
    dealt = np.ptp(
        rng.multivariate_hypergeometric(faces, int(right.sum()), RESAMPLES) / faces, axis=1
    )
    observed = float(np.ptp(right / faces))
    low, high = np.quantile(drawn, _ENDS)
    share = (1 + int(np.sum(dealt >= observed - 1e-12))) / (1 + RESAMPLES)
    return Range((float(low), float(high)), float(dealt.mean()), share)


def _resampled_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    size = (_AT_ONCE, len(values))
    return np.concatenate(
        [values[rng.integers(0, len(values), size)].mean(axis=1) for _ in range(_TIMES)]
    )
