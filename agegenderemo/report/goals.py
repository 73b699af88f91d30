"""What a network was meant to reach, and how far each measured figure is from it.

Goals stand as data in the file of figures beside a checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agegenderemo.report.record import Report, ends

POINTS, PERCENT = "points", "%"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of the set ``data``, by its path in the `Report`, with what it must reach and what
    it aims at.

    Shares (``%``) are better when higher, numbers in [0, 1] as differences in ``points`` are; those
    and errors, whose ``unit`` is that of the task, are better when lower.
    """

    data: str
    name: str
    path: tuple[str | int, ...]
    must: float
    aim: float | None = None
    unit: str = PERCENT

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Goal":
        """What stands in the file; raises KeyError or TypeError for anything else."""
        aim = values.get("aim")
        return cls(
            str(values["data"]),
            str(values["name"]),
            tuple(values["path"]),
            float(values["must"]),
            None if aim is None else float(aim),
            str(values["unit"]),
        )

    def row(self, report: Report) -> tuple[str, ...] | None:
        """Name, figure, verdict, must and aim; None where it was not measured."""
        value = report.read(self.path)
        if value is None:
            return None
        aim = "" if self.aim is None else self._text(self.aim)
        factor, digits = (100, 1) if self.unit in (POINTS, PERCENT) else (1, 2)
        measured = self._text(value) + ends(report.interval(self.path), factor, digits)
        return (self.name, measured, self._verdict(value), self._text(self.must), aim)

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
        digits = 3 if self.unit in (POINTS, PERCENT) else 2
        difference = round(value, digits) - goal
        return round(-difference if self.unit == PERCENT else difference, digits)

    def _difference(self, value: float) -> str:
        if self.unit in (POINTS, PERCENT):
            return f"{100 * value:.1f} points"
        return f"{value:.2f} {self.unit}"

    def _text(self, value: float) -> str:
        return f"{100 * value:.1f} %" if self.unit == PERCENT else self._difference(value)
