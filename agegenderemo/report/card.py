"""The file of figures beside a checkpoint: ``NAME.json`` next to ``NAME.safetensors``.

It names the SHA-256 of the weights that it was measured on; beside other weights its figures are
nobody's, and are not shown. Its goals stay: they are what any weights were meant to reach.
"""

import csv
import json
from pathlib import Path
from typing import Any

from agegenderemo.errors import CheckpointError
from agegenderemo.files import sha256, write_atomically
from agegenderemo.model_info import HASH_KEY
from agegenderemo.report.history import history_table
from agegenderemo.report.plain import plain_sentences
from agegenderemo.report.table import Prose, Table, fill
from agegenderemo.report.tables import GOALS, is_known, tables


def load_card(checkpoint: Path, digest: str | None = None) -> dict[str, Any]:
    """The figures of a checkpoint by data set, and its ``goals``; empty without the file.

    ``digest`` is the SHA-256 of the weights, where the caller knows it already. Figures that were
    measured on other weights, or by version 0.1, are left out. Raises CheckpointError for a damaged
    file.
    """
    card = _read(checkpoint)
    figures = {name: own for name, own in card.items() if isinstance(own, dict) and "tasks" in own}
    if figures and card.get(HASH_KEY) != (digest or _digest(checkpoint)):
        figures = {}
    card = {**figures, **({GOALS: card[GOALS]} if GOALS in card else {})}
    try:
        for table in tables(card).values():  # what no table can show would fail on the page
            "".join(cell for row in (table.head, *table.rows) for cell in row)
    except (ValueError, AttributeError, TypeError, LookupError, ArithmeticError) as error:
        raise _damaged(checkpoint) from error
    return card


def check_card(checkpoint: Path) -> None:
    """Raises CheckpointError where the file of figures was measured on other weights, or is
    damaged."""
    card = _read(checkpoint)
    if set(card) - {GOALS} and card.get(HASH_KEY) != _digest(checkpoint):
        raise CheckpointError(
            f"{checkpoint.with_suffix('.json')} holds figures of other weights than "
            f"{checkpoint.name}, or does not say of which; measure again with "
            "'agegenderemo evaluate --card'."
        )


def update_card(checkpoint: Path, data: str, figures: dict[str, Any], digest: str) -> None:
    """Set the figures of one data set in the file beside a checkpoint; figures of other weights
    leave it.

    ``digest`` is that of the weights that were measured. Raises CheckpointError where the file
    holds others by now, or the disk refuses.
    """
    if _digest(checkpoint) != digest:
        raise CheckpointError(
            f"{checkpoint} has changed while it was measured, so its figures were not kept; "
            "measure again."
        )
    card = {HASH_KEY: digest, **load_card(checkpoint, digest), data: figures}
    write_atomically(checkpoint.with_suffix(".json"), (json.dumps(card, indent=1) + "\n").encode())


def card_tables(checkpoint: Path) -> dict[str, Table | Prose]:
    """The tables of what lies beside a checkpoint: its figures, in plain words too, and a
    ``NAME.history*.csv`` for each of its runs."""
    card = load_card(checkpoint)
    made: dict[str, Table | Prose] = {**tables(card)}
    if sentences := plain_sentences(card):
        made["plain"] = Prose(sentences)
    for history in sorted(checkpoint.parent.glob(f"{checkpoint.stem}.history*.csv")):
        with history.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        made[history.stem.removeprefix(f"{checkpoint.stem}.")] = history_table(rows)
    return made


def fill_page(page: Path, checkpoint: Path) -> str:
    """The text of a Markdown page with the tables of a checkpoint, as `fill` has it.

    Raises CheckpointError, which names the page, also where it is missing or the figures are of
    other weights.
    """
    check_card(checkpoint)
    try:
        return fill(page.read_text(encoding="utf-8"), card_tables(checkpoint), is_known)
    except OSError as error:
        raise CheckpointError(
            f"{page} cannot be read ({error.strerror}); write a page with lines such as "
            "'<!-- table results -->' and '<!-- end -->', between which a table goes."
        ) from error
    except CheckpointError as error:
        raise CheckpointError(f"{page} cannot be filled: {error}") from error


def _read(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint.with_suffix(".json")
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")).items())
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise _damaged(checkpoint) from error


def _damaged(checkpoint: Path) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint.with_suffix('.json')} is damaged; measure again with 'agegenderemo evaluate "
        "--card'."
    )


def _digest(checkpoint: Path) -> str:
    """Of the weights; of none where there are none."""
    try:
        return sha256(checkpoint.read_bytes())
    except OSError:
        return ""
