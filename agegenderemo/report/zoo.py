"""The page of all networks that were measured: tables from the files that ``evaluate --json``
wrote into one folder, a row a file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agegenderemo.errors import CheckpointError
from agegenderemo.report.record import SETS, Report, amount, ends, share
from agegenderemo.report.table import Table, fill

Measured = Mapping[str, Any]
"""What one file holds: the record of `agegenderemo.evaluation.measured`."""

STUDY = "study"
"""The folder of runs that differ in the weights of their tasks, within that of the networks."""

SOURCES = "sources.json"
"""The file that maps a row's name to what the source report says of it."""

_KEYS = {"name", "model", "tasks", "parameters", "commit", "machine", "date", "figures"}
_BRACKETS = "In brackets are 95 % bootstrap intervals over faces."
_PAGE = """\
# The zoo

Every network that was trained here, on the same test sets. `agegenderemo compare --zoo {folder}`
prints the tables from the files in that folder; each is what
`agegenderemo evaluate --data utkface ferplus fairface --latency --json FILE` wrote.
[Evaluation](evaluation.md) says what the figures are.

<!-- table models -->
<!-- end -->

## Studies

The same network with other weights of its tasks.

<!-- table study -->
<!-- end -->

## Where the figures come from

<!-- table provenance -->
<!-- end -->
"""


class _Column(NamedTuple):
    """One figure of one task on one set."""

    data: str
    task: str
    key: str

    @property
    def head(self) -> str:
        what = {"mae": ", mean absolute error", "band_accuracy": " band", "accuracy": ""}
        return f"{SETS.get(self.data, self.data)} {self.task}{what.get(self.key, ', majority')}"

    def cell(self, record: Measured) -> str:
        own = record["figures"].get(self.data, {}).get("tasks", {}).get(self.task, {})
        if self.key not in own:
            return ""
        interval = own.get("intervals", {}).get(self.key)
        if self.key == "mae":
            return amount(own["mae"], own.get("unit", "")) + ends(interval)
        count = f" of {own['n_majority']:,}" if "n_majority" in own else ""
        return share(own[self.key], interval) + count


def zoo_tables(folder: Path) -> dict[str, Table]:
    """``models``, a row a file of the folder; ``study``, a row a file of `STUDY` in it; and
    ``provenance``, a row each of them. Raises CheckpointError for a file that is no record."""
    sources = _read(folder / SOURCES) if (folder / SOURCES).is_file() else {}
    if not all(isinstance(text, str) for text in sources.values()):
        raise CheckpointError(f"{folder / SOURCES} is damaged: it maps names to texts.")
    models, studies = _records(folder), _records(folder / STUDY)
    made = {
        "models": _models(models, sources),
        "study": _studies(studies, sources),
        "provenance": _provenance([*models, *studies]),
    }
    return {name: table for name, table in made.items() if table.rows}


def zoo_page(folder: Path, page: Path) -> str:
    """The text of the page with its tables renewed; a new one where there is none.

    Raises CheckpointError for a folder without a record, and for a page that cannot be filled.
    """
    made = zoo_tables(folder)
    if not made:
        raise CheckpointError(
            f"{folder} holds no measured network; write one with 'agegenderemo evaluate --json'."
        )
    text = (
        page.read_text(encoding="utf-8")
        if page.is_file()
        else _PAGE.format(folder=folder.as_posix())
    )
    try:
        return fill(text, made, ("models", "study", "provenance").__contains__)
    except CheckpointError as error:
        raise CheckpointError(f"{page} cannot be filled: {error}") from error


def comparison_table(found: Sequence[Measured], names: Sequence[str]) -> Table:
    """The differences of two networks, as `agegenderemo.evaluation.comparison` has them."""
    rows = []
    for own in found:
        error = own["figure"] == "mae"
        factor, digits, sign = (1, 2, "") if error else (100, 1, " %")
        values = (f"{factor * own[side]:.{digits}f}{sign}" for side in ("first", "second"))
        difference = f"{factor * own['difference']:+.{digits}f}"
        interval = ends(own["interval"], factor, digits).strip(" ()")
        rows.append(
            (own["set"], own["task"], own["figure"], f"{own['n']:,}", *values, difference,
             interval, f"{own['share']:.3f}")
        )  # fmt: skip
    head = ("set", "task", "figure", "faces", "A", "B", "B less A", "95 % interval", "share")
    note = (
        "Paired bootstrap over faces; shares are in percent, differences of them in points. "
        "'share' is how often resamples fall on the other side of zero, twice: read it like a "
        "p-value."
    )
    return Table(f"A: {names[0]}\nB: {names[1]}", head, tuple(rows), note)


def _records(folder: Path) -> list[Measured]:
    paths = sorted(path for path in folder.glob("*.json") if path.name != SOURCES)
    return [_checked(path) for path in paths]


def _checked(path: Path) -> Measured:
    record = _read(path)
    if not record.keys() >= _KEYS:
        raise CheckpointError(
            f"{path} is no record of a measured network; write it with "
            "'agegenderemo evaluate --json'."
        )
    try:
        for own in record["figures"].values():
            Report(own)
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path} holds no figures ({error}); measure again.") from error
    record = {**record, "name": path.stem}
    try:
        if not isinstance(record["model"], str):
            raise TypeError("its family is no text")
        for table in (_models([record], {}), _studies([record], {}), _provenance([record])):
            table.markdown()  # what one record cannot show, the page of all cannot
    except (ValueError, AttributeError, TypeError, LookupError) as error:
        raise CheckpointError(f"{path} is damaged: {error}; measure again.") from error
    return record


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")).items())
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: it holds no JSON object.") from error


def _columns(records: Sequence[Measured]) -> list[_Column]:
    """Every figure that one of the records has, sets in the order to show."""
    keys = ("mae", "band_accuracy", "accuracy", "accuracy_majority")
    found = dict.fromkeys(
        _Column(data, task, key)
        for record in records
        for data, figures in record["figures"].items()
        for task, own in figures["tasks"].items()
        for key in keys
        if key in own
    )
    order = {name: index for index, name in enumerate(SETS)}
    return sorted(found, key=lambda column: order.get(column.data, len(order)))


def _models(records: Sequence[Measured], sources: Mapping[str, str]) -> Table:
    columns = _columns(records)
    sized = [(key, kind) for key in ("size_mb", "latency_ms") for kind in ("float", "int8")]
    heads = ("MB, float", "MB, int8", "ms, float", "ms, int8")
    rows = tuple(
        (
            record["name"],
            record["model"],
            _task_names(record),
            f"{record['parameters'] / 1e6:.2f} M",
            *(_number(record.get(key, {}).get(kind)) for key, kind in sized),
            *(column.cell(record) for column in columns),
            sources.get(record["name"], ""),
        )
        for record in records
    )
    head = ("network", "family", "tasks", "parameters", *heads, *(c.head for c in columns))
    note = f"{_BRACKETS} Milliseconds are of one face on one thread, read once."
    return Table("Networks", (*head, "the source reports"), rows, note).without_empty_columns()


def _studies(records: Sequence[Measured], sources: Mapping[str, str]) -> Table:
    columns = _columns(records)
    tasks = list(dict.fromkeys(spec["name"] for record in records for spec in record["tasks"]))
    rows = tuple(
        (
            record["name"],
            record["model"],
            *(_weight(record, task) for task in tasks),
            *(column.cell(record) for column in columns),
            sources.get(record["name"], ""),
        )
        for record in records
    )
    weights = (f"weight of {task}" for task in tasks)
    head = ("study", "family", *weights, *(c.head for c in columns), "the source reports")
    return Table("Studies", head, rows, _BRACKETS).without_empty_columns()


def _provenance(records: Sequence[Measured]) -> Table:
    rows = tuple(
        (
            record["name"],
            str(record.get("recipe_sha256") or "")[:10],
            "" if record.get("seed") is None else str(record["seed"]),
            str(record.get("weights_sha256") or "")[:10],
            _commit(record["commit"] or ""),
            f"{record['machine'].get('processor', '')}, {record['machine'].get('device', '')}",
            record["date"],
        )
        for record in records
    )
    head = ("network", "recipe", "seed", "weights", "code", "machine", "date")
    note = "Recipe and weights are the first digits of a SHA-256, code those of the commit."
    return Table("Where the figures come from", head, rows, note)


def _task_names(record: Measured) -> str:
    def names() -> Iterator[str]:
        for spec in record["tasks"]:
            many = len(spec.get("classes", ()))
            yield f"{spec['name']} ({many})" if many > 2 else spec["name"]

    return ", ".join(names())


def _weight(record: Measured, task: str) -> str:
    if task not in {spec["name"] for spec in record["tasks"]}:
        return ""
    return f"{record.get('recipe', {}).get('loss_weights', {}).get(task, 1):g}"


def _commit(whole: str) -> str:
    """A commit in short, with ``+`` where the code was changed since."""
    return whole[:10] + "+" * whole.endswith("+")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
