"""``agegenderemo prepare``: a data set, published or your own, into aligned crops."""

import argparse
import shlex
from pathlib import Path

from agegenderemo.cli.common import Arguments, Command
from agegenderemo.cli.sets import add_data, check_name, detector, own_name
from agegenderemo.files import resolved


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser)
    parser.add_argument(
        "--root", required=True, type=Path, metavar="PATH", help="folder, archive or csv of the set"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="a folder a set is made in here"
    )
    parser.add_argument(
        "--name",
        help="what the prepared set is called from now on; default: that of --data, for your own "
        "data that of its csv or folder",
    )
    parser.add_argument("--processes", type=int, metavar="N", help="default: one a core")
    parser.add_argument(
        "--template",
        choices=("face", "ffhq"),
        default="face",
        help="how a crop sits round a face: close (the default) or as wide as FFHQ's thumbnails",
    )
    parser.add_argument(
        "--aligned",
        action="store_true",
        help="the pictures are crops by that template already: take them whole, search nothing",
    )
    parser.add_argument(
        "--size", type=int, metavar="PIXELS", help="of the crops, 64 to 256; default: 128"
    )


def _run(args: Arguments) -> int:
    from agegenderemo.data.prepare import copies_line, prepare, report_line
    from agegenderemo.data.readers import get_reader, read
    from agegenderemo.types import CROP_SIZE

    reader = get_reader(args.data)
    name = args.name or (own_name(args.root) if reader.own else reader.name)
    check_name(name)
    index = read(reader.name, args.root)
    print(f"{name}: {index.summary()}")
    prepared = prepare(
        name,
        index,
        args.out,
        detector(),
        args.processes,
        args.template,
        whole=args.aligned or reader.published_template == args.template,
        size=CROP_SIZE if args.size is None else args.size,
        command=_command(args),
    )
    print(report_line(prepared))
    if copies := copies_line(prepared):
        print(copies)
    return 0


def _command(args: Arguments) -> str:
    """The command line that goes on with this set, from any folder."""
    words = ["agegenderemo", "prepare", "--data", args.data]
    words += ["--root", str(resolved(args.root)), "--out", str(resolved(args.out))]
    words += ["--name", args.name] if args.name else []
    words += ["--template", args.template] if args.template != "face" else []
    words += ["--aligned"] if args.aligned else []
    words += ["--size", str(args.size)] if args.size else []
    return shlex.join(words)


COMMAND = Command("prepare", "turn a data set into aligned crops", _add_arguments, _run)
