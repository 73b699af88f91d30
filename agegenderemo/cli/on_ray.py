"""``analyze --engine ray``: pictures of any file system that pyarrow knows, on a Ray cluster, into
a folder of Parquet files."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agegenderemo.cli.common import Arguments
from agegenderemo.cli.resumed import Outcome, Reader, Written
from agegenderemo.cli.sources import Source
from agegenderemo.errors import AgeGenderEmoError, ImageError, MissingExtraError
from agegenderemo.files import resolved
from agegenderemo.imaging.formats import is_picture_name, is_shadow
from agegenderemo.tasks import TaskSpec

if TYPE_CHECKING:
    from agegenderemo.inference.analyzer import Analyzer

# A path of the command line has lost one of the two slashes.
_URI = re.compile(r"([a-z][a-z0-9+.-]+):/+(.+)")


def check(args: Arguments) -> None:
    """Raises ValueError for options that do not go together."""
    if args.engine != "ray":
        if args.address:
            raise ValueError("--address is that of a Ray cluster; give --engine ray with it.")
        if any(map(uri_of, args.paths)):
            raise ValueError("Pictures of another file system are read by --engine ray.")
        return
    if not args.parquet or args.json or args.csv or args.annotated or args.workers:
        raise ValueError(
            "--engine ray writes --parquet DIR, a folder that every machine sees, and takes no "
            "--json, --csv, --annotated or --workers."
        )


def run(args: Arguments, read: Reader, sources: Sequence[Source], analyzer: "Analyzer") -> int:
    """Read what is not written yet; how many pictures could not be read."""
    from contextlib import ExitStack

    from tqdm import tqdm

    from agegenderemo.batch.parquet import ParquetParts
    from agegenderemo.batch.ray_engine import map_chunks

    rows = ParquetParts(args.parquet, analyzer.tasks, resume=args.resume)
    todo = list(sources)
    if args.resume:
        with ExitStack() as stack:
            todo = Written(args, analyzer.network, rows, stack).left(sources)
    finish = partial(_finish, resolved(args.parquet), analyzer.tasks, rows.next)
    bad = 0
    with tqdm(total=len(todo), unit="image", disable=None) as bar:
        done = map_chunks(read.start, todo, read.lost, finish, address=args.address)
        for count, failed in done:
            bar.update(count)
            bad += failed
    return bad


def _finish(
    folder: Path, tasks: tuple[TaskSpec, ...], first: int, number: int, outcomes: list[Outcome]
) -> tuple[int, int]:
    """Write the part of a chunk; how many pictures it has, and how many of them failed."""
    from agegenderemo.batch.parquet import rows_of, schema, write_part

    records = [record for record, _ in outcomes]
    rows = [row for record in records for row in rows_of(record, tasks)]
    write_part(folder, first + number, rows, schema(tasks))
    return len(records), sum("error" in record for record in records)


# --- other file systems -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RemoteSource(Source):
    """A picture of another file system, by its URI."""

    uri: str = ""
    size: int | None = None
    modified: int | None = None

    @property
    def name(self) -> str:
        return self.uri

    def read(self) -> bytes:
        from agegenderemo.imaging.load import read_file

        system, path = _file_system(self.uri)
        try:
            with system.open_input_file(path) as file:
                return read_file(file)
        except OSError as error:
            raise ImageError(f"{self.uri} cannot be read: {error}.") from error

    def known(self, search: str) -> dict[str, Any]:
        if self.size is None:
            return {}
        return {"bytes": self.size, "modified": self.modified, "search": search}


def uri_of(path: Path) -> str | None:
    """``s3://bucket/photos`` of the path that it has become; None for a path."""
    found = _URI.fullmatch(str(path))
    if found is None:
        return None
    scheme, rest = found.groups()
    return f"file:///{rest}" if scheme == "file" else f"{scheme}://{rest}"


def collect_remote(uris: Iterable[str]) -> list[Source]:
    """The pictures at URIs of files and folders. Raises AgeGenderEmoError for a file system that
    pyarrow does not know or cannot reach."""
    found: list[Source] = []
    for uri in uris:
        system, path = _file_system(uri)
        from pyarrow import fs

        start = uri.removesuffix(path)
        try:
            (info,) = system.get_file_info([path])
            inside = [info]
            if info.type == fs.FileType.Directory:
                inside = system.get_file_info(fs.FileSelector(path, recursive=True))
        except OSError as error:
            raise AgeGenderEmoError(f"{uri} cannot be listed: {error}.") from error
        if info.type == fs.FileType.NotFound:
            found.append(RemoteSource(Path(uri), Path(info.base_name), f"There is no {uri}.", uri))
        for one in sorted(inside, key=lambda one: one.path):
            named = is_picture_name(one.base_name) and not is_shadow(one.base_name)
            if one.type == fs.FileType.File and (named or one.path == path):
                place = Path(one.path)
                where = f"{start}{one.path}"
                found.append(RemoteSource(
                    place, Path(place.name), None, where, one.size, one.mtime_ns
                ))  # fmt: skip
    return found


def _file_system(uri: str) -> tuple[Any, str]:
    try:
        import pyarrow
        from pyarrow import fs
    except ImportError as error:
        raise MissingExtraError("A picture of another file system", "batch") from error
    try:
        system, path = fs.FileSystem.from_uri(uri)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise AgeGenderEmoError(f"{uri} is no place that pyarrow can reach: {error}.") from error
    return system, path
