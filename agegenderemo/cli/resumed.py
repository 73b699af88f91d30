"""What ``analyze --resume`` need not do again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agegenderemo.batch.resume import Key, WrittenLines, key_of
from agegenderemo.cli.common import Arguments
from agegenderemo.cli.outputs import drawing_path
from agegenderemo.cli.sources import STDIN
from agegenderemo.files import PartFile
from agegenderemo.results import plain_name

if TYPE_CHECKING:
    from agegenderemo.batch.parquet import ParquetParts
    from agegenderemo.cli.sources import Source

Outcome = tuple[dict[str, Any], str]
"""The record of a picture, and what failed in drawing it."""


def check(args: Arguments) -> None:
    """Raises ValueError for outputs that do not say what was done."""
    file = args.json if args.json != STDIN else None
    if not file and not args.parquet:
        raise ValueError(
            "--resume goes on with what --json FILE or --parquet DIR holds; name one of them."
        )
    if args.csv and not file:
        raise ValueError("--resume makes the table of --csv anew from --json FILE; name one.")


class Reader(Protocol):
    """Reads sources; it goes to other processes."""

    def start(self) -> "Callable[[Source], Outcome]":
        """What a process calls for each source."""

    def lost(self, source: "Source") -> Outcome:
        """The outcome of a source that processes died of."""


class Written:
    """The pictures that an interrupted run has written, by JSON lines or, without these, by
    Parquet files. Made before the new outputs are opened; ``stack`` closes it."""

    def __init__(
        self,
        args: Arguments,
        network: Mapping[str, str],
        rows: "ParquetParts | None",
        stack: ExitStack,
    ) -> None:
        self._search, self._network = args.search, network
        self._drawings: Path | None = args.annotated
        self._lines: WrittenLines | None = None
        self._keys = rows.written if rows else set()
        self._parts: list[Path] = []
        if args.json:
            parts = PartFile.unfinished(args.json)
            files = [args.json] if args.json.is_file() else []
            self._lines = WrittenLines([*files, *parts])
            table = args.csv if isinstance(args.csv, Path) else None
            self._parts = [*parts, *(PartFile.unfinished(table) if table else ())]
            stack.callback(self._lines.close)

    def results(
        self, sources: "Sequence[Source]", read: "Callable[[Sequence[Source]], Iterable[Outcome]]"
    ) -> Iterator[Outcome]:
        """What was written and what ``read`` gives for the rest, in the order of the sources; of
        pictures that are only in Parquet files nothing."""
        keys = [self._key(source) for source in sources]
        fresh = iter(read([one for one, key in zip(sources, keys, strict=True) if key is None]))
        for key in keys:
            if key is None:
                yield next(fresh)
            elif self._lines is not None:
                yield self._lines.record(key), ""

    def others(self, sources: "Sequence[Source]") -> Iterator[dict[str, Any]]:
        """The records of pictures that are not named this time."""
        if self._lines is None:
            return iter(())
        return self._lines.others({plain_name(one.name) for one in sources})

    def left(self, sources: "Sequence[Source]") -> "list[Source]":
        """Those that are not written."""
        return [source for source in sources if self._key(source) is None]

    def remove_parts(self) -> None:
        """What interrupted runs left, all of which the new output holds."""
        for part in self._parts:
            part.unlink(missing_ok=True)

    def _key(self, source: "Source") -> Key | None:
        """That of a picture that is written, and drawn where that is wanted."""
        known = source.known(self._search)
        name = plain_name(source.name)
        there = self._keys if self._lines is None else self._lines
        for network in (self._network, None):
            key = key_of(name, known, network)
            if known and key in there:
                return key if network is None or self._is_drawn(source) else None
        return None

    def _is_drawn(self, source: "Source") -> bool:
        return not self._drawings or drawing_path(self._drawings, source.relative).exists()
