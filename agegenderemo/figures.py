"""Figures of training and evaluation: one description of panels, drawn by Plotly as an interactive
page that needs no network, and by Matplotlib as a PNG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from agegenderemo.charts import FONT

_TRAINING, _VALIDATION = "#85797c", "#2f69b5"
_TASKS = {"age": "#0f766e", "gender": "#d4811e", "emotion": "#6e60f4"}
_INK, _GRID = "#333333", "#e4e4e4"


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


def history_panels(history: Sequence[dict[str, Any]]) -> list[Panel]:
    """The six panels of a training run from its history, a line an epoch."""
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

    def tasks(title: str, prefix: str) -> Panel:
        lines = tuple(series(task, color, f"{prefix}_{task}") for task, color in _TASKS.items())
        return Panel(title, "epoch", "lines", lines, logarithmic=True, mark=best)

    losses = [float(line.get("val_total", math.inf)) for line in history]
    best = epochs[losses.index(min(losses))] if history and "val_total" in history[-1] else None
    return [
        both("Total loss", "train_total", "val_total"),
        both("Age, mean absolute error in years", "train_age_mae", "val_age_mae"),
        both("Gender accuracy in %", "train_gender_accuracy", "val_gender_accuracy", 100),
        both(
            "Emotion accuracy in %", "train_emotion_accuracy", "val_emotion_accuracy_majority", 100
        ),
        tasks("Task losses, training", "train"),
        tasks("Task losses, validation", "val"),
    ]


def band_panels(figures: dict[str, Any]) -> list[Panel]:
    """The panels of an evaluation by age band, one a task that the set has labels for, from the
    figures that `measure` gives."""
    bands = [band for band in figures["bands"] if band["n"]]
    names = [f"{band['band']}<br>{band['n']:,}" for band in bands]

    def panel(title: str, task: str, key: str, factor: float, error: str | None = None) -> Panel:
        values = [None if (v := band.get(key)) is None else factor * v for band in bands]
        spread = [float(band[error]) for band in bands] if error else None
        bars = Series(task, _TASKS[task], names, values, spread)
        return Panel(title, "true age in years, and faces", "bars", (bars,))

    panels = [
        panel("Age error ± its deviation, years", "age", "age_mae", 1, "age_sd"),
        panel("Gender accuracy in %", "gender", "gender_accuracy", 100),
        panel("Emotion accuracy in %", "emotion", "emotion_accuracy", 100),
    ]
    return [one for one in panels if any(v is not None for v in one.series[0].y)]


def to_plotly(panels: Sequence[Panel], columns: int = 3) -> go.Figure:
    """The panels as one interactive figure."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
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
        font={"family": FONT, "size": 13, "color": _INK},
        height=340 * rows + 60,
        margin={"l": 50, "r": 20, "t": 60, "b": 50},
        hovermode="x unified",
        legend={"orientation": "h", "y": 1.02 + 0.12 / rows, "yanchor": "bottom"},
    )
    figure.update_xaxes(gridcolor=_GRID)
    figure.update_yaxes(gridcolor=_GRID, showgrid=True)
    return figure


def save_html(panels: Sequence[Panel], path: Path) -> None:
    """The interactive figure as one file with Plotly in it."""
    to_plotly(panels).write_html(path, include_plotlyjs=True, config={"displaylogo": False})


def save_png(panels: Sequence[Panel], path: Path, columns: int = 3) -> None:
    """The same panels as a picture."""
    # Not Plotly: its pictures need a browser, which a training machine rarely has.
    from matplotlib.figure import Figure

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
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
    figure.savefig(path)
