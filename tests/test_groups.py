"""Figures by group, on answers whose right figures are known."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from agegenderemo.data.samples import ImageRef, Label, Sample
from agegenderemo.evaluation.evaluate import measure
from agegenderemo.report import ADULT_RACE, largest_disparity
from agegenderemo.tasks import (
    AGE,
    GENDER,
    BinaryPrediction,
    Prediction,
    RegressionPrediction,
    TaskSpec,
)

TASKS = (AGE, GENDER)
Faces = tuple[list[Sample], list[dict[str, Prediction]]]


def said(age: float, male: float) -> dict[str, Prediction]:
    return {"age": RegressionPrediction(AGE, age), "gender": BinaryPrediction(GENDER, male)}


def group(race: str | None, count: int, wrong: int, age: float = 30, off: float = 4.0) -> Faces:
    samples = [
        Sample(ImageRef(Path(), str(i)), "test", {"age": age, "gender": i % 2}, race=race)
        for i in range(count)
    ]
    return samples, [said(age + off, float((i % 2 == 1) != (i < wrong))) for i in range(count)]


def groups_of(*parts: Faces, specs: tuple[TaskSpec, ...] = TASKS) -> list[dict[str, Any]]:
    samples, answers = (list(chain(*column)) for column in zip(*parts, strict=True))
    groups: list[dict[str, Any]] = measure(samples, TASKS, answers, specs).get("groups", [])
    return groups


def test_groups_have_their_own_figures_and_intervals() -> None:
    parts = group("A", 200, 20), group("B", 100, 1)
    rows = {(g["by"], g["group"]): g for g in groups_of(*parts)}
    assert rows["race", "A"]["n"] == 200
    value, low, high = rows["race", "A"]["tasks"]["gender"]["accuracy"]
    assert value == pytest.approx(0.9)
    # The normal approximation: 1.96 · sqrt(0.9 · 0.1 / 200)
    assert high - low == pytest.approx(2 * 0.0416, rel=0.15)
    assert rows["race", "B"]["tasks"]["gender"]["accuracy"][0] == pytest.approx(0.99)
    assert rows["age", "30-39"]["tasks"]["age"]["mae"] == pytest.approx([4, 4, 4])
    assert rows["gender", "male"]["n"] == 150
    found = largest_disparity(list(rows.values()), "gender")
    assert found == {"worst": "A", "best": "B", "disparity": pytest.approx(0.09)}
    assert largest_disparity(list(rows.values()), "age") is None
    assert groups_of(*parts) == groups_of(*parts)


def test_the_disparity_among_adults_leaves_children_out() -> None:
    groups = groups_of(
        group("A", 100, 4),
        group("A", 100, 40, age=3),
        group("B", 100, 2),
        group("B", 60, 30, age=19),
    )
    assert largest_disparity(groups, "gender", ADULT_RACE) == {
        "worst": "A",
        "best": "B",
        "disparity": pytest.approx(0.02),
    }
    found = largest_disparity(groups, "gender")
    assert found is not None
    assert found["disparity"] == pytest.approx(44 / 200 - 32 / 160)


def test_small_groups_and_sets_without_races_say_nothing() -> None:
    groups = groups_of(group("few", 49, 0), group("many", 60, 0))
    assert [g["group"] for g in groups if g["by"] == "race"] == ["many"]
    assert largest_disparity(groups, "gender") is None
    assert groups_of(group(None, 60, 0)) == []


def test_a_network_is_grouped_by_labels_that_it_does_not_predict() -> None:
    samples, answers = group("A", 100, 0)
    only = [{"age": answer["age"]} for answer in answers]
    groups = groups_of((samples, only), specs=(AGE,))
    rows = {(g["by"], g["group"]): g["tasks"] for g in groups}
    assert rows["gender", "female"] == {"age": {"mae": pytest.approx([4, 4, 4])}}


def test_age_bands_stand_in_their_order() -> None:
    parts: list[Faces] = []
    for low in (20, 0, 3, 10, 70):
        high = float("inf") if low == 70 else low + 6
        labels: dict[str, Label] = {"age": (float(low), high), "gender": 0}
        sample = Sample(ImageRef(Path(), "a"), "val", labels, race="A")
        parts.append(([sample] * 50, [said(low, 0.0)] * 50))
    names = [g["group"] for g in groups_of(*parts) if g["by"] == "age"]
    assert names == ["0-6", "3-9", "10-16", "20-26", "70+"]
