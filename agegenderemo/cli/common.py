"""What several commands share: their shape, and the checkpoint that they are about."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Arguments = argparse.Namespace


@dataclass(frozen=True, slots=True)
class Command:
    """A word of the command line. ``run`` returns the exit status; ``extra`` names the optional
    packages that it needs, those of ``pip install 'agegenderemo[EXTRA]'``."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Arguments], int]
    extra: str = ""

    @property
    def description(self) -> str:
        """The help as a sentence."""
        return f"{self.help[0].upper()}{self.help[1:]}."


def add_checkpoint(parser: argparse.ArgumentParser, help: str = "default: agegendernet") -> None:
    """``--model NAME|FILE|hf://USER/REPO``, of old ``--checkpoint``; None where it is not given."""
    parser.add_argument(
        "--model",
        "--checkpoint",
        dest="checkpoint",
        metavar="NAME|FILE|hf://USER/REPO",
        help=f"a network of this package, a file of weights, or one of the Hub; {help}",
    )


def add_precision(parser: argparse.ArgumentParser) -> None:
    """``--precision float|int8``."""
    parser.add_argument(
        "--precision",
        choices=("float", "int8"),
        default="float",
        help="what the network computes convolutions in; default: float",
    )


def printable(text: str) -> str:
    """A sentence for a terminal: what a file's name says to a terminal itself stands as its
    escapes."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def checkpoint_path(args: Arguments) -> Path:
    """The checkpoint that was named, or the usual one; raises CheckpointError for an unknown
    name."""
    from agegenderemo.resources import find_checkpoint

    return find_checkpoint(args.checkpoint)
