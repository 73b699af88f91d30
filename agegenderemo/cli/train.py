"""``agegenderemo train``, and ``train.py``: a recipe, step by step."""

import argparse
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agegenderemo.cli.common import Arguments, Command
from agegenderemo.cli.sets import add_ffhq_parts, detector, read_ffhq
from agegenderemo.errors import AgeGenderEmoError

if TYPE_CHECKING:
    from agegenderemo.training.distributed import DistributedContext
    from agegenderemo.training.recipes import Recipe, Step
    from agegenderemo.types import Template

_DEFAULT = "quick"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipe", metavar="NAME", help=f"default: that of --data, or {_DEFAULT}; listed below"
    )
    parser.add_argument("--prepared", type=Path, metavar="DIR", help="folder of prepared sets")
    parser.add_argument("--data", choices=("ffhq",), help="prepare this set first, from:")
    add_ffhq_parts(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="default: runs/RECIPE, with --set a folder of its own beside that",
    )
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
        help="change every step of the recipe; may stand several times; settings are listed below",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with a run, and refuse to begin one; the same command goes on without it too",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="remove the run in --out, and begin anew"
    )
    parser.add_argument(
        "--continue",
        dest="more",
        type=_one_or_more,
        default=0,
        metavar="N",
        help="train the last step of a finished run for N more epochs",
    )
    parser.add_argument(
        "--seeds",
        type=_one_or_more,
        metavar="N",
        help="train N times, a seed and a folder each, and print means and deviations",
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="log to a folder tensorboard of each step too"
    )
    plain = parser.print_help

    def print_help(file: Any = None) -> None:
        plain(file)
        print(f"\n{_listing()}", file=file)

    parser.print_help = print_help  # type: ignore[method-assign]


def _listing() -> str:
    """Recipes and settings. They wait until help is asked for: they need more packages."""
    try:
        from agegenderemo.training.listing import listing
    except ImportError:
        return "Recipes and settings are listed where 'agegenderemo[train]' is installed."
    return listing()


def _one_or_more(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"it must be a whole number from 1, not {text!r}")
    return number


def _run(args: Arguments) -> int:
    from agegenderemo.training import chain, seeds
    from agegenderemo.training.distributed import join
    from agegenderemo.training.recipes import get_recipe

    name = args.recipe or args.data or _DEFAULT
    plain = get_recipe(name)
    recipe = plain.with_settings(args.set)
    if not args.data and not args.prepared:
        raise AgeGenderEmoError("Give --prepared with the folder of prepared sets, or --data ffhq.")
    again = chain.Again(args.resume, args.overwrite, args.more)
    out = args.out or Path("runs") / chain.folder_name(plain, recipe)
    prepared = args.prepared or out / "prepared"
    watch = _watcher(_writer() if args.tensorboard else None)
    with join() as context:
        if args.data:
            _prepare_ffhq(args, out, prepared, recipe.steps[0].config.template, context)

        def train(recipe: "Recipe", out: Path) -> Path:
            return chain.run(
                recipe, prepared, out, face_descriptor=args.teacher, weights=args.weights,
                context=context, watch=watch, again=again, say=_say,
            )  # fmt: skip

        if args.seeds:
            summary = seeds.run(recipe, out, args.seeds, train)
            if context.is_main:
                print(summary)
            return 0
        weights = train(recipe, out)
        if context.is_main:
            print(next_steps(weights, prepared))
    return 0


def _say(text: str) -> None:
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)  # print would break a bar that is being drawn


def next_steps(weights: Path, prepared: Path) -> str:
    """Where the weights are, and the commands that lead from them to figures and a page."""
    from agegenderemo.data.dataset import PreparedSet
    from agegenderemo.evaluation.calibrate import FEWEST_FACES
    from agegenderemo.models.checkpoint import load_checkpoint

    command = "agegenderemo" if shutil.which("agegenderemo") else "python -m agegenderemo"
    checkpoint, folder = shlex.quote(str(weights)), shlex.quote(str(prepared))
    lines = [f"Weights: {weights}; the history of each step lies beside its own. Next:"]
    names = load_checkpoint(weights).info.recipe["epoch_fractions"]
    sets = {name: PreparedSet.open(prepared / name) for name in names}
    known = sum(len(held.rows("val")) for held in sets.values())
    if known >= FEWEST_FACES:
        lines.append(f"  {command} calibrate --prepared {folder} --checkpoint {checkpoint}")
    else:
        lines.append(
            f"  (no calibration: {known} validation faces are fewer than {FEWEST_FACES}; answers "
            "have no confidence and no interval)"
        )
    for name, held in sets.items():
        split = next((s for s in ("test", "val") if len(held.rows(s))), "train")
        lines.append(
            f"  {command} evaluate --data {shlex.quote(name)} --root {folder} --split {split} "
            f"--checkpoint {checkpoint}"
        )
    return "\n".join([*lines, f"  python app.py --checkpoint {checkpoint}"])


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
