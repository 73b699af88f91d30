"""Intervals, paired differences and gaps, on numbers whose answer is known."""

import numpy as np
import pytest

from agegenderemo.evaluation.bootstrap import accuracy_range, interval, paired, with_interval


def ones(right: int, faces: int) -> np.ndarray:
    return np.arange(faces) < right


def test_intervals_are_those_of_the_mean() -> None:
    ends = interval(ones(900, 1000))
    assert ends is not None
    # The normal approximation: 1.96 · sqrt(0.9 · 0.1 / 1000)
    assert ends == pytest.approx([0.9 - 0.0186, 0.9 + 0.0186], abs=0.002)
    assert interval(ones(900, 1000)) == ends  # from a fixed seed
    errors = np.random.default_rng(1).exponential(5, 2456)
    found = with_interval([*errors, np.nan])
    assert found is not None
    assert found[0] == errors.mean()
    assert found[2] - found[1] == pytest.approx(2 * 1.96 * errors.std() / np.sqrt(2456), rel=0.05)
    assert interval([]) is None
    assert with_interval([np.nan]) is None


def test_nineteen_intervals_in_twenty_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        ends = interval(rng.random(300) < 0.8)
        assert ends is not None
        held += ends[0] <= 0.8 <= ends[1]
    assert 53 <= held <= 60


def test_paired_differences_are_surer_than_two_networks_apart() -> None:
    rng = np.random.default_rng(0)
    hard = rng.exponential(5, 1000)  # what makes a face hard makes it hard for both
    found = paired(hard, hard + rng.normal(0.1, 0.3, 1000))
    assert found.n == 1000
    assert found.difference == pytest.approx(found.second - found.first)
    assert found.difference == pytest.approx(0.1, abs=0.03)
    assert found.interval[0] > 0
    assert found.share < 0.01
    apart = [with_interval(hard + 0.1), with_interval(hard)]
    assert apart[0]
    assert apart[1]
    assert apart[0][1] < apart[1][2]  # which overlap by far
    same = paired(hard, hard)
    assert (same.difference, same.interval, same.share) == (0, (0, 0), 1)
    noise = paired(np.zeros(200), rng.normal(0, 1, 200))
    assert noise.interval[0] < 0 < noise.interval[1]
    with pytest.raises(ValueError, match="same faces"):
        paired([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="same faces"):
        paired([], [])


def test_a_gap_is_told_beside_what_chance_alone_shows() -> None:
    """The seven races of FairFace's slice, which are right 88.4 to 95.6 % of the time."""
    right = (275, 276, 262, 254, 197, 218, 359)
    faces = (311, 301, 283, 270, 206, 239, 385)
    found = accuracy_range([ones(*pair) for pair in zip(right, faces, strict=True)])
    assert found.interval == pytest.approx((0.041, 0.119), abs=0.004)
    assert found.chance == pytest.approx(0.043, abs=0.002)
    assert 0.01 < found.share < 0.06
    alike = accuracy_range([ones(90, 100)] * 4)
    assert alike.share == 1
    assert alike.interval[0] > 0  # a range is never nothing, which is why chance stands beside it
    far = accuracy_range([ones(50, 100), ones(99, 100)])
    assert far.share < 0.001
    for groups in ([ones(1, 2)], [ones(1, 2), ones(0, 0)]):
        with pytest.raises(ValueError, match="two groups"):
            accuracy_range(groups)
