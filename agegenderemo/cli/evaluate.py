"""``agegenderemo evaluate``: figures of a checkpoint on a data set."""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agegenderemo.cli.common import (
    Arguments,
    Command,
    add_checkpoint,
    checkpoint_path,
)
from agegenderemo.cli.sets import (
    add_data,
    add_ffhq_parts,
    check_template,
    detector,
    known_set,
    read_ffhq,
)
from agegenderemo.errors import DatasetError

if TYPE_CHECKING:
    from agegenderemo.data.dataset import PreparedSet
    from agegenderemo.evaluation.predict import TorchPredictor
    from agegenderemo.types import Template


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser)
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="the data set, or the folder of prepared ones"
    )
    add_ffhq_parts(parser)
    parser.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        help="default: test; for ffhq all, as its report did",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw the errors by band as .png or .html"
    )
    parser.add_argument(
        "--card", action="store_true", help="also write the figures beside the checkpoint"
    )
    parser.add_argument(
        "--pipeline",
        action="store_true",
        help="also find and align each face in its picture, as the page does",
    )
    add_checkpoint(parser)


def _run(args: Arguments) -> int:
    from agegenderemo.evaluation.predict import TorchPredictor
    from agegenderemo.models.checkpoint import load_checkpoint
    from agegenderemo.report import print_text, update_card

    if args.figure and args.figure.suffix not in (".png", ".html"):
        raise ValueError(f"--figure must end in .png or .html, not {args.figure.name!r}.")
    known_set(args)
    path = checkpoint_path(args)
    checkpoint = load_checkpoint(path)
    info = checkpoint.info
    predictor = TorchPredictor(checkpoint.model, info.input, info.calibration)
    split = args.split or ("all" if args.data == "ffhq" else "test")
    with _prepared(args, split, info.input.template) as prepared:
        figures = _figures(args, path, predictor, prepared, split)
        # Checkpoints of 0.1 called them shares.
        trained_on = info.recipe.get("epoch_fractions") or info.recipe.get("shares") or {}
        if split == "all" and args.data in trained_on:
            figures |= _held_out(predictor, prepared)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    if args.card:
        update_card(path, args.data, figures)
    if args.figure:
        _draw_bands(figures, args.figure)
    print(print_text(figures))
    return 0


def _figures(
    args: Arguments, path: Path, predictor: "TorchPredictor", prepared: "PreparedSet", split: Any
) -> dict[str, Any]:
    from agegenderemo.evaluation.evaluate import evaluate

    rows = prepared.rows(split)
    if not len(rows):
        raise DatasetError(f"{args.data} has no samples in the split {split!r}.")
    figures = {"data": args.data, "split": split, **evaluate(predictor, prepared, rows)}
    if args.pipeline:
        from agegenderemo.evaluation.pipeline import compare
        from agegenderemo.inference.analyzer import Analyzer

        analyze = Analyzer.from_checkpoint(path).analyze
        figures["pipeline"] = compare(analyze, predictor, prepared, rows)
    return figures


def _held_out(predictor: "TorchPredictor", prepared: "PreparedSet") -> dict[str, Any]:
    """Figures of the validation faces, where the network was trained on others of the set."""
    from agegenderemo.evaluation.evaluate import evaluate

    found: dict[str, Any] = {"training_faces": len(prepared.rows("train", copies=True))}
    held_out = prepared.rows("val", copies=True)
    if len(held_out):
        found["validation"] = evaluate(predictor, prepared, held_out)
    return found


@contextmanager
def _prepared(args: Arguments, split: Any, template: "Template") -> Iterator["PreparedSet"]:
    """The prepared set under --root, or one made for this evaluation from the raw data."""
    from agegenderemo.data.dataset import PreparedSet
    from agegenderemo.data.prepare import prepare, report_line
    from agegenderemo.data.readers import read

    if args.root and (args.root / args.data / "samples.jsonl").is_file():
        prepared = PreparedSet.open(args.root / args.data)
        check_template(prepared, template, "this checkpoint")
        yield prepared
        return
    if args.root:
        index = read(args.data, args.root)
        print(f"{args.data}: {index.summary()}", file=sys.stderr)
    elif args.data == "ffhq":
        index = read_ffhq(args)
    else:
        raise DatasetError("Give --root with the folder of the data set.")
    chosen = index if split == "all" else index.only(split)
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(args.data, chosen, Path(folder), detector(), template=template)
        print(report_line(prepared), file=sys.stderr)
        yield prepared


def _draw_bands(figures: dict[str, Any], path: Path) -> None:
    from agegenderemo.evaluation.plots import band_panels, save_html, save_png

    if not figures.get("bands"):
        raise DatasetError(f"{figures['data']} has nothing to draw by band.")
    save = save_png if path.suffix == ".png" else save_html
    save(band_panels(figures), path)


COMMAND = Command(
    "evaluate", "measure a checkpoint on a data set", _add_arguments, _run, extra="train"
)
