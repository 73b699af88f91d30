"""The command line, ``python -m agegenderemo``: analyze, evaluate, prepare, train.

Exit status: 0 done; 1 done, but some files could not be read; 2 the command cannot run; 130
interrupted. Imports wait until a command needs them, so that ``--help`` is quick.
"""

import argparse
import csv
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from agegenderemo.images import IMAGE_SUFFIXES, ImageError, load_image
from agegenderemo.readers import READERS, DatasetError
from agegenderemo.results import CSV_FIELDS, csv_rows, error_record, picture_record


def main(argv: list[str] | None = None) -> int:
    """Run a command line (without the program's name) and return the exit status."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("Interrupted; what was finished is written.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output is gone (… | head): nothing is left to say.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        return 1
    except (ValueError, OSError) as error:  # every error of the package is a ValueError
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agegenderemo", description=__doc__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    analyze = commands.add_parser("analyze", help="age, gender and emotion of faces in pictures")
    analyze.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image or folder")
    analyze.add_argument("--json", metavar="FILE", help="one JSON line an image; - is the default")
    analyze.add_argument("--csv", type=Path, metavar="FILE", help="one row a face")
    analyze.add_argument("--annotated", type=Path, metavar="DIR", help="pictures with their faces")
    analyze.add_argument("--checkpoint", type=Path, metavar="FILE")
    analyze.set_defaults(run=_analyze)

    evaluate = commands.add_parser("evaluate", help="measure a checkpoint on a data set")
    evaluate.add_argument("--data", required=True, choices=tuple(READERS))
    evaluate.add_argument(
        "--root", required=True, type=Path, help="the data set, or the folder of prepared ones"
    )
    evaluate.add_argument("--split", default="test", choices=("train", "val", "test"))
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    evaluate.add_argument(
        "--card", action="store_true", help="also write the figures beside the checkpoint"
    )
    evaluate.add_argument("--checkpoint", type=Path, metavar="FILE")
    evaluate.set_defaults(run=_evaluate)

    prepare = commands.add_parser("prepare", help="turn a data set into aligned crops")
    prepare.add_argument("--data", required=True, choices=tuple(READERS))
    prepare.add_argument("--root", required=True, type=Path, help="folder or zip of the set")
    prepare.add_argument("--out", required=True, type=Path, help="a folder a set is made in here")
    prepare.add_argument("--processes", type=int, help="default: one a core")
    prepare.set_defaults(run=_prepare)

    train = commands.add_parser("train", help="train a network on prepared sets")
    train.add_argument("--recipe", default="shipped", help="a name in agegenderemo/recipes.py")
    train.add_argument("--prepared", required=True, type=Path, help="folder of prepared sets")
    train.add_argument("--out", type=Path, help="folder of the run; default runs/RECIPE")
    train.add_argument("--teacher", type=Path, metavar="FILE", help="a face descriptor's weights")
    train.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change the recipe"
    )
    train.add_argument("--resume", action="store_true", help="go on from the last finished epoch")
    train.set_defaults(run=_train)
    return parser


def train_main(argv: list[str] | None = None) -> int:
    """``train.py``: the train command under its own name."""
    return main(["train", *(sys.argv[1:] if argv is None else argv)])


def _train(args: argparse.Namespace) -> int:
    from agegenderemo.recipes import get_recipe, with_settings
    from agegenderemo.training import fit

    out = args.out or Path("runs") / args.recipe
    config = with_settings(get_recipe(args.recipe), args.set)
    weights = fit(config, args.prepared, out, teacher=args.teacher, resume=args.resume)
    print(f"Weights: {weights}; history: {out / 'history.csv'}")
    return 0


def _prepare(args: argparse.Namespace) -> int:
    from agegenderemo.preparation import prepare, report
    from agegenderemo.readers import read

    reading = read(args.data, args.root)
    print(f"{args.data}: {reading.summary()}")
    print(report(prepare(args.data, reading, args.out, args.processes)))
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from agegenderemo.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint, update_card
    from agegenderemo.evaluation import evaluate
    from agegenderemo.predictor import Predictor

    path = args.checkpoint or DEFAULT_CHECKPOINT
    checkpoint = load_checkpoint(path)
    with ExitStack() as stack:
        prepared = _prepared(args, stack)
        rows = prepared.rows(args.split)
        if not len(rows):
            raise DatasetError(f"{args.data} has no samples in the split {args.split!r}.")
        figures = evaluate(Predictor(checkpoint.model, checkpoint.input), prepared, rows)
    figures = {"data": args.data, "split": args.split, **_without_none(figures)}
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    if args.card:
        update_card(path, args.data, figures)
    print(_figures_table(figures))
    return 0


def _prepared(args: argparse.Namespace, stack: ExitStack) -> Any:
    """The prepared set under --root, or one made for this evaluation from the raw data."""
    from agegenderemo.dataset import PreparedSet
    from agegenderemo.preparation import prepare, report
    from agegenderemo.readers import read

    if (args.root / args.data / "samples.jsonl").is_file():
        return PreparedSet.open(args.root / args.data)
    reading = read(args.data, args.root)
    print(f"{args.data}: {reading.summary()}", file=sys.stderr)
    chosen = reading.only(args.split)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    prepared = prepare(args.data, chosen, folder)
    print(report(prepared), file=sys.stderr)
    return prepared


def _without_none(value: Any) -> Any:
    """Figures of labels that the set does not have are left out."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value


def _figures_table(figures: dict[str, Any]) -> str:
    lines = [f"{figures['data']} {figures['split']}: {figures['n']:,} faces"]
    for key, value in figures.items():
        if isinstance(value, float):
            years = key in ("age_mae", "age_sd")
            lines.append(f"  {key:28} " + (f"{value:.2f} years" if years else f"{value:.2%}"))
    for band in figures["bands"]:
        if band["n"]:
            gender = band.get("gender_accuracy")
            lines.append(
                f"  {band['band']:>6} n {band['n']:5}  MAE {band['age_mae']:5.2f}"
                + ("" if gender is None else f"  gender {gender:.1%}")
            )
    return "\n".join(lines)


def _analyze(args: argparse.Namespace) -> int:
    from agegenderemo.analyzer import Analyzer

    analyzer = Analyzer.from_checkpoint(args.checkpoint)
    files = list(_files(args.paths))
    bad = 0
    with ExitStack() as stack:
        lines = _json_stream(args, stack)
        table = None
        if args.csv:
            stream = stack.enter_context(args.csv.open("w", newline="", encoding="utf-8"))
            table = csv.DictWriter(stream, CSV_FIELDS)
            table.writeheader()
        for path, relative in tqdm(files, unit="image", disable=None):
            record = _analyze_file(analyzer, path, relative, args.annotated)
            bad += "error" in record
            if lines:
                print(json.dumps(record), file=lines, flush=True)
            if table:
                table.writerows(csv_rows(record))
                stream.flush()
    return int(bad > 0)


def _json_stream(args: argparse.Namespace, stack: ExitStack) -> IO[str] | None:
    if args.json is None and (args.csv or args.annotated):
        return None
    if args.json in (None, "-"):
        return sys.stdout
    return stack.enter_context(open(args.json, "w", encoding="utf-8"))


def _files(paths: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Every image with its name below the folder that was given, each name once."""
    used: set[Path] = set()
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        if not inside:
            raise ValueError(f"{path} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
        for file in inside:
            name = file.relative_to(path) if path.is_dir() else Path(file.name)
            number = 1
            while name in used:
                number += 1
                name = name.with_name(f"{file.stem}-{number}{file.suffix}")
            used.add(name)
            yield file, name


def _analyze_file(
    analyzer: Any, path: Path, relative: Path, annotated: Path | None
) -> dict[str, Any]:
    try:
        image = load_image(path)
    except ImageError as error:
        return error_record(str(path), error)
    faces = analyzer.analyze(image)
    if annotated:
        _save_annotated(image, faces, annotated / relative)
    return picture_record(str(path), image, faces)


def _save_annotated(image: Any, faces: list[Any], path: Path) -> None:
    from PIL import Image

    from agegenderemo.drawing import annotate

    path.parent.mkdir(parents=True, exist_ok=True)
    # PNG under the whole old name: a.jpg and a.png of one folder do not collide.
    Image.fromarray(annotate(image, faces)).save(path.with_name(path.name + ".png"))
