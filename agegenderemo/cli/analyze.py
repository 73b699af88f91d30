"""``agegenderemo analyze``: pictures in; JSON lines, a table and drawings out."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agegenderemo.cli.common import (
    Arguments,
    Command,
    add_checkpoint,
    add_precision,
    checkpoint_path,
    printable,
)

_WORTH_A_PROCESS = 20

if TYPE_CHECKING:
    from agegenderemo.batch.parquet import ParquetParts
    from agegenderemo.cli.resumed import Outcome
    from agegenderemo.cli.sources import Source
    from agegenderemo.detection import Search
    from agegenderemo.inference.analyzer import Analyzer


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="image or folder; - is standard input"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="one JSON line an image; - (the screen) is the default",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="one row a face; - is the screen")
    parser.add_argument("--annotated", type=Path, metavar="DIR", help="pictures with their faces")
    parser.add_argument(
        "--parquet",
        type=Path,
        metavar="DIR",
        help="one row a face, in files of some 10,000 rows; needs the extra 'batch'",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with a run that was interrupted: what --json FILE or --parquet DIR holds of "
        "pictures that have not changed since is kept, and of those that are not named this time",
    )
    parser.add_argument(
        "--search",
        choices=("auto", "thorough", "plain"),
        default="auto",
        help="look again for faces that are turned, small or in the dark: where none was found "
        "(the default), always, or never",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that read pictures; default: one a core, where there are enough pictures",
    )
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="where pictures are read: by processes of this machine (the default), or on a Ray "
        "cluster, into --parquet DIR; paths may then be URIs (s3://…, gs://…, hdfs://…)",
    )
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="of a Ray cluster; default: one on this machine"
    )
    add_checkpoint(parser)
    add_precision(parser)


def _run(args: Arguments) -> int:
    from agegenderemo.cli import on_ray, resumed
    from agegenderemo.cli.outputs import check_outputs
    from agegenderemo.cli.sources import STDIN, collect

    if args.workers is not None and args.workers < 1:
        raise ValueError(f"--workers must be at least 1, not {args.workers}.")
    if args.resume:
        resumed.check(args)
    on_ray.check(args)
    uris = [uri for path in args.paths if (uri := on_ray.uri_of(path))]
    local = [path for path in args.paths if not on_ray.uri_of(path)]
    sources = collect(local, args.annotated)
    sources.found.extend(on_ray.collect_remote(uris))
    check_outputs(args, [*args.paths, *(one.path for one in sources.found), *_network(args)])
    if all(one.error for one in sources.found):
        for one in sources.found[1:]:
            print(f"error: {printable(one.error or '')}", file=sys.stderr)
        raise ValueError(sources.found[0].error)

    from agegenderemo.inference.analyzer import Analyzer

    analyzer = Analyzer.from_checkpoint(args.checkpoint, precision=args.precision)
    if not (args.json or args.csv or args.annotated or args.parquet):
        args.json = STDIN
    read = _Reader(analyzer, args.annotated, args.search)
    run = on_ray.run if args.engine == "ray" else _run_here
    bad = run(args, read, sources.found, analyzer)
    if sources.left:
        print(sources.left_text(), file=sys.stderr)
    return int(bad > 0)


def _run_here(
    args: Arguments, read: "_Reader", found: "Sequence[Source]", analyzer: "Analyzer"
) -> int:
    """On this machine; how many pictures failed."""
    from agegenderemo.cli.outputs import open_output
    from agegenderemo.cli.resumed import Written
    from agegenderemo.results import CsvTable, JsonLines

    def results(some: "Sequence[Source]") -> "Iterable[Outcome]":
        return _results(read, some, args.workers)

    bad = 0
    with ExitStack() as stack:
        rows = _parquet(args, analyzer, stack)
        written = Written(args, analyzer.network, rows, stack) if args.resume else None
        lines = JsonLines(open_output(args.json, stack))
        table = CsvTable(open_output(args.csv, stack), analyzer.tasks)
        outcomes = written.results(found, results) if written else results(found)
        for record, problem in _with_progress(outcomes, len(found)):
            bad += "error" in record or bool(problem)
            if problem:
                print(f"warning: {printable(problem)}", file=sys.stderr)
            lines.write(record)
            table.write(record)
            if rows:
                rows.write(record)
        for record in written.others(found) if written else ():
            lines.write(record)
            table.write(record)
    if written:
        written.remove_parts()
    return bad


def _network(args: Arguments) -> list[Path]:
    """The files of a network that was named: they are inputs too."""
    if not args.checkpoint:
        return []
    named = checkpoint_path(args)
    return [named, *map(named.with_suffix, (".onnx", ".int8.onnx", ".json"))]


@dataclass(frozen=True)
class _Reader:
    """Reads sources; it goes to another process as the analyzer does, which is opened there."""

    analyzer: "Analyzer"
    annotated: Path | None
    search: "Search"

    def __call__(self, source: "Source") -> "Outcome":
        return analyze_source(self.analyzer, source, self.annotated, self.search)

    def start(self) -> "_Reader":
        """What a process of a pool calls for each source."""
        return self

    def lost(self, source: "Source") -> "Outcome":
        """The outcome of a source that two processes died of."""
        from agegenderemo.results import error_record

        text = "The process that read it was ended twice, as where there is too little memory."
        known = source.known(self.search)
        return error_record(source.name, text) | ({"input": known} if known else {}), ""


def _parquet(args: Arguments, analyzer: "Analyzer", stack: ExitStack) -> "ParquetParts | None":
    if not args.parquet:
        return None
    from agegenderemo.batch.parquet import ParquetParts

    return stack.enter_context(ParquetParts(args.parquet, analyzer.tasks, resume=args.resume))


def _results(
    read: _Reader, sources: "Sequence[Source]", workers: int | None
) -> "Iterable[Outcome]":
    """What becomes of each source, in their order."""
    from agegenderemo.batch.pool import cores, map_ordered
    from agegenderemo.cli.sources import STDIN

    if workers is None:
        # A process takes as long to start as some twenty small pictures take to read.
        workers = min(cores(), len(sources) // _WORTH_A_PROCESS)
    # Standard input is this process's own.
    if workers < 2 or any(one.path == STDIN for one in sources):
        return map(read, sources)

    return map_ordered(read.start, sources, workers, read.lost)


def _with_progress(outcomes: "Iterable[Outcome]", count: int) -> "Iterable[Outcome]":
    """The results, with a bar on a terminal where there are several."""
    if count < 2:
        return outcomes  # importing the bar takes a tenth of the time of one photo
    from tqdm import tqdm

    bar: Iterable[Outcome] = tqdm(outcomes, total=count, unit="image", disable=None)
    return bar


def analyze_source(
    analyzer: "Analyzer", source: "Source", annotated: Path | None, search: "Search" = "auto"
) -> "Outcome":
    """The record of one picture, with an ``error`` whatever failed in reading it and what is known
    of its file; and what failed in drawing it, as a sentence, else an empty text."""
    known = source.known(search)
    record, problem = _analyze_source(analyzer, source, annotated, search)
    return (record | {"input": known} if known else record), problem


def _analyze_source(
    analyzer: "Analyzer", source: "Source", annotated: Path | None, search: "Search"
) -> "Outcome":
    from agegenderemo.cli.outputs import save_drawing
    from agegenderemo.cli.sources import STDIN
    from agegenderemo.errors import AgeGenderEmoError
    from agegenderemo.imaging.decode import read_picture
    from agegenderemo.results import error_record, picture_record, plain_name

    name = source.name
    if source.error:
        return error_record(name, source.error), ""
    try:
        shown = "standard input" if source.path == STDIN else source.path.name
        picture = read_picture(source.read(), shown)
        found = analyzer.find(picture.image, search)
        faces = analyzer.read_faces(picture.image, found.detections)
        whole = [picture.to_full_size(face) for face in faces]
        record = picture_record(name, picture.image, whole, found.search, analyzer.network)
        record |= {"width": picture.width, "height": picture.height}
    except AgeGenderEmoError as error:
        return error_record(name, error), ""
    except Exception as error:  # one picture never ends the run for the others
        return error_record(name, f"It could not be analyzed ({_reason(error)})."), ""
    try:
        if annotated:
            save_drawing(picture.image, faces, annotated, source.relative)
    except Exception as error:
        return record, plain_name(f"the drawing of {name} is not written: {_reason(error)}.")
    return record, ""


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


COMMAND = Command("analyze", "what the network says of faces in pictures", _add_arguments, _run)
