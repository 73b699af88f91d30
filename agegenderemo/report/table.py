"""Tables, and the Markdown pages that print them.

In Markdown a line ``<!-- table NAME -->`` stands above each; `fill` renews what follows it.
"""

import re
from collections.abc import Callable, Mapping
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
        text = "".join("| " + " | ".join(map(_in_a_cell, cells)) + " |\n" for cells in lines)
        return text + (f"\n{self.note}\n" if self.note else "")

    def text(self) -> str:
        """Columns in line for a terminal, under the title, and the note."""
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        lines = [
            "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in (self.head, *self.rows)
        ]
        return "\n".join([self.title, *lines, *([self.note] if self.note else [])])

    def without_empty_columns(self, ending: str = "") -> "Table":
        """The same, less the columns in which no row says anything, of those whose head ends like
        this."""
        if not self.rows:
            return self
        columns = enumerate(zip(self.head, zip(*self.rows, strict=True), strict=True))
        kept = [i for i, (name, cells) in columns if any(cells) or not name.endswith(ending)]
        return Table(
            self.title,
            tuple(self.head[i] for i in kept),
            tuple(tuple(row[i] for i in kept) for row in self.rows),
            self.note,
        )


def _in_a_cell(text: str) -> str:
    """A pipe or an end of a line, which a name may hold, would end the cell."""
    return " ".join(text.splitlines()).replace("|", "\\|")


@dataclass(frozen=True, slots=True)
class Prose:
    """Sentences that stand in a page like a table, renewed with it."""

    sentences: tuple[str, ...]

    def markdown(self) -> str:
        """One paragraph."""
        return " ".join(self.sentences) + "\n"


NOT_MEASURED = "*Not measured.*\n"

_MARKER = r"<!-- table (?P<name>\S+) -->\n"


def fill(
    text: str, made: Mapping[str, Table | Prose], known: Callable[[str], bool] = lambda name: False
) -> str:
    """Markdown with the table below each marker renewed; one that is ``known`` by its name but not
    among those ``made`` says that it was not measured.

    Raises CheckpointError for a page without a marker, one without its end, and one that names no
    table.
    """

    def renew(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in made and not known(name):
            raise CheckpointError(
                f"No table is named {name!r}; what was measured makes "
                f"{', '.join(made) or 'none yet'}."
            )
        table = made[name].markdown() if name in made else NOT_MEASURED
        return f"<!-- table {name} -->\n{table}<!-- end -->\n"

    found = len(re.findall(_MARKER, text))
    if not found:
        raise CheckpointError(
            "it has no line '<!-- table NAME -->' with a line '<!-- end -->' below it, between "
            f"which a table would stand; measured are {', '.join(made) or 'none yet'}."
        )
    # Not over the next marker: one without an end would swallow what is between them.
    whole = _MARKER + r"(?:(?!<!-- table ).)*?<!-- end -->\n"
    filled, count = re.subn(whole, renew, text, flags=re.DOTALL)
    if count < found:
        raise CheckpointError("a line '<!-- table NAME -->' has no line '<!-- end -->' below it.")
    return filled
