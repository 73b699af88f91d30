"""Plots of training and evaluation: one description of panels, drawn by Plotly as an interactive
page that needs no network, and by Matplotlib as a PNG."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agegenderemo.files import write_atomically
from agegenderemo.tasks import TaskSpec

if TYPE_CHECKING:
    import plotly.graph_objects as go

_TRAINING, _VALIDATION = "#85797c", "#2f69b5"
_TASKS = ("#0f766e", "#d4811e", "#6e60f4", "#b83280", "#4d7c0f", "#0369a1")
_INK, _GRID = "#333333", "#e4e4e4"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or the bars, of a panel; a value may be missing."""

    name: str
    color: str
    x: Sequence[float | str]
    y: Sequence[float | None]
    error: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot with a title that says what is measured and in which unit."""

    title: str
    x_title: str
    kind: Literal["lines", "bars"]
    series: tuple[Series, ...]
    logarithmic: bool = False
    mark: float | None = None
    """Where a dotted line stands upright: the epoch with the best validation loss."""


def history_panels(history: Sequence[Mapping[str, Any]], specs: Sequence[TaskSpec]) -> list[Panel]:
    """The panels of a training run from its history, a line an epoch: the loss, a panel a task, and
    the losses of the tasks."""
    epochs = [int(line["epoch"]) for line in history]

    def series(name: str, color: str, column: str, factor: float = 1) -> Series:
        values = [line.get(column) for line in history]
        return Series(
            name, color, epochs, [None if v is None else factor * float(v) for v in values]
        )

    def both(title: str, trained: str, validated: str, factor: float = 1) -> Panel:
        lines = (
            series("training", _TRAINING, trained, factor),
            series("validation", _VALIDATION, validated, factor),
        )
        return Panel(title, "epoch", "lines", lines, mark=best)

    def of_task(spec: TaskSpec) -> Panel:
        name = spec.name
        if spec.kind == "regression":
            title = f"{_title(name)}, mean absolute error{_in(spec.unit)}"
            return both(title, f"train_{name}_mae", f"val_{name}_mae")
        measured = "accuracy_majority" if spec.kind == "categorical" else "accuracy"
        title = f"{_title(name)} accuracy in %"
        return both(title, f"train_{name}_accuracy", f"val_{name}_{measured}", 100)

    def losses(title: str, prefix: str) -> Panel:
        lines = tuple(
            series(spec.name, task_color(index), f"{prefix}_{spec.name}")
            for index, spec in enumerate(specs)
        )
        return Panel(title, "epoch", "lines", lines, logarithmic=True, mark=best)

    totals = [float(line.get("val_total", math.inf)) for line in history]
    best = epochs[totals.index(min(totals))] if history and "val_total" in history[-1] else None
    return [
        both("Total loss", "train_total", "val_total"),
        *map(of_task, specs),
        losses("Task losses, training", "train"),
        losses("Task losses, validation", "val"),
    ]


def band_panels(figures: Mapping[str, Any]) -> list[Panel]:
    """The panels of an evaluation by band of true age, one a task that the set has labels for, from
    the figures that `evaluate` gives."""
    bands = [band for band in figures["bands"] if band["n"]]
    names = [f"{band['band']}<br>{band['n']:,}" for band in bands]
    panels = []
    for index, (name, total) in enumerate(figures["tasks"].items()):
        own = [band["tasks"].get(name, {}) for band in bands]
        unit = total.get("unit", "")
        if total["kind"] == "regression":
            title = f"{_title(name)} error{_in(unit)}, whiskers: standard deviation"
            values = [one.get("mae") for one in own]
            spread = [float(one.get("sd", 0)) for one in own]
        else:
            title, spread = f"{_title(name)} accuracy in %", None
            values = [100 * one["accuracy"] if "accuracy" in one else None for one in own]
        if any(value is not None for value in values):
            bars = Series(name, task_color(index), names, values, spread)
            by = bands[0]["by"]
            x_title = f"true {by}{_in(figures['tasks'].get(by, {}).get('unit', ''))}, and faces"
            panels.append(Panel(title, x_title, "bars", (bars,)))
    return panels


def task_color(index: int) -> str:
    """The colour of the task that stands at an index of its network's."""
    return _TASKS[index % len(_TASKS)]


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _in(unit: str) -> str:
    return f" in {unit}" if unit else ""


def to_plotly(panels: Sequence[Panel], columns: int = 3) -> "go.Figure":
    """The panels as one interactive figure."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    columns, rows = _layout(panels, columns)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[f"<b>{panel.title}</b>" for panel in panels],
        vertical_spacing=0.16,
        horizontal_spacing=0.06,
    )
    named: set[str] = set()
    for index, panel in enumerate(panels):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        for series in panel.series:
            common = {
                "x": list(series.x),
                "y": list(series.y),
                "name": series.name,
                "legendgroup": series.name,
                # Every name once, for all panels
                "showlegend": panel.kind == "lines" and series.name not in named,
            }
            named.add(series.name)
            if panel.kind == "lines":
                trace = go.Scatter(
                    **common, mode="lines+markers", line={"color": series.color}, marker={"size": 5}
                )
            else:
                error = {"array": list(series.error), "color": _INK} if series.error else None
                trace = go.Bar(**common, marker={"color": series.color}, error_y=error)
            figure.add_trace(trace, **place)
        if panel.mark is not None:
            line = {"dash": "dot", "color": _INK, "width": 1}
            note = {"annotation_text": "best epoch"} if index == 0 else {}
            figure.add_vline(panel.mark, line=line, **note, **place)
        figure.update_xaxes(title={"text": panel.x_title, "font_size": 13}, **place)
        if panel.kind == "bars":
            figure.update_xaxes(tickangle=0, tickfont_size=10, **place)
            figure.update_yaxes(rangemode="nonnegative", **place)
        figure.update_yaxes(type="log" if panel.logarithmic else "linear", **place)
    figure.update_layout(
        template="simple_white",
        font={"family": _FONT, "size": 13, "color": _INK},
        height=340 * rows + 60,
        margin={"l": 50, "r": 20, "t": 60, "b": 50},
        hovermode="x unified",
        legend={"orientation": "h", "y": 1.02 + 0.12 / rows, "yanchor": "bottom"},
    )
    figure.update_xaxes(gridcolor=_GRID)
    figure.update_yaxes(gridcolor=_GRID, showgrid=True)
    return figure


def _layout(panels: Sequence[Panel], columns: int) -> tuple[int, int]:
    """Columns and rows; raises ValueError where there is nothing to draw."""
    if not panels:
        raise ValueError("There is nothing to draw.")
    columns = min(columns, len(panels))
    return columns, -(-len(panels) // columns)


def save_html(panels: Sequence[Panel], path: Path) -> None:
    """The interactive figure as one file with Plotly in it."""
    html = to_plotly(panels).to_html(include_plotlyjs=True, config={"displaylogo": False})
    write_atomically(path, html.encode())


def save_png(panels: Sequence[Panel], path: Path, columns: int = 3) -> None:
    """The same panels as a picture."""
    # Not Plotly: its pictures need a browser, which a training machine rarely has.
    from matplotlib.figure import Figure

    columns, rows = _layout(panels, columns)
    figure = Figure(figsize=(4.4 * columns, 3.3 * rows), dpi=110, layout="constrained")
    figure.set_facecolor("white")
    for index, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.set_title(panel.title, fontsize=11, fontweight="bold", color=_INK)
        axes.set_xlabel(panel.x_title, fontsize=9, color=_INK)
        axes.grid(axis="y", color=_GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        for series in panel.series:
            y = [math.nan if v is None else v for v in series.y]
            if panel.kind == "lines":
                axes.plot(series.x, y, "o-", color=series.color, label=series.name, markersize=3)
            else:
                x = [str(v).replace("<br>", "\n") for v in series.x]
                axes.bar(x, y, color=series.color, yerr=series.error, ecolor=_INK, capsize=2)
                axes.tick_params(axis="x", labelsize=8)
                axes.set_ylim(bottom=0)  # a deviation may be larger than its mean
        if panel.logarithmic:
            axes.set_yscale("log")
        if panel.mark is not None:
            axes.axvline(panel.mark, color=_INK, linestyle=":", linewidth=1, label="best epoch")
        if len(panel.series) > 1:
            axes.legend(fontsize=9, frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    write_atomically(path, stream.getbuffer())
