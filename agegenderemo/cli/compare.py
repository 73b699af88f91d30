"""``agegenderemo compare``: two networks face by face, or a page of all that were measured."""

import argparse
import json
from pathlib import Path
from typing import Any

from agegenderemo.cli.common import Arguments, Command
from agegenderemo.cli.faces import add_device, add_faces, check_sets, device_of, open_faces


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "networks",
        nargs="*",
        metavar="A B",
        help="two checkpoints, or files that 'evaluate --predictions' wrote",
    )
    add_faces(parser, required=False)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the differences here")
    parser.add_argument(
        "--zoo",
        type=Path,
        metavar="DIR",
        help="instead: fill a page with what 'evaluate --json' wrote into this folder",
    )
    parser.add_argument(
        "--out", type=Path, metavar="PAGE", help="with --zoo: the page; default: DIR.md beside it"
    )
    add_device(parser)


def _run(args: Arguments) -> int:
    if args.zoo:
        return _zoo(args)
    if len(args.networks) != 2:
        raise ValueError("Give two networks to compare, or --zoo with a folder.")
    from agegenderemo.evaluation.comparison import alone, compare_rows
    from agegenderemo.files import write_atomically
    from agegenderemo.report import comparison_table

    check_sets(args)
    first, second = (_rows(name, args) for name in args.networks)
    found = compare_rows(first, second)
    print(comparison_table(found, args.networks).text())
    if any(left := alone(first, second)):
        print(f"Left out: {left[0]:,} faces that only A has, {left[1]:,} that only B has.")
    if args.json:
        record = {"first": args.networks[0], "second": args.networks[1], "differences": found}
        write_atomically(args.json, (json.dumps(record, indent=1) + "\n").encode())
    return 0


def _rows(name: str, args: Arguments) -> list[dict[str, Any]]:
    """The predictions of a file, or of a checkpoint for the faces of --data."""
    from agegenderemo.evaluation.evaluate import answer
    from agegenderemo.evaluation.predict import TorchPredictor
    from agegenderemo.evaluation.predictions import SUFFIXES, prediction_rows, read_rows
    from agegenderemo.models.checkpoint import load_checkpoint
    from agegenderemo.resources import find_checkpoint

    if name.endswith(SUFFIXES):
        rows = read_rows(Path(name))
        return [row for row in rows if not args.data or row["set"] in args.data]
    if not args.data:
        raise ValueError(f"Give --data and --root with the faces to ask {name} about.")
    checkpoint = load_checkpoint(find_checkpoint(name))
    info = checkpoint.info
    predictor = TorchPredictor(checkpoint.model, info, device=device_of(args))
    rows = []
    for data in args.data:
        with open_faces(args, data, info.input.template) as faces:
            answers = answer(predictor, faces.prepared, faces.rows, progress=True)
            rows += prediction_rows(faces.prepared, faces.rows.tolist(), answers, info.tasks)
    return rows


def _zoo(args: Arguments) -> int:
    from agegenderemo.files import write_atomically
    from agegenderemo.report import zoo_page

    if not (args.out or args.zoo.name):
        raise ValueError(f"Give --out with the page, for {args.zoo} has no name to call it by.")
    out = args.out or args.zoo.with_suffix(".md")
    write_atomically(out, zoo_page(args.zoo, out).encode())
    print(out)
    return 0


COMMAND = Command(
    "compare",
    "say how two networks differ on the same faces, or print the page of all measured ones",
    _add_arguments,
    _run,
    extra="train",
)
