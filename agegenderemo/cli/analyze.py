"""``agegenderemo analyze``: pictures in; JSON lines, a table and drawings out."""

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from agegenderemo.cli.common import Arguments, Command, add_checkpoint

if TYPE_CHECKING:
    from agegenderemo.detection import Search
    from agegenderemo.inference.analyzer import Analyzer


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image or folder")
    parser.add_argument(
        "--json", metavar="FILE", help="one JSON line an image; - (the screen) is the default"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="one row a face")
    parser.add_argument("--annotated", type=Path, metavar="DIR", help="pictures with their faces")
    parser.add_argument(
        "--search",
        choices=("auto", "thorough", "plain"),
        default="auto",
        help="look again for faces that are turned, small or in the dark: where none was found "
        "(the default), always, or never",
    )
    add_checkpoint(parser)


def _run(args: Arguments) -> int:
    from agegenderemo.inference.analyzer import Analyzer
    from agegenderemo.results import csv_fields, csv_rows

    analyzer = Analyzer.from_checkpoint(args.checkpoint)
    files = list(_files(args.paths))
    bad = 0
    with ExitStack() as stack:
        lines = _json_stream(args, stack)
        table = None
        if args.csv:
            stream = stack.enter_context(args.csv.open("w", newline="", encoding="utf-8"))
            table = csv.DictWriter(stream, csv_fields(analyzer.tasks))
            table.writeheader()
        for path, relative in _with_progress(files):
            record = _analyze_file(analyzer, path, relative, args.annotated, args.search)
            bad += "error" in record
            if lines:
                print(json.dumps(record), file=lines, flush=True)
            if table:
                table.writerows(csv_rows(record, analyzer.tasks))
                stream.flush()
    return int(bad > 0)


def _with_progress(files: list[tuple[Path, Path]]) -> Iterable[tuple[Path, Path]]:
    """The files, with a bar on a terminal where there are several."""
    if len(files) < 2:
        return files  # importing the bar takes a tenth of the time of one photo
    from tqdm import tqdm

    bar: Iterable[tuple[Path, Path]] = tqdm(files, unit="image", disable=None)
    return bar


def _json_stream(args: Arguments, stack: ExitStack) -> IO[str] | None:
    if args.json is None and (args.csv or args.annotated):
        return None
    if args.json in (None, "-"):
        return sys.stdout
    return stack.enter_context(open(args.json, "w", encoding="utf-8"))


def _files(paths: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Every image with its name below the folder that was given, each name once."""
    from agegenderemo.imaging.load import IMAGE_SUFFIXES

    used: set[Path] = set()
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        if not inside:
            raise ValueError(f"{path} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
        for file in inside:
            name = file.relative_to(path) if path.is_dir() else Path(file.name)
            number = 1
            while name in used:
                number += 1
                name = name.with_name(f"{file.stem}-{number}{file.suffix}")
            used.add(name)
            yield file, name


def _analyze_file(
    analyzer: "Analyzer", path: Path, relative: Path, annotated: Path | None, search: "Search"
) -> dict[str, Any]:
    from agegenderemo.errors import ImageError
    from agegenderemo.imaging.load import load_image
    from agegenderemo.results import error_record, picture_record

    try:
        image = load_image(path)
    except ImageError as error:
        return error_record(str(path), error)
    found = analyzer.find(image, search)
    faces = analyzer.read_faces(image, found.detections)
    if annotated:
        _save_annotated(image, faces, annotated / relative)
    return picture_record(str(path), image, faces, found.search)


def _save_annotated(image: Any, faces: list[Any], path: Path) -> None:
    from PIL import Image

    from agegenderemo.imaging.draw import annotate

    path.parent.mkdir(parents=True, exist_ok=True)
    # PNG under the whole old name: a.jpg and a.png of one folder do not collide.
    Image.fromarray(annotate(image, faces)).save(path.with_name(path.name + ".png"))


COMMAND = Command("analyze", "what the network says of faces in pictures", _add_arguments, _run)
