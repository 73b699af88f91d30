"""The file of figures beside a checkpoint: ``NAME.json`` next to ``NAME.safetensors``."""

import csv
import json
from pathlib import Path
from typing import Any

from agegenderemo.errors import CheckpointError
from agegenderemo.files import write_atomically
from agegenderemo.report.table import Table
from agegenderemo.report.tables import GOALS, history_table, tables


def load_card(checkpoint: Path) -> dict[str, Any]:
    """The figures beside a checkpoint by data set, and its ``goals``; empty without the file.

    Figures that version 0.1 measured are left out. Raises CheckpointError for a damaged file.
    """
    path = checkpoint.with_suffix(".json")
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        figures = {name: own for name, own in card.items() if name == GOALS or "tasks" in own}
        for table in tables(figures).values():  # what no table can show would fail on the page
            "".join(cell for row in (table.head, *table.rows) for cell in row)
        return figures
    except (OSError, ValueError, AttributeError, TypeError, LookupError, ArithmeticError) as error:
        raise CheckpointError(
            f"{path} is damaged; measure again with 'agegenderemo evaluate --card'."
        ) from error


def update_card(checkpoint: Path, data: str, figures: dict[str, Any]) -> None:
    """Set the figures of one data set in the file beside a checkpoint."""
    card = {**load_card(checkpoint), data: figures}
    write_atomically(checkpoint.with_suffix(".json"), (json.dumps(card, indent=1) + "\n").encode())


def card_tables(checkpoint: Path) -> dict[str, Table]:
    """The tables of what lies beside a checkpoint: its figures, and a ``NAME.history*.csv`` for
    each of its runs."""
    made = tables(load_card(checkpoint))
    for history in sorted(checkpoint.parent.glob(f"{checkpoint.stem}.history*.csv")):
        with history.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        made[history.stem.removeprefix(f"{checkpoint.stem}.")] = history_table(rows)
    return made
