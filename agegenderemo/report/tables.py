"""Measured figures as tables: the card, the README and the About page print the same ones."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agegenderemo.report.goals import Goal
from agegenderemo.report.record import (
    ADULT_RACE,
    RACE,
    SETS,
    Report,
    disparities,
    error,
    share,
)
from agegenderemo.report.table import Table

GOALS = "goals"
"""The one key of a card that is no data set."""

_PROTOCOLS = ("majority", "argmax")
_Reports = Mapping[str, Report]


def tables(card: Mapping[str, Any]) -> dict[str, Table]:
    """Every table that the figures beside a checkpoint fill, by name, in the order to show."""
    others = (name for name in card if name not in (*SETS, GOALS))
    reports = {name: Report(card[name]) for name in (*SETS, *others) if name in card}
    goals = tuple(map(Goal.from_dict, card.get(GOALS, ())))
    kinds = _kinds(reports)
    made: dict[str, Callable[[], Table | None]] = {
        "results": lambda: _results(reports),
        GOALS: lambda: _goals(reports, goals),
        "bands": lambda: _bands(reports),
        **{f"{task}-classes": lambda t=task: _classes(reports, t) for task in kinds},  # type: ignore[misc]
        "confident": lambda: _confident(reports),
        **{f"{name}-groups": lambda r=own: _groups(r) for name, own in reports.items()},  # type: ignore[misc]
        "pipeline": lambda: _pipeline(reports),
    }
    found = ((name, make()) for name, make in made.items())
    return {name: table for name, table in found if table is not None and table.rows}


def _kinds(reports: _Reports) -> dict[str, str]:
    """The kind of every task that was measured, by its name, in their order."""
    return {name: own["kind"] for report in reports.values() for name, own in report.tasks.items()}


def _columns(kinds: Mapping[str, str]) -> tuple[str, ...]:
    """Heads of what `_cells` gives for each task."""
    heads: list[str] = []
    for name, kind in kinds.items():
        if kind == "categorical":
            heads += [f"{name}, {protocol}" for protocol in _PROTOCOLS]
        else:
            heads.append(f"{name}, mean absolute error" if kind == "regression" else name)
    return tuple(heads)


def _cells(
    tasks: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, str], report: Report
) -> tuple[str, ...]:
    """What was measured of each task, under the heads of `_columns`."""
    cells = []
    for name, kind in kinds.items():
        own = tasks.get(name, {})
        if kind == "categorical":
            cells += [_accuracy(own, protocol) for protocol in _PROTOCOLS]
        elif kind == "regression":
            cells.append(error(own, report.unit(name)))
        else:
            cells.append(share(own.get("accuracy")))
    return tuple(cells)


def _accuracy(own: Mapping[str, Any], protocol: str) -> str:
    value, count = own.get(f"accuracy_{protocol}"), own.get(f"n_{protocol}")
    return share(value) + ("" if value is None or count is None else f" of {count:,}")


def _results(reports: _Reports) -> Table:
    kinds = _kinds(reports)
    rows = []
    for report in reports.values():
        count = f"{report.figures['n']:,}"
        rows.append((report.where, count, *_cells(report.tasks, kinds, report)))
        if adults := report.figures.get("adults"):
            where = f"{report.where}, ages 21 to 60"
            cells = _cells(adults["tasks"], kinds, report)
            rows.append((where, f"{adults['n']:,}", *cells))
    note = " ".join(sentence for report in reports.values() for sentence in report.left_out())
    return Table("Figures", ("test set", "faces", *_columns(kinds)), tuple(rows), note)


def _goals(reports: _Reports, goals: Sequence[Goal]) -> Table:
    rows = (goal.row(reports[goal.data]) for goal in goals if goal.data in reports)
    return Table(
        "Goals",
        ("figure", "measured", "verdict", "must", "aim"),
        tuple(row for row in rows if row is not None),
    )


def _bands(reports: _Reports) -> Table | None:
    """By band of true age, of the first set that has ages."""
    report = next((own for own in reports.values() if own.bands), None)
    if report is None:
        return None
    by = report.bands[0]["by"]
    faces = f"faces of that {by}"
    rows = []
    for band in report.bands:
        own = band["tasks"].get(by, {})
        right = (share(band["tasks"].get(name, {}).get("accuracy")) for name in report.tasks)
        held = (share(own.get(key)) for key in ("coverage", "coverage_predicted"))
        rows.append((band["band"], f"{band['n']:,}", error(own, report.unit(by)), *right, *held))
    heads = (f"interval holds: {faces}", "faces said to be of it")
    head = (by, faces, f"{by}, mean absolute error", *report.tasks, *heads)
    title = f"{report.where} by {by}"
    note = "" if by not in report.tasks else _interval_note(report.tasks[by], report.unit(by))
    return Table(title, head, tuple(rows), note).without_empty_columns()


def _interval_note(own: Mapping[str, Any], unit: str) -> str:
    if "coverage" not in own:
        return ""
    return (
        f"The interval is meant to hold four true values in five. It holds "
        f"{share(own['coverage'])}, and is {own['width']:.1f} {unit} wide on average."
    )


def _classes(reports: _Reports, task: str) -> Table | None:
    """By class of a categorical task, of the first set that has labels for it."""
    report = next((r for r in reports.values() if "confusion" in r.tasks.get(task, {})), None)
    if report is None:
        return None
    own = report.tasks[task]
    counts = own["confusion"]
    rows = [
        (
            name,
            f"{sum(row):,}",
            share(row[i] / sum(row)) if sum(row) else "",
            share(row[i] / said) if said else "never said",
        )
        for i, (name, row, said) in enumerate(
            zip(own["classes"], counts, map(sum, zip(*counts, strict=True)), strict=True)
        )
    ]
    return Table(
        f"{report.where}, majority protocol, by {task}",
        (task, "faces", "found", "of those said to show it, do"),
        tuple(rows),
    )


def _confident(reports: _Reports) -> Table:
    rows = []
    for task in _kinds(reports):
        for report in reports.values():
            own = report.tasks.get(task, {})
            if "confident_share" not in own:
                continue
            every = own.get("accuracy", own.get("accuracy_majority"))
            keys = ("confident_share", "selective_accuracy", "calibration_error")
            cells = (share(value) for value in (every, *map(own.get, keys)))
            rows.append((f"{task}, {report.where}", *cells))
    return Table(
        "How confident it is",
        ("task and test set", "right, all answers", "share that is confident",
         "selective accuracy", "calibration error"),
        tuple(rows),
    )  # fmt: skip


def _groups(report: Report) -> Table | None:
    if not report.groups:
        return None
    head = ["by", "group", "faces"]
    for name, own in report.tasks.items():
        unit = report.unit(name)
        error_head = f"{name}, mean absolute error" + (f" in {unit}" if unit else "")
        head.append(error_head if own["kind"] == "regression" else name)
    rows = []
    for group in report.groups:
        cells = (_with_interval(group["tasks"].get(name, {})) for name in report.tasks)
        rows.append((group["by"], group["group"], f"{group['n']:,}", *cells))
    note = " ".join(_disparity_notes(report))
    table = Table(f"{report.where}, by group", tuple(head), tuple(rows), note)
    return table.without_empty_columns()


def _with_interval(own: Mapping[str, Any]) -> str:
    if "mae" in own:
        value, low, high = own["mae"]
        return f"{value:.2f} ({low:.2f} to {high:.2f})"
    if "accuracy" in own:
        value, low, high = (100 * v for v in own["accuracy"])
        return f"{value:.1f} % ({low:.1f} to {high:.1f})"
    return ""


def _disparity_notes(report: Report) -> Iterator[str]:
    adults = dict(disparities(report, ADULT_RACE))
    for task, found in disparities(report, RACE):
        yield (
            f"The largest disparity between races: the {task} of faces labelled {found['worst']} "
            f"is right {100 * found['disparity']:.1f} points less often than that of faces "
            f"labelled {found['best']}."
        )
        if own := adults.get(task):
            yield (
                f"Among adults it is {100 * own['disparity']:.1f} points, between {own['worst']} "
                f"and {own['best']}."
            )


def _pipeline(reports: _Reports) -> Table:
    kinds = _kinds(reports)
    rows = []
    for report in reports.values():
        own = report.figures.get("pipeline")
        if own is None:
            continue
        for name, side in (("whole pictures", "pictures"), ("prepared crops", "crops")):
            found = f"{own['n'] - own['missed']:,} of {own['n']:,}"
            cells = _cells(own[side]["tasks"], kinds, report)
            rows.append((f"{report.where}: {name}", found, *cells))
    head = ("test set", "faces found", *_columns(kinds))
    return Table("The whole path", head, tuple(rows)).without_empty_columns()


_MEASURED = re.compile(r"(?P<data>[a-z0-9]+)_(?P<task>\w+?)_(?P<key>mae|accuracy(?:_majority)?)")


def history_table(history: Sequence[Mapping[str, str]]) -> Table:
    """A row an epoch of a ``history.csv``: its loss, and what was measured of each set."""
    shown = []
    for column in history[0] if history else ():
        match = _MEASURED.fullmatch(column)
        if match and match["data"] not in ("train", "val") and not match["task"].endswith("_band"):
            data = SETS.get(match["data"], match["data"])
            how = {"mae": " MAE", "accuracy": ""}.get(match["key"], " majority")
            shown.append((column, f"{data} {match['task']}{how}", match["key"] == "mae"))
    return Table(
        "Every epoch of its training",
        ("epoch", "pixels", "training loss", *(head for _, head, _ in shown), "minutes"),
        tuple(
            (
                row["epoch"],
                row["size"],
                f"{float(row['train_total']):.2f}",
                *(
                    f"{float(row[column]):.2f}" if error else share(float(row[column]))
                    for column, _, error in shown
                ),
                _minutes(float(row["seconds"])),
            )
            for row in history
        ),
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.{0 if seconds >= 60 else 1}f}"
