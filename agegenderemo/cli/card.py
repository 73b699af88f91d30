"""``agegenderemo card``: measured figures into Markdown pages."""

import argparse
import sys
from pathlib import Path

from agegenderemo.cli.common import Arguments, Command, add_checkpoint, checkpoint_path


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE", help="Markdown file")
    add_checkpoint(parser)


def _run(args: Arguments) -> int:
    from agegenderemo.files import write_atomically
    from agegenderemo.report import fill_page

    # All of them before the first is written: a page that cannot be filled changes none.
    filled = [(page, fill_page(page, checkpoint_path(args))) for page in args.pages]
    for page, text in filled:
        write_atomically(page, text.encode())
        print(f"{page}: its tables are renewed", file=sys.stderr)
    return 0


COMMAND = Command(
    "card",
    "renew the tables of Markdown pages from the figures beside a checkpoint",
    _add_arguments,
    _run,
)
