"""Measured figures as tables: the card, the README and the About page print the same ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agegenderemo.report.goals import Goal
from agegenderemo.report.record import (
    ADULT_RACE,
    RACE,
    SETS,
    Report,
    amount,
    disparities,
    ends,
    error,
    share,
)
from agegenderemo.report.table import Table

GOALS = "goals"
"""The one key of a card that is no data set."""

_PROTOCOLS = ("majority", "argmax")
_SPREAD = "standard deviation of absolute errors"
_BRACKETS = "In brackets are 95 % bootstrap intervals over faces."
_SPREAD_NOTE = "The standard deviation says how far single errors lie apart."
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


def is_known(name: str) -> bool:
    """Whether a network that was measured on more could have a table of this name."""
    single = ("plain", "results", GOALS, "bands", "confident", "pipeline")
    return name in single or name.endswith(("-classes", "-groups")) or name.startswith("history")


def _kinds(reports: _Reports) -> dict[str, str]:
    """The kind of every task that was measured, by its name, in their order."""
    return {name: own["kind"] for report in reports.values() for name, own in report.tasks.items()}


def _columns(kinds: Mapping[str, str], *, spread: bool = False) -> tuple[str, ...]:
    """Heads of what `_cells` gives for each task, of a regression with its ``spread`` too."""
    heads: list[str] = []
    for name, kind in kinds.items():
        if kind == "categorical":
            heads += [f"{name}, {protocol}" for protocol in _PROTOCOLS]
        elif kind == "regression":
            heads += [f"{name}, mean absolute error", *([f"{name}, {_SPREAD}"] * spread)]
        else:
            heads.append(name)
    return tuple(heads)


def _cells(
    tasks: Mapping[str, Mapping[str, Any]],
    kinds: Mapping[str, str],
    report: Report,
    *,
    spread: bool = False,
) -> tuple[str, ...]:
    """What was measured of each task, under the heads of `_columns`."""
    cells = []
    for name, kind in kinds.items():
        own = tasks.get(name, {})
        if kind == "categorical":
            cells += [_accuracy(own, protocol) for protocol in _PROTOCOLS]
        elif kind == "regression":
            cells += [error(own, report.unit(name)), *([_spread(own, report.unit(name))] * spread)]
        else:
            cells.append(_figure(own, "accuracy"))
    return tuple(cells)


def _spread(own: Mapping[str, Any], unit: str) -> str:
    return amount(own["sd"], unit) if "sd" in own else ""


def _figure(own: Mapping[str, Any], key: str) -> str:
    """A share with its interval, as far as they are known."""
    return share(own.get(key), own.get("intervals", {}).get(key))


def _notes(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _note_of(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    """What brackets and the spread mean, where a table has them."""
    brackets = any(" (" in cell for row in rows for cell in row[1:])
    spread = any(row[i] for row in rows for i, name in enumerate(head) if name.endswith(_SPREAD))
    return _notes(_BRACKETS * brackets, _SPREAD_NOTE * spread)


def _accuracy(own: Mapping[str, Any], protocol: str) -> str:
    text, count = _figure(own, f"accuracy_{protocol}"), own.get(f"n_{protocol}")
    return text + (f" of {count:,}" if text and count is not None else "")


def _results(reports: _Reports) -> Table:
    kinds = _kinds(reports)
    rows = []
    for report in reports.values():
        count = f"{report.figures['n']:,}"
        rows.append((report.where, count, *_cells(report.tasks, kinds, report, spread=True)))
        if adults := report.figures.get("adults"):
            where = f"{report.where}, ages 21 to 60"
            cells = _cells(adults["tasks"], kinds, report, spread=True)
            rows.append((where, f"{adults['n']:,}", *cells))
    head = ("test set", "faces", *_columns(kinds, spread=True))
    left_out = (sentence for report in reports.values() for sentence in report.left_out())
    note = _notes(_note_of(rows, head), *left_out)
    return Table("Figures", head, tuple(rows), note).without_empty_columns(_SPREAD)


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
        right = (_figure(band["tasks"].get(name, {}), "accuracy") for name in report.tasks)
        held = (share(own.get(key)) for key in ("coverage", "coverage_predicted"))
        errors = error(own, report.unit(by)), _spread(own, report.unit(by))
        rows.append((band["band"], f"{band['n']:,}", *errors, *right, *held))
    heads = (f"interval holds: {faces}", "faces said to be of it")
    head = (by, faces, f"{by}, mean absolute error", f"{by}, {_SPREAD}", *report.tasks, *heads)
    title = f"{report.where} by {by}"
    note = _notes(_note_of(rows, head), _interval_note(report, by))
    return Table(title, head, tuple(rows), note).without_empty_columns()


def _interval_note(report: Report, by: str) -> str:
    own = report.tasks.get(by, {})
    if "coverage" not in own:
        return ""
    here = report.figures.get("calibrated_here")
    return (
        f"The predicted interval is meant to hold four true values in five. It holds "
        f"{_figure(own, 'coverage')}, and is {own['width']:.1f} {report.unit(by)} wide on average"
        f"{' on the very faces that it was fitted on' if here else ''}."
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
    fitted: list[str] = []
    for task in _kinds(reports):
        for report in reports.values():
            own = report.tasks.get(task, {})
            if "confident_share" not in own:
                continue
            every = "accuracy" if "accuracy" in own else "accuracy_majority"
            keys = (every, "confident_share", "selective_accuracy", "calibration_error")
            here = bool(report.figures.get("calibrated_here"))
            fitted += [report.where] * (here and report.where not in fitted)
            name = f"{task}, {report.where}" + ", fitted on these faces" * here
            rows.append((name, *(_figure(own, key) for key in keys)))
    head = (
        "task and test set", "right, all answers", "share that is confident",
        "selective accuracy", "calibration error",
    )  # fmt: skip
    note = _note_of(rows, head)
    if fitted:
        note = _notes(
            note,
            f"The calibration was fitted on the faces of {' and of '.join(fitted)}, among others: "
            "there the last three columns look better than they are.",
        )
    return Table("How confident it is", head, tuple(rows), note)


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
    note = _notes(_note_of(rows, head), *_disparity_notes(report))
    table = Table(f"{report.where}, by group", tuple(head), tuple(rows), note)
    return table.without_empty_columns()


def _with_interval(own: Mapping[str, Any]) -> str:
    if "mae" in own:
        value, *interval = own["mae"]
        return f"{value:.2f}{ends(interval)}"
    if "accuracy" in own:
        value, *interval = own["accuracy"]
        return share(value, interval)
    return ""


def _disparity_notes(report: Report) -> Iterator[str]:
    adults = dict(disparities(report, ADULT_RACE))
    for task, found in disparities(report, RACE):
        yield (
            f"The largest disparity between races: the {task} of faces labelled {found['worst']} "
            f"is right {_points(found)} less often than that of faces labelled "
            f"{found['best']}{_by_chance(found)}."
        )
        if own := adults.get(task):
            yield (
                f"Among adults it is {_points(own)}, between {own['worst']} and "
                f"{own['best']}{_by_chance(own)}."
            )


def _points(found: Mapping[str, Any]) -> str:
    return f"{100 * found['disparity']:.1f} points{ends(found.get('interval'), 100, 1)}"


def _by_chance(found: Mapping[str, Any]) -> str:
    if "chance" not in found:
        return ""
    return (
        f"; were all groups read alike, chance alone would show {100 * found['chance']:.1f} points "
        f"on average, and this much in {share(found['share'])} of draws"
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
    note = _note_of(rows, head)
    return Table("The whole path", head, tuple(rows), note).without_empty_columns()
