"""What was measured, in sentences for people who know no term of the field."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agegenderemo.report.record import ADULT, ADULT_RACE, RACE, SETS, Report, disparities


def plain_sentences(card: Mapping[str, Any]) -> tuple[str, ...]:
    """How far off a network is on average and how often wrong, and between which groups that
    differs most; nothing of what was not measured."""
    reports = [Report(card[name]) for name in SETS if name in card]
    known: dict[str, str] = {}
    for report in reports:
        if report.figures["split"] == "train":
            continue  # the network knows those answers
        for name, own in report.tasks.items():
            if name not in known and (said := _said(name, own)):
                known[name] = said
    errors = f"On faces that it has never seen: {'; '.join(known.values())}." if known else ""
    return tuple(filter(None, (errors, *map(_gap, _widest(reports)))))


def _widest(reports: Sequence[Report]) -> Iterator[tuple[Report, str]]:
    """The set in which a task differs most between groups, for each task that was looked at so."""
    found: dict[str, tuple[float, Report]] = {}
    for report in reports:
        for task, own in disparities(report, RACE):
            if own["disparity"] > found.get(task, (0.0, report))[0]:
                found[task] = (own["disparity"], report)
    return ((report, task) for task, (_, report) in found.items())


def _said(name: str, own: Mapping[str, Any]) -> str:
    if own["kind"] == "regression":
        unit = f" {own['unit']}" if own.get("unit") else ""
        return f"{name} off by {own['mae']:.1f}{unit} on average" if "mae" in own else ""
    if own["kind"] == "binary":
        return f"{name} wrong for {_one_in(own['accuracy'])}" if "accuracy" in own else ""
    if "accuracy_majority" not in own:
        return ""
    return f"{name} wrong for {_one_in(own['accuracy_majority'])} where most raters agreed"


def _one_in(accuracy: float) -> str:
    """How often an answer is wrong, rounded to the worse side.

    >>> _one_in(0.944), _one_in(0.88), _one_in(0.4), _one_in(1.0)
    ('1 in 17', '1 in 8', '6 in 10', 'none')
    """
    wrong = 1 - accuracy
    if wrong > 1 / 3:
        return f"{-int(-10 * wrong // 1)} in 10"
    return f"1 in {int(1 / wrong)}" if wrong else "none"


def _gap(widest: tuple[Report, str]) -> str:
    """How much less often a task is right in one group of people than in another."""
    report, task = widest
    found, adults = dict(disparities(report, RACE))[task], dict(disparities(report, ADULT_RACE))
    # Sets join two names of one group by a line.
    worst, best = (str(found[end]).replace("_", " or ") for end in ("worst", "best"))
    text = (
        f"It is not equally good for everyone: of {SETS[report.figures['data']]}'s groups, {task} "
        f"is right least often for faces labelled {worst}, {_points(found)} less often "
        f"than for those labelled {best}"
    )
    if own := adults.get(task):
        text += f" ({_points(own, '')} among people from {ADULT} years)"
    return f"{text}."


def _points(found: Mapping[str, Any], unit: str = " points") -> str:
    return f"{100 * found['disparity']:.1f}{unit}"
