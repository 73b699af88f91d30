"""The years, or whatever a regression's unit is, within which the true value lies four times in
five."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agegenderemo.evaluation.truth import YEARS
from agegenderemo.report import LEVEL
from agegenderemo.tasks import AGE_BANDS, RegressionCalibration, TaskSpec

_NEIGHBOURS = 200  # faces that speak for one predicted value
_FEWEST = 10  # faces of a band that counts
# Weights of what an interval should be, beside level coverage: right over all, narrow, smooth.
_OVERALL, _NARROW, _SMOOTH = 4.0, 0.0004, 0.003
# A face counts in part within this share of an interval's half width, and units, of either end.
_SOFT_SHARE, _SOFT_UNITS = 0.2, 0.5
_LEAST = 0.5  # units that an interval reaches to either side

_YEAR_KNOTS = (0.0, 3.0, 6.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 70.0, 85.0)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where an interval is fitted: at ``knots``, with level coverage over bands that begin at
    ``starts``; ``unit`` is how much counts as one year does for ages."""

    knots: tuple[float, ...]
    starts: tuple[float, ...]
    unit: float

    def bands(self, values: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
        """Which values lie in each band; what is below the first one lies in it."""
        index = np.searchsorted(self.starts[1:], values, side="right")
        return [index == band for band in range(len(self.starts))]


def _grid(spec: TaskSpec, predicted: NDArray[np.float64], true: NDArray[np.float64]) -> _Grid:
    if spec.unit == YEARS:
        return _Grid(_YEAR_KNOTS, tuple(low for low, _ in AGE_BANDS), 1.0)
    # Other numbers are cut where as many faces lie on either side, and a unit is a hundredth of
    # their range, much as a year is of a life.
    knots = np.unique(np.quantile(predicted, np.linspace(0, 1, len(_YEAR_KNOTS))))
    starts = np.unique(np.quantile(true, np.linspace(0, 1, len(AGE_BANDS), endpoint=False)))
    unit = float(np.ptp(true)) / 100 or 1.0
    return _Grid(tuple(knots.tolist()), tuple(starts.tolist()), unit)


def fit_regression(
    spec: TaskSpec, predicted_values: ArrayLike, true_values: ArrayLike
) -> RegressionCalibration:
    """Ends of the interval and mean absolute error at knots of the predicted value, from N
    predicted and N true values.

    Intervals around a guess hold too few of the faces that look lower or higher than they are: a
    network draws values towards the middle. So the reach below and above is chosen to hold `LEVEL`
    of the faces in each band of predicted and also of true value, as nearly as both can be had, and
    then stretched by the one factor of split conformal prediction (Vovk et al. 2005), which gives
    `LEVEL` over all.
    """
    predicted = np.asarray(predicted_values, dtype=np.float64)
    true = np.asarray(true_values, dtype=np.float64)
    grid = _grid(spec, predicted, true)
    knots = grid.knots
    residual = true - predicted
    least = _LEAST * grid.unit
    below, above, error = [], [], []
    for knot in knots:
        near = residual[np.argsort(np.abs(predicted - knot), kind="stable")[:_NEIGHBOURS]]
        below.append(max(least, -float(np.quantile(near, (1 - LEVEL) / 2))))
        above.append(max(least, float(np.quantile(near, (1 + LEVEL) / 2))))
        error.append(_rounded(float(np.abs(near).mean()), grid))
    reach = np.exp(_level_reach(np.log([below, above]), predicted, true, grid))
    down, up = (np.interp(predicted, knots, side) for side in reach)
    scores = np.sort(np.maximum(-residual / down, residual / up))
    rank = min(len(scores), math.ceil(LEVEL * (len(scores) + 1)))
    reach *= scores[rank - 1]
    least_value = -math.inf if spec.minimum is None else spec.minimum
    low = (max(least_value, float(k - r)) for k, r in zip(knots, reach[0], strict=True))
    high = (float(k + r) for k, r in zip(knots, reach[1], strict=True))
    return RegressionCalibration(
        knots,
        tuple(_rounded(v, grid) for v in low),
        tuple(_rounded(v, grid) for v in high),
        tuple(error),
    )


def _rounded(value: float, grid: _Grid) -> float:
    """To a hundredth of a unit, or to six decimals where that is finer."""
    return round(value, 2 if grid.unit >= 1 else 6)


def _level_reach(
    reach: NDArray[np.float64],
    predicted: NDArray[np.float64],
    true: NDArray[np.float64],
    grid: _Grid,
) -> NDArray[np.float64]:
    """Logarithms of the reach below and above at each knot, 2×knots, for a level coverage."""
    residual = true - predicted
    groups = [band for values in (true, predicted) for band in grid.bands(values)]
    counted = [g / g.sum() for g in groups if g.sum() >= _FEWEST]
    shares = np.array(counted).reshape(-1, len(true))

    def loss(candidate: NDArray[np.float64]) -> float:
        down, up = (np.exp(np.interp(predicted, grid.knots, side)) for side in candidate)
        # A face near an end counts in part, or the ends would fit single faces.
        soft = _SOFT_SHARE * (down + up) + 2 * _SOFT_UNITS * grid.unit
        above_low = 0.5 + ((down + residual) / soft).clip(-0.5, 0.5)
        below_high = 0.5 + ((up - residual) / soft).clip(-0.5, 0.5)
        held = above_low * below_high
        return float(
            ((shares @ held - LEVEL) ** 2).sum()
            + _OVERALL * (held.mean() - LEVEL) ** 2
            + _NARROW * (down + up).mean() / grid.unit
            + _SMOOTH * (np.diff(candidate, axis=1) ** 2).sum()
        )

    # Try steps, end by end: few numbers, and the clipped parts have no slope to follow.
    best, step = loss(reach), 0.3
    while step > 0.01:
        before = best
        for side, knot in np.ndindex(*reach.shape):
            for change in (step, -step):
                candidate = reach.copy()
                candidate[side, knot] += change
                if (value := loss(candidate)) < best - 1e-9:
                    reach, best = candidate, value
        if best == before:
            step /= 2
    return reach
