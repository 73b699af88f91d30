"""What the shipped network was meant to reach, and how far each measured figure is from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agegenderemo.fairness import largest_gap


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure with what it must reach and what it aims at.

    ``read`` takes the figures of the test set ``data``. Errors in years and differences in points
    are better when lower, shares (%) when higher; both of these are numbers in [0, 1].
    """

    data: str
    name: str
    must: float
    aim: float | None
    read: Callable[[dict[str, Any]], float | None]
    unit: Literal["years", "points", "%"] = "%"

    def row(self, figures: dict[str, Any]) -> tuple[str, ...] | None:
        """Name, figure, verdict, must and aim; None where it was not measured."""
        value = self.read(figures)
        if value is None:
            return None
        aim = "" if self.aim is None else self._text(self.aim)
        return (self.name, self._text(value), self._verdict(value), self._text(self.must), aim)

    def _verdict(self, value: float) -> str:
        short = self._short(value, self.must)
        if short > 0:
            return f"missed by {self._difference(short)}"
        if self.aim is None:
            return "met"
        short = self._short(value, self.aim)
        return f"met; {self._difference(short)} from the aim" if short > 0 else "met, the aim too"

    def _short(self, value: float, goal: float) -> float:
        # As printed: a reader who subtracts the printed figures gets the same.
        digits = 2 if self.unit == "years" else 3
        difference = round(value, digits) - goal
        return round(-difference if self.unit == "%" else difference, digits)

    def _difference(self, value: float) -> str:
        return f"{value:.2f} years" if self.unit == "years" else f"{100 * value:.1f} points"

    def _text(self, value: float) -> str:
        return f"{100 * value:.1f} %" if self.unit == "%" else self._difference(value)


def _at(*path: str | int) -> Callable[[dict[str, Any]], float | None]:
    """What reads nested figures; None where any part of the path is absent."""

    def read(figures: dict[str, Any]) -> float | None:
        value: Any = figures
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError):
                return None
        return float(value)

    return read


def _gap(figures: dict[str, Any]) -> float | None:
    gap = largest_gap(figures.get("groups") or [])
    return None if gap is None else float(gap["gap"])


def _worst_coverage(figures: dict[str, Any]) -> float | None:
    """How far the worst band, by true or by predicted age, is from four in five."""
    held = [
        band[key]
        for band in figures.get("bands", [])
        for key in ("age_coverage", "age_coverage_predicted")
        if key in band
    ]
    return max((abs(value - 0.8) for value in held), default=None)


GOALS: Sequence[Goal] = (
    Goal("utkface", "UTKFace, age", 4.9, 4.2, _at("age_mae"), "years"),
    Goal("utkface", "UTKFace, gender", 0.935, 0.965, _at("gender_accuracy")),
    Goal("utkface", "UTKFace 21 to 60, age", 5.2, 4.23, _at("adults", "age_mae"), "years"),
    Goal("utkface", "UTKFace 21 to 60, gender", 0.965, 0.98, _at("adults", "gender_accuracy")),
    Goal("utkface", "UTKFace 0 to 9, age", 2.2, 1.8, _at("bands", 0, "age_mae"), "years"),
    Goal("ferplus", "FER+, majority", 0.835, 0.885, _at("emotion_accuracy_majority")),
    Goal("ferplus", "FER+, argmax", 0.8, 0.85, _at("emotion_accuracy_argmax")),
    Goal("fairface", "FairFace, gender", 0.9, 0.935, _at("gender_accuracy")),
    Goal("fairface", "FairFace, age band", 0.5, 0.56, _at("age_band_accuracy")),
    Goal("utkface", "UTKFace, gap between races", 0.05, None, _gap, "points"),
    Goal("fairface", "FairFace, gap between races", 0.05, None, _gap, "points"),
    Goal(
        "utkface",
        "age interval in the worst band, off 80 %",
        0.06,
        None,
        _worst_coverage,
        "points",
    ),
)


def goal_rows(figures: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    """A row for every goal that was measured, from the figures beside a checkpoint."""
    rows = (goal.row(figures[goal.data]) for goal in GOALS if goal.data in figures)
    return tuple(row for row in rows if row is not None)
