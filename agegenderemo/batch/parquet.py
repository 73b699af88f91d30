"""Results as a folder of Parquet files: a row a face, one for a picture without, one for an error.

Each file is renamed when it is whole, so whatever ends the run, what lies under ``part-….parquet``
can be read, and every picture in it has all of its rows.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agegenderemo.batch.resume import Key, key_of, record_key
from agegenderemo.errors import AgeGenderEmoError, MissingExtraError
from agegenderemo.results import NETWORK_COLUMNS, csv_fields, csv_rows
from agegenderemo.tasks import TaskSpec, csv_columns

if TYPE_CHECKING:
    import pyarrow as pa

INPUT_COLUMNS = ("input_bytes", "input_modified", "input_search")
ROWS = 10_000
"""Of a file, about."""

_PATTERN = "part-*.parquet"


def schema(tasks: Sequence[TaskSpec]) -> "pa.Schema":
    """The columns of a CSV row with their types, and what is known of the picture's file."""
    pa = _pyarrow()
    numbers = {"x1", "y1", "x2", "y2", "score"}
    for spec in tasks:
        own = {spec.name, f"{spec.name}_confident"} if spec.kind != "regression" else set()
        numbers |= set(csv_columns(spec)) - own
    kinds = dict.fromkeys(numbers, pa.float64())
    kinds |= {f"{spec.name}_confident": pa.bool_() for spec in tasks}
    kinds |= {"face": pa.int32(), "input_bytes": pa.int64(), "input_modified": pa.int64()}
    names = (*csv_fields(tasks), *INPUT_COLUMNS)
    return pa.schema([(name, kinds.get(name, pa.string())) for name in names])


def rows_of(record: dict[str, Any], tasks: Sequence[TaskSpec]) -> Iterator[dict[str, Any]]:
    """The rows of one record."""
    known = record.get("input", {})
    about = {name: known.get(name.removeprefix("input_")) for name in INPUT_COLUMNS}
    for row in csv_rows(record, tasks):
        yield (
            {key: None if value == "" else value for key, value in row.items()}
            | about
            | {
                # A table that no spreadsheet opens keeps the name as it is.
                "file": record["file"],
                "error": record.get("error"),
                "quality_flags": row.get("quality_flags", ""),
            }
        )


class ParquetParts:
    """Writes records to files in a folder; ``with`` finishes the last one, whatever ends the block.

    Raises AgeGenderEmoError where parts of an earlier run are there, which ``resume`` goes on with.
    """

    def __init__(
        self, folder: Path, tasks: Sequence[TaskSpec], *, resume: bool = False, rows: int = ROWS
    ) -> None:
        self._folder, self._tasks, self._most = folder, tasks, rows
        self._schema = schema(tasks)
        self._rows: list[dict[str, Any]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AgeGenderEmoError(f"{folder} cannot be written: {error.strerror}.") from error
        there = parts(folder)
        if there and not resume:
            raise AgeGenderEmoError(
                f"{folder} holds {len(there)} parts of an earlier run; go on with them by "
                "--resume, or name another folder."
            )
        self.written = written_keys(folder) if there else set()
        self.next = 1 + max((_number(path) for path in there), default=-1)

    def __enter__(self) -> "ParquetParts":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    def write(self, record: dict[str, Any]) -> None:
        """The rows of a record, unless an earlier part has them."""
        if self.written and "input" in record and record_key(record) in self.written:
            return
        self._rows += rows_of(record, self._tasks)
        if len(self._rows) >= self._most:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            write_part(self._folder, self.next, self._rows, self._schema)
            self.next += 1
            self._rows.clear()


def write_part(
    folder: Path, number: int, rows: Sequence[dict[str, Any]], columns: "pa.Schema"
) -> None:
    """Write one file of a folder, or write it again; raises AgeGenderEmoError where that fails."""
    pa = _pyarrow()
    from pyarrow import parquet

    path = folder / f"part-{number:05}.parquet"
    # Two machines may write one part at the same time, where the first seemed to be lost.
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}-{os.getpid()}.tmp")
    try:
        parquet.write_table(pa.Table.from_pylist(list(rows), columns), temporary)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise AgeGenderEmoError(
            f"{path} could not be written ({error.strerror}); the parts before it are whole."
        ) from error


def parts(folder: Path) -> list[Path]:
    """The whole files of a folder."""
    return sorted(folder.glob(_PATTERN))


def written_keys(folder: Path) -> set[Key]:
    """The pictures whose rows a folder holds; raises AgeGenderEmoError for a file that is no
    part."""
    pa = _pyarrow()
    from pyarrow import parquet

    columns = ["file", "error", *INPUT_COLUMNS, *NETWORK_COLUMNS]
    found: set[Key] = set()
    for path in parts(folder):
        try:
            table = parquet.read_table(path, columns=columns)
        except (OSError, pa.ArrowInvalid) as error:
            raise AgeGenderEmoError(f"{path} is no part that this command wrote.") from error
        for row in table.to_pylist():
            known = {name.removeprefix("input_"): row[name] for name in INPUT_COLUMNS}
            network = {name: row[name] for name in NETWORK_COLUMNS}
            found.add(key_of(row["file"], known, None if row["error"] else network))
    return found


def _number(path: Path) -> int:
    number = path.stem.removeprefix("part-")
    return int(number) if number.isdecimal() else -1


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError("--parquet", "batch") from error
    return pyarrow
