"""``agegenderemo card``: measured figures into Markdown pages."""

import argparse
from pathlib import Path

from agegenderemo.cli.common import Arguments, Command, add_checkpoint, checkpoint_path


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE", help="Markdown file")
    add_checkpoint(parser)


def _run(args: Arguments) -> int:
    from agegenderemo.files import write_atomically
    from agegenderemo.report import card_tables, fill

    made = card_tables(checkpoint_path(args))
    for page in args.pages:
        write_atomically(page, fill(page.read_text(encoding="utf-8"), made).encode())
    return 0


COMMAND = Command(
    "card",
    "renew the tables of Markdown pages from the figures beside a checkpoint",
    _add_arguments,
    _run,
)
