"""``agegenderemo prepare``: a published data set into aligned crops."""

import argparse
from pathlib import Path

from agegenderemo.cli.common import Arguments, Command
from agegenderemo.cli.sets import add_data, detector, known_set


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser)
    parser.add_argument(
        "--root", required=True, type=Path, metavar="DIR", help="folder or zip of the set"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="a folder a set is made in here"
    )
    parser.add_argument("--processes", type=int, metavar="N", help="default: one a core")
    parser.add_argument(
        "--template",
        choices=("face", "ffhq"),
        default="face",
        help="how a crop sits round a face: close (the default) or as wide as FFHQ's thumbnails",
    )


def _run(args: Arguments) -> int:
    from agegenderemo.data.prepare import prepare, report_line
    from agegenderemo.data.readers import read

    name = known_set(args)
    index = read(name, args.root)
    print(f"{name}: {index.summary()}")
    prepared = prepare(name, index, args.out, detector(), args.processes, args.template)
    print(report_line(prepared))
    return 0


COMMAND = Command("prepare", "turn a data set into aligned crops", _add_arguments, _run)
