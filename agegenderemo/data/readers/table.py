"""Label files as people and spreadsheets write them: any separator, case of the header and Unicode.

A row that cannot be read is told by its number; a file that cannot is one sentence.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from agegenderemo.errors import DatasetError

_SEPARATORS = ",;\t|"
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

BROKEN_ROW = "row is not like the header"


class Row(NamedTuple):
    """One line of a table. ``cells`` are by the name of the column, small, without blanks round
    them; a cell that is not there is empty. None where the line cannot be read."""

    number: int  # from 1, the header included
    cells: Mapping[str, str] | None


def read_table(
    path: Path,
    columns: Sequence[str],
    header: Sequence[str] = (),
    also_called: Mapping[str, str] | None = None,
) -> tuple[tuple[str, ...], Iterator[Row]]:
    """The names of the columns, and the rows after them.

    ``columns`` must be there, under these names or those that ``also_called`` maps to them. A file
    whose first line lacks them, and is no header, has the ``header``, where one is given, and
    begins with a row. Raises DatasetError for a file that is not such a table.
    """
    # Not splitlines: a cell may hold what only Unicode calls the end of a line.
    lines = re.split(r"\r\n|\r|\n", read_text(path))
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise DatasetError(f"{path.name} is empty; it needs the columns {', '.join(columns)}.")
    words = {**dict.fromkeys(columns), **(also_called or {})}
    cut = max(_SEPARATORS, key=lambda one: (_found(lines[first], one, words), -_order(one)))
    names = [name.lower() for name in _cells(lines[first], cut) or ()]
    if any(name not in names for name in columns):
        names = [words.get(name) or name for name in names]
    start = first + 1
    missing = [name for name in columns if name not in names]
    if missing and header and not _are_words(re.split(f"[{_SEPARATORS}]", lines[first])):
        cut = max(_SEPARATORS, key=lambda one: (lines[first].count(one), -_order(one)))
        names, start, missing = [name.lower() for name in header], first, []
    if missing or len(set(filter(None, names))) != len(list(filter(None, names))):
        trouble = f"has no column {missing[0]!r}" if missing else "names a column twice"
        raise DatasetError(
            f"{path.name}, line {first + 1}, {trouble}; its columns are "
            f"{', '.join(names)[:200] or 'none'}."
        )
    return tuple(names), _rows(lines, start, cut, names)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8 or UTF-16; raises DatasetError, with the line, for another."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}.") from error
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data[:4]:  # UTF-16 without its mark, of a Latin letter
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DatasetError(
            f"{path.name}, line {line}, is neither UTF-8 nor UTF-16; save the file as UTF-8."
        ) from error


def _order(separator: str) -> int:
    return _SEPARATORS.index(separator)


def _are_words(cells: Iterable[str]) -> bool:
    """Whether cells may be a header: every one holds something, and none a number."""
    for cell in cells:
        try:
            number(cell)
        except ValueError:
            if cell.strip():
                continue
        return False
    return True


def _found(line: str, separator: str, columns: Iterable[str]) -> tuple[int, int]:
    names = [name.lower() for name in _cells(line, separator) or ()]
    return sum(name in names for name in columns), len(names)


def _cells(line: str, separator: str) -> list[str] | None:
    """One line, taken by itself: a quote that is left open must not swallow the rest."""
    try:
        rows = list(csv.reader([line], delimiter=separator, strict=True, skipinitialspace=True))
    except csv.Error:
        return None
    return [cell.strip() for cell in rows[0]] if rows else []


def _rows(lines: list[str], start: int, separator: str, names: list[str]) -> Iterator[Row]:
    for number, line in enumerate(lines[start:], start + 1):
        if not line.strip():
            continue
        cells = _cells(line, separator)
        if cells is not None and not any(cells):
            continue  # what spreadsheets leave of an emptied row
        if cells is None or any(cells[len(names) :]):
            yield Row(number, None)
        else:
            cells += [""] * (len(names) - len(cells))
            yield Row(number, dict(zip(names, cells, strict=False)))


def number(text: str) -> float:
    """A finite number, its decimals after a point or a comma; raises ValueError for anything else,
    such as the ``²`` that counts as a digit elsewhere."""
    text = text.strip()
    if not text.isascii():
        raise ValueError(f"{text!r} is no number")
    value = float(text.replace(",", ".", 1) if "." not in text else text)
    if value != value or value in (float("inf"), float("-inf")) or "_" in text:
        raise ValueError(f"{text!r} is no number")
    return value
