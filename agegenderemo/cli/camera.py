"""``agegenderemo camera``: a stream in, a JSON line a frame out, and no window."""

import argparse
import json
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

from agegenderemo.cli.common import Arguments, Command, add_checkpoint, add_precision


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="DEVICE|FILE",
        help="a camera, as /dev/video0 or its number, or a film or pipe",
    )
    add_checkpoint(parser)
    add_precision(parser)


def _run(args: Arguments) -> int:
    import av  # noqa: F401 - without it the network need not be loaded

    from agegenderemo.errors import AgeGenderEmoError
    from agegenderemo.inference.analyzer import Analyzer
    from agegenderemo.video.camera import Camera, is_device
    from agegenderemo.video.film import Film
    from agegenderemo.video.reading import read_film, read_live

    device = is_device(args.source)
    path = Path(args.source)
    if not device and not path.exists():
        raise AgeGenderEmoError(f"There is neither a camera nor a film at {args.source}.")
    analyzer = Analyzer.from_checkpoint(args.checkpoint, precision=args.precision)
    if device:
        with closing(Camera(args.source)) as camera:
            _print(read_live(analyzer, camera))
        return 0
    with path.open("rb") as file, closing(Film(file, args.source)) as film:
        _print(read_film(analyzer, film))
        if film.problem:
            print(f"error: {film.problem}", file=sys.stderr)
        return int(film.problem is not None)


def _print(items: Generator[Any, None, None]) -> None:
    from agegenderemo.video.reading import Seen
    from agegenderemo.video.records import frame_record

    with closing(items):
        for item in items:
            if isinstance(item, Seen):
                height, width = item.frame.image.shape[:2]
                record = frame_record(item.frame.time, width, height, item.faces)
                print(json.dumps(record), flush=True)


COMMAND = Command(
    "camera",
    "what the network says of people in a stream, as JSON lines",
    _add_arguments,
    _run,
    extra="video",
)
