"""Tables, and the Markdown pages that print them.

In Markdown a line ``<!-- table NAME -->`` stands above each; `fill` renews what follows it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agegenderemo.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of plain text under a title; ``note`` is a sentence below them.

    Raises ValueError where a row is not as wide as the head.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.head) for row in self.rows):
            raise ValueError(f"the rows of {self.title!r} must have {len(self.head)} cells each")

    def markdown(self) -> str:
        """Pipes and dashes, and the note as a paragraph."""
        lines = [self.head, ("---",) * len(self.head), *self.rows]
        text = "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
        return text + (f"\n{self.note}\n" if self.note else "")

    def text(self) -> str:
        """Columns in line for a terminal, under the title, and the note."""
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        lines = [
            "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in (self.head, *self.rows)
        ]
        return "\n".join([self.title, *lines, *([self.note] if self.note else [])])

    def without_empty_columns(self) -> "Table":
        """The same, less the columns in which no row says anything."""
        kept = [i for i, cells in enumerate(zip(*self.rows, strict=True)) if any(cells)]
        return Table(
            self.title,
            tuple(self.head[i] for i in kept),
            tuple(tuple(row[i] for i in kept) for row in self.rows),
            self.note,
        )


def fill(text: str, made: Mapping[str, Table]) -> str:
    """Markdown with the table below each marker renewed.

    Raises CheckpointError for a marker that names no table.
    """

    def renew(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in made:
            raise CheckpointError(
                f"There are no figures for the table {name!r}; measure them with "
                "'agegenderemo evaluate --card' first."
            )
        return f"<!-- table {name} -->\n{made[name].markdown()}<!-- end -->\n"

    return re.sub(r"<!-- table (?P<name>\S+) -->\n.*?<!-- end -->\n", renew, text, flags=re.DOTALL)
