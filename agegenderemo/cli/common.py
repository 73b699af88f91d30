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


def add_checkpoint(parser: argparse.ArgumentParser, help: str = "default: the shipped one") -> None:
    """``--checkpoint FILE``, None where it is not given."""
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help=help)


def checkpoint_path(args: Arguments) -> Path:
    """The checkpoint that was named, or the shipped one."""
    from agegenderemo.resources import default_checkpoint

    return args.checkpoint or default_checkpoint()
