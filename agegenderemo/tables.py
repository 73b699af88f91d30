"""Measured figures as tables: the card, the README and the About page print the same ones.

In Markdown a line ``<!-- table NAME -->`` stands above each; ``fill`` renews what follows it.
"""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agegenderemo.checkpoint import load_card
from agegenderemo.fairness import ADULT_RACE, largest_gap
from agegenderemo.goals import goal_rows
from agegenderemo.labels import EMOTIONS

SETS = {"utkface": "UTKFace", "ferplus": "FER+", "fairface": "FairFace", "ffhq": "FFHQ-Features"}
_SPLITS = {"val": "validation slice"}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of plain text under a title; ``note`` is a sentence below them."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """Pipes and dashes, and the note as a paragraph."""
        lines = [self.head, ("---",) * len(self.head), *self.rows]
        text = "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
        return text + (f"\n{self.note}\n" if self.note else "")


def tables(figures: dict[str, Any]) -> dict[str, Table]:
    """Every table that the figures beside a checkpoint fill, by name, in the order to show."""
    made: dict[str, Callable[[dict[str, Any]], Table | None]] = {
        "results": _results,
        "goals": _goals,
        "bands": _bands,
        "emotions": _emotions,
        "sureness": _sureness,
        "utkface-groups": lambda f: _groups(f, "utkface"),
        "fairface-groups": lambda f: _groups(f, "fairface"),
        "pipeline": _pipeline,
    }
    found = ((name, make(figures)) for name, make in made.items())
    return {name: table for name, table in found if table is not None and table.rows}


def card_tables(checkpoint: Path) -> dict[str, Table]:
    """The tables of what lies beside a checkpoint: its figures, and a ``NAME.history*.csv`` for
    each of its runs."""
    made = tables(load_card(checkpoint))
    for history in sorted(checkpoint.parent.glob(f"{checkpoint.stem}.history*.csv")):
        with history.open(newline="") as file:
            rows = list(csv.DictReader(file))
        made[history.stem.removeprefix(f"{checkpoint.stem}.")] = history_table(rows)
    return made


def history_table(history: Sequence[dict[str, str]]) -> Table:
    """A row an epoch of a ``history.csv``."""
    return Table(
        "Every epoch of its training",
        ("epoch", "pixels", "training loss", "UTKFace MAE", "gender", "FER+ majority",
         "FairFace gender", "minutes"),
        tuple(
            (
                row["epoch"],
                row["size"],
                f"{float(row['train_total']):.2f}",
                f"{float(row['utkface_age_mae']):.2f}",
                _share(float(row["utkface_gender_accuracy"])),
                _share(float(row["ferplus_emotion_accuracy_majority"])),
                _share(float(row["fairface_gender_accuracy"])),
                _minutes(float(row["seconds"])),
            )
            for row in history
        ),
    )  # fmt: skip


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.{0 if seconds >= 60 else 1}f}"


def fill(text: str, made: dict[str, Table]) -> str:
    """Markdown with the table below each marker renewed.

    Raises ValueError for a marker that names no table.
    """

    def renew(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in made:
            raise ValueError(f"no figures for the table {name!r}; measure them with --card first")
        return f"<!-- table {name} -->\n{made[name].markdown()}<!-- end -->\n"

    return re.sub(r"<!-- table (?P<name>\S+) -->\n.*?<!-- end -->\n", renew, text, flags=re.DOTALL)


def _results(figures: dict[str, Any]) -> Table | None:
    rows = []
    for key in ("utkface", "ferplus", "fairface", "ffhq"):
        if key not in figures:
            continue
        f = figures[key]
        age = ""
        if "age_mae" in f:
            age = f"{f['age_mae']:.2f} ± {f['age_sd']:.2f} years"
        elif "age_band_accuracy" in f:
            age = f"right band {_share(f['age_band_accuracy'])}"
        emotions = [
            f"{_share(f[f'emotion_accuracy_{protocol}'])} of {f[f'emotion_n_{protocol}']:,}"
            if f"emotion_accuracy_{protocol}" in f
            else ""
            for protocol in ("majority", "argmax")
        ]
        rows.append((_where(f), f"{f['n']:,}", age, _share(f.get("gender_accuracy")), *emotions))
        if key == "utkface" and "adults" in f:
            rows.append(_adults(f))
    return Table(
        "Figures",
        ("test set", "faces", "age, mean absolute error", "gender", "emotion, majority",
         "emotion, argmax"),
        tuple(rows),
    )  # fmt: skip


def _adults(figures: dict[str, Any]) -> tuple[str, ...]:
    adults = figures["adults"]
    age = f"{adults['age_mae']:.2f} ± {adults['age_sd']:.2f} years"
    name = f"{_where(figures)}, ages 21 to 60"
    return (name, f"{adults['n']:,}", age, _share(adults["gender_accuracy"]), "", "")


def _goals(figures: dict[str, Any]) -> Table:
    return Table("Goals", ("figure", "measured", "verdict", "must", "aim"), goal_rows(figures))


def _bands(figures: dict[str, Any]) -> Table | None:
    if "utkface" not in figures:
        return None
    rows = []
    for band in figures["utkface"]["bands"]:
        age = f"{band['age_mae']:.2f} ± {band['age_sd']:.2f} years"
        row = (band["band"], f"{band['n']:,}", age, _share(band["gender_accuracy"]))
        held = (band.get("age_coverage"), band.get("age_coverage_predicted"))
        rows.append((*row, *map(_share, held)))
    total = figures["utkface"]
    note = ""
    if "age_coverage" in total:
        note = (
            "The interval is meant to hold four true ages in five. It holds "
            f"{_share(total['age_coverage'])}, and is {total['age_width']:.1f} years wide on "
            "average."
        )
    return Table(
        "UTKFace test by age",
        ("age", "faces of that age", "age, mean absolute error", "gender",
         "interval holds: faces of that age", "faces said to be of it"),
        tuple(rows),
        note,
    )  # fmt: skip


def _emotions(figures: dict[str, Any]) -> Table | None:
    counts = figures.get("ferplus", {}).get("confusion")
    if counts is None:
        return None
    return Table(
        "FER+ test, majority protocol, by emotion",
        ("emotion", "faces", "found", "of those said to show it, do"),
        tuple(
            (
                name,
                f"{sum(row):,}",
                _share(row[i] / sum(row)) if sum(row) else "",
                _share(row[i] / said) if said else "never said",
            )
            for i, (name, row, said) in enumerate(
                zip(EMOTIONS, counts, map(sum, zip(*counts, strict=True)), strict=True)
            )
        ),
    )


def _sureness(figures: dict[str, Any]) -> Table:
    rows = []
    for key, task in (("utkface", "gender"), ("fairface", "gender"), ("ferplus", "emotion")):
        f = figures.get(key, {})
        if f"{task}_sure_share" not in f:
            continue
        every = f["gender_accuracy" if task == "gender" else "emotion_accuracy_majority"]
        sure = (f[f"{task}_sure_share"], f[f"{task}_sure_accuracy"], f[f"{task}_calibration_error"])
        rows.append((f"{task}, {_where(f)}", _share(every), *map(_share, sure)))
    return Table(
        "How sure it is",
        ("task and test set", "right, all answers", "share that is sure", "right when sure",
         "calibration error"),
        tuple(rows),
    )  # fmt: skip


def _groups(figures: dict[str, Any], key: str) -> Table | None:
    groups = figures.get(key, {}).get("groups")
    if not groups:
        return None
    rows: list[tuple[str, ...]] = []
    for g in groups:
        age = gender = ""
        if "age_mae" in g:
            value, low, high = g["age_mae"]
            age = f"{value:.2f} ({low:.2f} to {high:.2f})"
        if "gender_accuracy" in g:
            value, low, high = (100 * v for v in g["gender_accuracy"])
            gender = f"{value:.1f} % ({low:.1f} to {high:.1f})"
        rows.append((g["by"], g["group"], f"{g['n']:,}", age, gender))
    head: tuple[str, ...] = ("by", "group", "faces", "age, mean absolute error in years", "gender")
    if not any(row[3] for row in rows):
        head, rows = (*head[:3], head[4]), [(*row[:3], row[4]) for row in rows]
    note = ""
    if gap := largest_gap(groups):
        note = (
            f"The largest gap between races: the gender of faces labelled {gap['worst']} is right "
            f"{100 * gap['gap']:.1f} points less often than that of faces labelled {gap['best']}."
        )
    if gap := largest_gap(groups, ADULT_RACE):
        note += (
            f" Among adults it is {100 * gap['gap']:.1f} points, between {gap['worst']} and "
            f"{gap['best']}."
        )
    return Table(f"{_where(figures[key])}, by group", head, tuple(rows), note)


def _pipeline(figures: dict[str, Any]) -> Table:
    rows = []
    for key in ("utkface", "fairface"):
        f = figures.get(key, {}).get("pipeline")
        if f is None:
            continue
        where = _where(figures[key])
        for name, side in (("whole pictures", "pictures"), ("prepared crops", "crops")):
            values = f[side]
            age = (
                f"{values['age_mae']:.2f} years"
                if "age_mae" in values
                else f"right band {_share(values['age_band_accuracy'])}"
            )
            found = f"{f['n'] - f['missed']:,} of {f['n']:,}"
            rows.append((f"{where}: {name}", found, age, _share(values["gender_accuracy"])))
    return Table(
        "The whole path",
        ("test set", "faces found", "age, mean absolute error", "gender"),
        tuple(rows),
    )


def _where(figures: dict[str, Any]) -> str:
    split = figures["split"]
    return f"{SETS[figures['data']]}, {_SPLITS.get(split, split)}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
