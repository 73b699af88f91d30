"""The whole record of one set as text for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from agegenderemo.report.record import (
    ADULT_RACE,
    RACE,
    Report,
    amount,
    disparities,
    ends,
    error,
    flat,
)

_IN_UNITS = ("mae", "sd", "width")


def print_text(figures: Mapping[str, Any]) -> str:
    """Everything that was measured of one set, line by line; raises ValueError for what is no
    record of figures."""
    report = Report(figures)
    lines = [_head(report)]
    if any(own.get("intervals") for own in report.tasks.values()):
        lines.append("  in brackets: 95 % bootstrap intervals over faces")
    lines += (f"  {key:28} {text}" for key, text in _figures(report, report.tasks).items())
    if any("sd" in own for own in report.tasks.values()):
        lines.append("  sd is the standard deviation of absolute errors: how far they lie apart")
    if "unfinished" in report.figures:
        epoch, epochs = report.figures["unfinished"]
        lines.append(
            f"  these weights are of epoch {epoch} of {epochs}: their run has not ended, or kept "
            "its best epoch"
        )
    if report.figures.get("changed_set"):
        lines.append(
            "  this set is not as it was when the network was trained, or is another of its name: "
            "some of these faces may be among those that it learnt from"
        )
    if report.figures.get("calibrated_here"):
        lines.append(
            "  the calibration was fitted on these faces: coverage, selective accuracy and "
            "calibration error look better than they are"
        )
    lines += (f"  {sentence}" for sentence in report.left_out())
    lines += _slices(report)
    if "pipeline" in figures:
        lines += _pipeline(report, figures["pipeline"])
    lines += _groups(report)
    for name, own in report.tasks.items():
        if "confusion" in own:
            lines += [f"  {name}, true by row, said by column", *_confusion(own)]
    if "validation" in figures:
        lines.append(print_text({"data": figures["data"], "split": "val", **figures["validation"]}))
    return "\n".join(lines)


def _head(report: Report) -> str:
    figures = report.figures
    head = f"{figures['data']} {figures['split']}: {figures['n']:,} faces"
    if figures["split"] == "train":
        head += (
            ", on which this network was trained: it knows their answers, so these figures say "
            "nothing about other faces"
            if figures.get("training_faces")
            else " of the training split"
        )
    elif "training_faces" in figures:
        head += (
            f", of which this network was trained on {figures['training_faces']:,}; "
            "the validation figures are the ones to trust"
        )
    return head


def _figures(report: Report, tasks: Mapping[str, Any]) -> dict[str, str]:
    """Figures of tasks as text, by flat names."""
    units = {
        f"{name}_{key}": report.unit(name)
        for name, own in report.tasks.items()
        for key in _IN_UNITS
        if own["kind"] == "regression"
    }
    found = {}
    for name, own in tasks.items():
        intervals = own.get("intervals", {})
        for key, value in flat({"tasks": {name: own}}).items():
            interval = intervals.get(key.removeprefix(f"{name}_"))
            if key in units:
                found[key] = amount(value, units[key]) + ends(interval)
            else:
                found[key] = f"{value:.2%}{ends(interval, 100)}"
    return found


def _slices(report: Report) -> Iterator[str]:
    if adults := report.figures.get("adults"):
        yield f"  21 to 60 n {adults['n']:,}{_cells(report, adults['tasks'])}"
    for band in report.bands:
        if band["n"]:
            yield f"  {band['band']:>8} n {band['n']:6,}{_cells(report, band['tasks'])}"


def _cells(report: Report, tasks: Mapping[str, Any]) -> str:
    cells = ""
    for name, own in tasks.items():
        if "accuracy" in own:
            interval = own.get("intervals", {}).get("accuracy")
            cells += f"  {name} {own['accuracy']:6.1%}{ends(interval, 100, 1)}"
        elif text := error(own, report.unit(name)):
            spread = f", sd {own['sd']:.2f}" if "sd" in own else ""
            cells += f"  {name} {text}{spread}"
        if "coverage" in own:
            cells += f"  interval holds {own['coverage']:6.1%}"
    return cells


def _pipeline(report: Report, own: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"  whole pictures ({own['missed']:,} of {own['n']:,} without a face found) and prepared "
        "crops of the same faces"
    )
    pictures, crops = (_figures(report, own[side]["tasks"]) for side in ("pictures", "crops"))
    for key, value in pictures.items():
        yield f"  {key:28} {value:>28} {crops.get(key, ''):>28}"


def _groups(report: Report) -> Iterator[str]:
    if report.groups:
        yield "  groups, with 95 % bootstrap intervals"
    for group in report.groups:
        line = f"  {group['by']:>19} {group['group']:<16} n {group['n']:6,}"
        for name, own in group["tasks"].items():
            if "mae" in own:
                value, low, high = own["mae"]
                line += f"  {name} MAE {value:5.2f} ({low:.2f} to {high:.2f})"
            if "accuracy" in own:
                value, low, high = own["accuracy"]
                line += f"  {name} {value:6.1%} ({low:.1%} to {high:.1%})"
        yield line
    for by in (RACE, ADULT_RACE):
        for name, found in disparities(report, by):
            yield (
                f"  largest disparity in {name} accuracy by {by}: "
                f"{100 * found['disparity']:.1f} points{ends(found.get('interval'), 100, 1)}, "
                f"{found['worst']} the worst, {found['best']} the best{_by_chance(found)}"
            )


def _by_chance(found: Mapping[str, Any]) -> str:
    if "chance" not in found:
        return ""
    return f"; chance alone {100 * found['chance']:.1f}, this much in {found['share']:.1%} of draws"


def _confusion(own: Mapping[str, Any]) -> Iterator[str]:
    names = [name[:9] for name in own["classes"]]
    yield " " * 12 + "".join(f"{name:>10}" for name in names)
    for name, row in zip(names, own["confusion"], strict=True):
        yield f"  {name:>10}" + "".join(f"{n:10,}" for n in row)
