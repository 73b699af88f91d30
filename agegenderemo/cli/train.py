"""``agegenderemo train``, and ``train.py``: a recipe, step by step."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agegenderemo.cli.common import Arguments, Command
from agegenderemo.cli.sets import add_ffhq_parts, detector, read_ffhq
from agegenderemo.errors import AgeGenderEmoError

if TYPE_CHECKING:
    from agegenderemo.training.distributed import DistributedContext
    from agegenderemo.training.recipes import Step
    from agegenderemo.types import Template

_DEFAULT = "quick"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        help=f"default: that of --data, or {_DEFAULT}; an unknown name lists the known",
    )
    parser.add_argument("--prepared", type=Path, metavar="DIR", help="folder of prepared sets")
    parser.add_argument("--data", choices=("ffhq",), help="prepare this set first, from:")
    add_ffhq_parts(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: runs/RECIPE")
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="FILE",
        help="weights of the public face network, for the steps that learn from it",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="begin the first step with this checkpoint, or with published weights of its family",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change every step of the recipe; may stand several times",
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="log to a folder tensorboard of each step too"
    )


def _run(args: Arguments) -> int:
    from agegenderemo.training import chain
    from agegenderemo.training.distributed import join
    from agegenderemo.training.recipes import get_recipe

    name = args.recipe or args.data or _DEFAULT
    recipe = get_recipe(name).with_settings(args.set)
    if not args.data and not args.prepared:
        raise AgeGenderEmoError("Give --prepared with the folder of prepared sets, or --data ffhq.")
    out = args.out or Path("runs") / name
    prepared = args.prepared or out / "prepared"
    watch = _watcher(_writer() if args.tensorboard else None)
    with join() as context:
        if args.data:
            _prepare_ffhq(args, out, prepared, recipe.steps[0].config.template, context)
        weights = chain.run(
            recipe,
            prepared,
            out,
            face_descriptor=args.teacher,
            weights=args.weights,
            context=context,
            watch=watch,
        )
        if context.is_main:
            print(f"Weights: {weights}; the history of each step lies beside its own.")
    return 0


def _prepare_ffhq(
    args: Arguments,
    out: Path,
    folder: Path,
    template: "Template",
    context: "DistributedContext",
) -> None:
    from agegenderemo.data.prepare import prepare, report_line

    # One machine after the other: where they share a disk, the second finds all done.
    for turn in (context.is_main, not context.is_main):
        if context.local_rank == 0 and turn:
            index = read_ffhq(args, out)
            done = prepare(args.data, index, folder, detector(), template=template)
            print(report_line(done), file=sys.stderr)
        context.barrier()


def _writer() -> Callable[..., Any]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise AgeGenderEmoError("--tensorboard needs 'pip install tensorboard'.") from error
    return SummaryWriter


History = list[dict[str, Any]]


def _watcher(
    writer: Callable[..., Any] | None,
) -> Callable[["Step", Path], Callable[[History, bool], None]]:
    """Makes for each step what is called after its every epoch: it draws the history every five of
    them and at the end, and logs it where ``writer`` says how."""
    from agegenderemo.evaluation.plots import history_panels, save_html, save_png

    def begin(step: "Step", folder: Path) -> Callable[[History, bool], None]:
        log = _logger(writer, folder) if writer else None

        def watch(history: History, over: bool) -> None:
            if over or len(history) % 5 == 0:
                panels = history_panels(history, step.config.specs)
                save_html(panels, folder / "history.html")
                save_png(panels, folder / "history.png")
            if log:
                log(history, over)

        return watch

    return begin


def _logger(writer: Callable[..., Any], folder: Path) -> Callable[[History, bool], None]:
    opened: list[Any] = []

    def log(history: History, over: bool) -> None:
        fresh = [] if over else history[-1:]
        if not opened:
            # A resumed run says again what it said before, in place of it.
            opened.append(writer(str(folder / "tensorboard"), purge_step=1))
            fresh = history
        for line in fresh:
            for key, value in line.items():
                opened[0].add_scalar(key.replace("_", "/", 1), value, line["epoch"])
        opened[0].flush()

    return log


COMMAND = Command(
    "train", "train a network on prepared sets by a recipe", _add_arguments, _run, extra="train"
)
