"""The record of what was measured on one set, and what is read off it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from agegenderemo.tasks import Kind

SETS = {"utkface": "UTKFace", "ferplus": "FER+", "fairface": "FairFace", "ffhq": "FFHQ-Features"}
"""How a data set is written, in the order to show them; another one goes by its own name."""

_SPLITS = {"val": "validation slice", "train": "training faces"}

LEVEL = 0.8
"""Share of faces whose true value an interval is meant to hold."""

ADULT = 20  # years
RACE, ADULT_RACE = "race", f"race, from {ADULT} years"
"""Groupings that `largest_disparity` compares: the test sets hold more small children of some races
than of others, and small children are mistaken most."""


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one data set, as plain JSON types; what was not measured is absent.

    ``data`` and ``split`` say of what, ``n`` of how many faces. ``tasks`` maps the name of a task
    to its ``kind`` and figures: of a regression ``mae`` and ``sd`` (of the absolute error) in
    ``unit``, ``band_accuracy`` where labels are intervals, ``coverage`` and ``width`` of the
    predicted interval; of a binary task ``accuracy``; of a categorical one ``accuracy_majority``
    and ``accuracy_argmax``, the faces that each counts (``n_majority``, ``n_argmax``) and
    ``confusion``, true class by row; of both ``calibration_error``, ``confident_share`` and
    ``selective_accuracy``, and ``left_out``, the faces by class whose class the network does not
    know. Its ``intervals`` are 95 % bootstrap intervals, ``[low, high]`` by the name of the figure.
    ``adults``, ``bands`` (by true age) and ``groups`` hold ``tasks`` of their own; those of a group
    are ``[value, low, high]``. ``disparities`` say how sure the range of a task's accuracies over
    groups is: its ``interval``, what ``chance`` alone shows, and the ``share`` of chance that shows
    as much. ``pipeline`` compares whole ``pictures`` and prepared ``crops``. ``calibrated_here``
    says that the calibration was fitted on these faces, ``training_faces`` how many of them the
    network was trained on, ``changed_set`` that the set of this name was another one then,
    ``unfinished`` the epoch of its weights and those of its run, where these differ.

    Raises ValueError for figures that are no such record.
    """

    figures: Mapping[str, Any]

    def __post_init__(self) -> None:
        missing = {"data", "split", "n", "tasks"} - set(self.figures)
        if missing:
            raise ValueError(f"a record of figures lacks {', '.join(sorted(missing))}")
        for name, own in self.tasks.items():
            if own.get("kind") not in get_args(Kind):
                raise ValueError(f"the figures of {name!r} do not say what kind of task it is")

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Figures by the name of the task."""
        return dict(self.figures["tasks"])

    @property
    def where(self) -> str:
        """Data set and split, as tables name them."""
        data, split = self.figures["data"], self.figures["split"]
        return f"{SETS.get(data, data)}, {_SPLITS.get(split, split)}"

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Figures by group, or none."""
        return self.figures.get("groups") or []

    @property
    def bands(self) -> list[dict[str, Any]]:
        """Figures by band of true age, or none."""
        return self.figures.get("bands") or []

    def left_out(self) -> Iterator[str]:
        """A sentence for each task whose network knows fewer classes than the labels name."""
        for name, own in self.tasks.items():
            if own.get("left_out"):
                faces = ", ".join(f"{n:,} of {label}" for label, n in own["left_out"].items())
                yield (
                    f"{self.where}: the network knows {len(own['classes'])} classes of {name}; "
                    f"faces of others are not counted ({faces})."
                )

    def unit(self, task: str) -> str:
        """The unit of a task, empty where it has none."""
        return str(self.tasks.get(task, {}).get("unit", ""))

    def read(self, path: Sequence[str | int]) -> float | None:
        """The figure at a path of keys and indices; None where any part of it is absent.

        ``("disparity", TASK)`` is the largest between races, ``("coverage_off", TASK)`` how far the
        coverage of the worst band, by true or by predicted value, is from `LEVEL`.
        """
        value: Any = {
            **self.figures,
            "disparity": self._disparities(),
            "coverage_off": self._coverage_off(),
        }
        found = _at(value, path)
        return None if found is None else float(found)

    def interval(self, path: Sequence[str | int]) -> tuple[float, float] | None:
        """The 95 % interval of the figure at a path, as `read` takes it; None where there is
        none."""
        if len(path) == 2 and path[0] == "disparity":
            found = dict(disparities(self)).get(str(path[1]), {}).get("interval")
        else:
            found = _at(self.figures, (*path[:-1], "intervals", path[-1]))
        return None if found is None else (float(found[0]), float(found[1]))

    def _disparities(self) -> dict[str, float]:
        found = {name: largest_disparity(self.groups, name) for name in self.tasks}
        return {name: float(own["disparity"]) for name, own in found.items() if own}

    def _coverage_off(self) -> dict[str, float]:
        off: dict[str, float] = {}
        for band in self.bands:
            for name, own in band["tasks"].items():
                for key in ("coverage", "coverage_predicted"):
                    if key in own:
                        off[name] = max(off.get(name, 0.0), abs(own[key] - LEVEL))
        return off


def _at(value: Any, path: Sequence[str | int]) -> Any:
    """What lies at a path of keys and indices; None where any part of it is absent."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def flat(figures: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Figures of all tasks under one name each, ``PREFIX_TASK_KEY``, as columns of a table.

    >>> flat({"tasks": {"height": {"kind": "regression", "unit": "cm", "mae": 2.5}}}, "val")
    {'val_height_mae': 2.5}
    """
    before = f"{prefix}_" if prefix else ""
    return {
        f"{before}{name}_{key}": value
        for name, own in figures["tasks"].items()
        for key, value in own.items()
        if isinstance(value, float)
    }


def largest_disparity(
    groups: Sequence[Mapping[str, Any]], task: str, by: str = RACE
) -> dict[str, Any] | None:
    """The best and the worst group by the accuracy of a task, and the disparity between them in
    [0, 1]; None with fewer than two groups."""
    known = [
        (own["accuracy"][0], group["group"])
        for group in groups
        if group["by"] == by and (own := group["tasks"].get(task, {})).get("accuracy")
    ]
    if len(known) < 2:
        return None
    known.sort(key=lambda pair: float(pair[0]))
    (low, worst), (high, best) = known[0], known[-1]
    return {"worst": worst, "best": best, "disparity": high - low}


def disparities(report: Report, by: str = RACE) -> Iterator[tuple[str, dict[str, Any]]]:
    """The largest disparity of each task that has one, and how sure it is where that is known."""
    known = {own["task"]: own for own in report.figures.get("disparities", ()) if own["by"] == by}
    for name in report.tasks:
        if found := largest_disparity(report.groups, name, by):
            yield name, {**known.get(name, {}), **found}


def share(value: float | None, interval: Sequence[float] | None = None) -> str:
    """A share in percent, with its interval where that is known; nothing for None."""
    return "" if value is None else f"{100 * value:.1f} %{ends(interval, 100, 1)}"


def amount(value: float, unit: str) -> str:
    """A number with its unit, where it has one."""
    return f"{value:.2f} {unit}".rstrip()


def error(own: Mapping[str, Any], unit: str) -> str:
    """The mean absolute error, or how often the band is right, with its interval; else nothing."""
    intervals = own.get("intervals", {})
    if "mae" in own:
        return amount(own["mae"], unit) + ends(intervals.get("mae"))
    if "band_accuracy" in own:
        return f"right band {share(own['band_accuracy'], intervals.get('band_accuracy'))}"
    return ""


def ends(interval: Sequence[float] | None, factor: float = 1, digits: int = 2) -> str:
    """An interval in brackets behind its figure; nothing for None."""
    if interval is None:
        return ""
    low, high = (f"{factor * end:.{digits}f}" for end in interval)
    return f" ({low} to {high})"
