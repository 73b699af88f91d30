"""What plots show: panels from a history and from figures, drawn by both libraries."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import GLASSES

from agegenderemo.evaluation.plots import (
    band_panels,
    history_panels,
    save_html,
    save_png,
    task_color,
    to_plotly,
)
from agegenderemo.report import load_card
from agegenderemo.resources import default_checkpoint
from agegenderemo.tasks import AGE, DEFAULT_TASKS, EMOTION6

HISTORY: list[dict[str, Any]] = [
    {"epoch": 1, "train_total": 3.0, "val_total": 2.5, "train_age": 2.0, "val_age": 2.1,
     "train_age_mae": 6.0, "val_age_mae": 5.5, "train_gender_accuracy": 0.8,
     "val_gender_accuracy": 0.9, "train_emotion_accuracy": 0.5,
     "val_emotion_accuracy_majority": 0.6},
    {"epoch": 2, "train_total": 2.0, "val_total": 2.6, "train_age_mae": 5.0},
]  # fmt: skip


def test_a_history_has_a_panel_a_task() -> None:
    panels = history_panels(HISTORY, DEFAULT_TASKS)
    assert [panel.title for panel in panels] == [
        "Total loss",
        "Age, mean absolute error in years",
        "Gender accuracy in %",
        "Emotion accuracy in %",
        "Task losses, training",
        "Task losses, validation",
    ]
    total, age, gender, emotion, trained, _ = panels
    assert {panel.mark for panel in panels} == {1}  # the lowest validation loss
    assert [tuple(line.y) for line in total.series] == [(3.0, 2.0), (2.5, 2.6)]
    assert [tuple(line.y) for line in age.series] == [(6.0, 5.0), (5.5, None)]
    assert [line.y[0] for line in gender.series] == [80, 90]
    assert [line.y[0] for line in emotion.series] == [50, 60]
    assert [line.name for line in trained.series] == ["age", "gender", "emotion"]
    assert trained.series[0].y[0] == 2.0
    assert trained.logarithmic


def test_panels_follow_the_tasks_of_the_network() -> None:
    titles = [panel.title for panel in history_panels([], (GLASSES, EMOTION6))]
    assert titles[1:3] == ["Glasses accuracy in %", "Emotion accuracy in %"]
    assert len(history_panels(HISTORY, (AGE,))) == 4
    assert len({task_color(index) for index in range(6)}) == 6


def test_bands_show_what_was_measured() -> None:
    figures = load_card(default_checkpoint())["utkface"]
    age, gender = band_panels(figures)
    assert age.title == "Age error in years, whiskers: standard deviation"
    assert age.x_title == "true age in years, and faces"
    own = [band["tasks"]["age"] for band in figures["bands"]]
    assert list(age.series[0].y) == [band["mae"] for band in own]
    assert age.series[0].error == [band["sd"] for band in own]
    assert gender.series[0].y[0] == 100 * figures["bands"][0]["tasks"]["gender"]["accuracy"]
    assert gender.series[0].x[0] == "0-9<br>293"


@pytest.mark.slow
def test_both_libraries_draw_the_panels(tmp_path: Path) -> None:
    panels = history_panels(HISTORY, DEFAULT_TASKS)
    figure = to_plotly(panels)
    assert len(figure.data) == sum(len(panel.series) for panel in panels)
    assert [a.text for a in figure.layout.annotations][:2] == [
        "<b>Total loss</b>", "<b>Age, mean absolute error in years</b>",
    ]  # fmt: skip
    bars = band_panels(load_card(default_checkpoint())["utkface"])
    save_png(panels, tmp_path / "a.png")
    save_png(bars, tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        pixels = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        assert min(pixels.shape[:2]) > 300
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20  # something is drawn
    save_html(bars, tmp_path / "b.html")
    page = (tmp_path / "b.html").read_text(encoding="utf-8")
    assert "Age error" in page
    assert 'src="http' not in page  # needs no network
    with pytest.raises(ValueError, match="nothing to draw"):
        save_png([], tmp_path / "c.png")
