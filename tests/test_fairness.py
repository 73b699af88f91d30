"""Figures by group, on answers whose right figures are known."""

from itertools import chain
from pathlib import Path

import pytest

from agegenderemo.fairness import ADULT_RACE, group_figures, largest_gap
from agegenderemo.records import Attributes, ImageRef, Sample

CALM = (0.0,) * 5 + (1.0, 0.0, 0.0)


def group(race: str | None, count: int, wrong: int, age: float = 30, off: float = 4.0):
    samples = [
        Sample(ImageRef(Path(), str(i)), "test", age=age, gender=i % 2, group=race)
        for i in range(count)
    ]
    answers = [
        Attributes(age + off, float((i % 2 == 1) != (i < wrong)), CALM) for i in range(count)
    ]
    return samples, answers


def test_groups_have_their_own_figures_and_intervals() -> None:
    samples, answers = (a + b for a, b in zip(group("A", 200, 20), group("B", 100, 1), strict=True))
    rows = {(g["by"], g["group"]): g for g in group_figures(samples, answers)}
    assert rows["race", "A"]["n"] == 200
    value, low, high = rows["race", "A"]["gender_accuracy"]
    assert value == pytest.approx(0.9)
    # The normal approximation: 1.96 · sqrt(0.9 · 0.1 / 200)
    assert high - low == pytest.approx(2 * 0.0416, rel=0.15)
    assert rows["race", "B"]["gender_accuracy"][0] == pytest.approx(0.99)
    assert rows["age", "30-39"]["age_mae"] == pytest.approx([4, 4, 4])
    assert rows["gender", "male"]["n"] == 150
    gap = largest_gap(list(rows.values()))
    assert gap == {"worst": "A", "best": "B", "gap": pytest.approx(0.09)}
    assert group_figures(samples, answers) == group_figures(samples, answers)


def test_the_gap_among_adults_leaves_children_out() -> None:
    parts = (
        group("A", 100, 4),
        group("A", 100, 40, age=3),
        group("B", 100, 2),
        group("B", 60, 30, age=19),
    )
    samples, answers = (list(chain(*column)) for column in zip(*parts, strict=True))
    groups = group_figures(samples, answers)
    assert largest_gap(groups, ADULT_RACE) == {
        "worst": "A",
        "best": "B",
        "gap": pytest.approx(0.02),
    }
    assert largest_gap(groups)["gap"] == pytest.approx(44 / 200 - 32 / 160)


def test_small_groups_and_sets_without_races_say_nothing() -> None:
    few, many = group("few", 49, 0), group("many", 60, 0)
    samples, answers = (a + b for a, b in zip(few, many, strict=True))
    groups = group_figures(samples, answers)
    assert [g["group"] for g in groups if g["by"] == "race"] == ["many"]
    assert largest_gap(groups) is None
    assert group_figures(*group(None, 60, 0)) is None


def test_age_bands_stand_in_their_order() -> None:
    samples, answers = [], []
    for low in (20, 0, 3, 10, 70):
        high = float("inf") if low == 70 else low + 6
        samples += [
            Sample(ImageRef(Path(), "a"), "val", age_range=(low, high), gender=0, group="A")
        ] * 50
        answers += [Attributes(low, 0.0, CALM)] * 50
    names = [g["group"] for g in group_figures(samples, answers) if g["by"] == "age"]
    assert names == ["0-6", "3-9", "10-16", "20-26", "70+"]
