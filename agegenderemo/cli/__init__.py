"""The command ``agegenderemo``: a file for each of its commands.

Exit status: 0 done; 1 done, but some files could not be read; 2 the command cannot run; 130
interrupted. Imports wait until a command needs them, so that ``--help`` is quick.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from agegenderemo.cli import (
    analyze,
    calibrate,
    camera,
    card,
    compare,
    demo,
    evaluate,
    export,
    models,
    prepare,
    quantize,
    static,
    train,
    version,
    video,
)
from agegenderemo.cli.common import Command, printable

COMMANDS: tuple[Command, ...] = (
    analyze.COMMAND,
    video.COMMAND,
    camera.COMMAND,
    demo.COMMAND,
    static.COMMAND,
    prepare.COMMAND,
    train.COMMAND,
    evaluate.COMMAND,
    compare.COMMAND,
    calibrate.COMMAND,
    export.COMMAND,
    quantize.COMMAND,
    card.COMMAND,
    models.COMMAND,
)

_EPILOG = """\
commands:
{commands}

exit status: 0 done; 1 done, but some files could not be read; 2 the command cannot run;
130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name) and return the exit status."""
    from agegenderemo.errors import MissingExtraError

    command = None
    try:
        args = _parser().parse_args(argv)
        command = args.command
        return int(command.run(args))
    except KeyboardInterrupt:
        print("Interrupted; what was finished is written.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output is gone (… | head): nothing is left to say.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        return 1
    except ModuleNotFoundError as error:
        if command is None or not command.extra or _is_ours(error):
            raise
        return _failed(MissingExtraError(f"agegenderemo {command.name}", command.extra))
    except (ValueError, OSError, FloatingPointError) as error:
        return _failed(error)


def train_main(argv: Sequence[str] | None = None) -> int:
    """``train.py``: the train command under its own name."""
    return main(["train", *(sys.argv[1:] if argv is None else argv)])


def _is_ours(error: ModuleNotFoundError) -> bool:
    return (error.name or "").split(".")[0] == "agegenderemo"


def _failed(error: Exception) -> int:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        # Not "[Errno 36] …".
        what = os.fsdecode(error.filename) if error.filename else "The output"
        text = f"{what} cannot be used: {error.strerror}."
    text = "\n".join(map(printable, text.split("\n")))
    print(f"error: {text}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agegenderemo",
        usage="agegenderemo [-h] [--version] COMMAND ...",
        description="What one multi-task network says of every face in a picture.",
        epilog=_EPILOG.format(
            commands="\n".join(f"  {one.name:9}  {one.help}" for one in COMMANDS)
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=version.VersionAction)
    commands = parser.add_subparsers(
        prog="agegenderemo", required=True, metavar="COMMAND", help=argparse.SUPPRESS
    )
    for command in COMMANDS:
        own = commands.add_parser(command.name, description=command.description)
        command.add_arguments(own)
        own.set_defaults(command=command)
    return parser
