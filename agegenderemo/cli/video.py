"""``agegenderemo video``: films in; people, a row a frame and person, films and timelines out."""

import argparse
import csv
import io
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from agegenderemo.cli.common import Arguments, Command, add_checkpoint, add_precision

if TYPE_CHECKING:
    from agegenderemo.inference.analyzer import Analyzer
    from agegenderemo.video.film import Film
    from agegenderemo.video.reading import FilmStory, Rows
    from agegenderemo.video.writer import FilmWriter


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="film")
    parser.add_argument(
        "--json", metavar="FILE", help="one JSON line a film; - (the screen) is the default"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="one row a frame and person")
    parser.add_argument(
        "--annotated", type=Path, metavar="OUT.mp4", help="the film with its faces, of one film"
    )
    parser.add_argument(
        "--timeline", type=Path, metavar="OUT.html|png", help="a lane a person, of one film"
    )
    parser.add_argument(
        "--every",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="read, and annotate, a frame only so often; default: every frame",
    )
    add_checkpoint(parser)
    add_precision(parser)


def _run(args: Arguments) -> int:
    _check(args)
    import av  # noqa: F401 - without it nothing may be touched

    from agegenderemo.inference.analyzer import Analyzer
    from agegenderemo.video.outputs import whole_file
    from agegenderemo.video.records import film_fields

    analyzer = Analyzer.from_checkpoint(args.checkpoint, precision=args.precision)
    bad, interrupted = 0, False
    with ExitStack() as stack:
        lines = _json_stream(args, stack)
        rows = None
        if args.csv:
            stream = _text(stack.enter_context(whole_file(args.csv)), stack)
            table = csv.DictWriter(stream, film_fields(analyzer.tasks), restval="")
            table.writeheader()
            rows = table.writerows
        for path in args.files:
            record, interrupted = _read(analyzer, path, args, rows)
            bad += "error" in record
            if lines:
                print(json.dumps(record), file=lines, flush=True)
            if "error" in record:
                print(f"error: {record['error']}", file=sys.stderr)
            if interrupted:
                break
    if interrupted:
        raise KeyboardInterrupt
    return int(bad > 0)


def _check(args: Arguments) -> None:
    """Everything that can be said before a file is opened."""
    from agegenderemo.errors import AgeGenderEmoError
    from agegenderemo.video.outputs import check_outputs
    from agegenderemo.video.suffixes import CONTAINERS, TIMELINES

    if not 0 <= args.every < float("inf"):
        raise AgeGenderEmoError(f"--every takes seconds from 0, not {args.every}.")
    if len(args.files) > 1 and (args.annotated or args.timeline):
        raise AgeGenderEmoError("--annotated and --timeline take one film at a time.")
    for option, path, known in (
        ("--annotated", args.annotated, CONTAINERS),
        ("--timeline", args.timeline, TIMELINES),
    ):
        if path and path.suffix.lower() not in known:
            raise AgeGenderEmoError(f"{option} takes a file of {', '.join(known)}, not {path}.")
    if args.timeline and args.timeline.suffix.lower() == ".html":
        import plotly  # noqa: F401 - it draws at the end, and is missed before the beginning
    outputs = [args.csv, args.annotated, args.timeline]
    if args.json and args.json != "-":
        outputs.append(Path(args.json))
    inputs = [*args.files]
    if args.checkpoint:
        inputs += [args.checkpoint, args.checkpoint.with_suffix(".onnx")]
    check_outputs(inputs, [one for one in outputs if one])


def _json_stream(args: Arguments, stack: ExitStack) -> IO[str] | None:
    from agegenderemo.video.outputs import whole_file

    if args.json is None and (args.csv or args.annotated or args.timeline):
        return None
    if args.json in (None, "-"):
        return sys.stdout
    return _text(stack.enter_context(whole_file(Path(args.json))), stack)


def _text(file: Any, stack: ExitStack) -> IO[str]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    stack.callback(text.detach)  # it is closed by whoever renames it
    return text


def _read(
    analyzer: "Analyzer", path: Path, args: Arguments, rows: "Rows | None"
) -> tuple[dict[str, Any], bool]:
    """The record of a film, and whether the user stopped it."""
    from agegenderemo.errors import FilmError
    from agegenderemo.results import error_record
    from agegenderemo.video.film import Film

    try:
        with path.open("rb") as file:
            film = Film(file, str(path), every=args.every, with_sound=args.annotated is not None)
            try:
                story = _told(analyzer, film, args, rows)
            finally:
                film.close()
    except FilmError as error:
        return error_record(str(path), error), False
    except OSError as error:
        if error.filename != str(path):
            raise
        return error_record(str(path), f"Cannot read {path}: {error.strerror}."), False
    if args.timeline:
        _write_timeline(story, analyzer, args.timeline)
    return story.record, story.interrupted


def _told(analyzer: "Analyzer", film: "Film", args: Arguments, rows: "Rows | None") -> "FilmStory":
    from tqdm import tqdm

    from agegenderemo.video.outputs import whole_file
    from agegenderemo.video.reading import tell_film

    with ExitStack() as stack:
        writer = None
        if args.annotated:
            file = stack.enter_context(whole_file(args.annotated))
            writer = _writer(file, args.annotated, film)
        total = round(film.duration, 1) if film.duration else None
        bar = stack.enter_context(
            tqdm(total=total, unit="s", disable=None, bar_format=_BAR if total else None)
        )
        story = tell_film(
            analyzer, film, rows=rows, writer=writer, progress=lambda s: bar.update(s - bar.n)
        )
    if writer and writer.problem:
        print(writer.problem, file=sys.stderr)
    return story


_BAR = "{l_bar}{bar}| {n:.1f}/{total:.1f} s of film [{elapsed}, {remaining} left]"


def _writer(file: Any, path: Path, film: "Film") -> "FilmWriter":
    from agegenderemo.video.suffixes import CONTAINERS
    from agegenderemo.video.writer import FilmWriter

    return FilmWriter(file, CONTAINERS[path.suffix.lower()], film.rate, sound=film.sound)


def _write_timeline(story: "FilmStory", analyzer: "Analyzer", path: Path) -> None:
    from agegenderemo.files import write_atomically
    from agegenderemo.web.timeline import timeline_figure, timeline_picture, with_runs

    people, seconds = [with_runs(one) for one in story.people], story.record["seconds"]
    if path.suffix.lower() == ".png":
        stream = io.BytesIO()
        timeline_picture(people, analyzer.tasks, seconds).save(stream, "PNG")
        write_atomically(path, stream.getvalue())
        return
    figure = timeline_figure(people, analyzer.tasks, seconds)
    # With its library inside: a page that is looked at fetches nothing.
    write_atomically(path, figure.to_html(include_plotlyjs=True).encode())


COMMAND = Command(
    "video", "what the network says of people in films", _add_arguments, _run, extra="video"
)
