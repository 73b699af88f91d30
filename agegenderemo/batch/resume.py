"""What an interrupted run has written already, so that the next one does only the rest.

A picture is known again by its path, size and time, by the search that was asked for, and by the
network's name, precision and weights: where any of them changed it is read anew. Errors are kept
like answers.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

Key = tuple[Any, ...]


def input_of(path: Path, search: str) -> dict[str, Any]:
    """What the record of a picture says of its file: ``bytes``, ``modified`` (nanoseconds since
    1970) and the ``search`` that was asked for. Empty where there is no file, as on standard
    input."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return {}
    return {"bytes": found.st_size, "modified": found.st_mtime_ns, "search": search}


def key_of(name: str, known: Mapping[str, Any], network: Mapping[str, str] | None) -> Key:
    """By what a written picture is known again; ``network`` is None for an error, which tells
    nothing of a network."""
    return (
        name, known.get("bytes"), known.get("modified"), known.get("search"),
        *(sorted(network.items()) if network else ()),
    )  # fmt: skip


def record_key(record: Mapping[str, Any]) -> Key:
    """Of a written record; raises LookupError for one of a picture that cannot be known again."""
    return key_of(record["file"], record["input"], None if "error" in record else record["network"])


class WrittenLines:
    """The records in files of JSON lines, found by their key; of a file that was cut off, those
    whose line is whole. The records stay on disk until they are asked for."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._files: list[BinaryIO] = []
        self._places: dict[Key, tuple[BinaryIO, int]] = {}
        for path in files:
            file = path.open("rb")
            self._files.append(file)
            self._read(file)

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def record(self, key: Key) -> dict[str, Any]:
        """Raises KeyError where there is none."""
        file, offset = self._places[key]
        file.seek(offset)
        record: dict[str, Any] = json.loads(file.readline())
        return record

    def others(self, names: Collection[str]) -> Iterator[dict[str, Any]]:
        """The last record of each picture that is not among the names, in the order in which they
        were written."""
        last = {key[0]: key for key in self._places if key[0] not in names}
        return map(self.record, last.values())

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _read(self, file: BinaryIO) -> None:
        offset = 0
        for line in file:
            if line.endswith(b"\n"):
                key = _key_of_line(line)
                if key is not None:
                    self._places[key] = (file, offset)
            offset += len(line)


def _key_of_line(line: bytes) -> Key | None:
    try:
        return record_key(json.loads(line))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
