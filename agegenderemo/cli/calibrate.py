"""``agegenderemo calibrate``: error bars and temperatures into a checkpoint."""

import argparse
from pathlib import Path

from agegenderemo.cli.common import Arguments, Command
from agegenderemo.cli.sets import prepared_sets


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prepared", type=Path, required=True, metavar="DIR", help="folder of prepared sets"
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="is written anew, weights and graph",
    )


def _run(args: Arguments) -> int:
    from dataclasses import replace

    from agegenderemo.evaluation.calibrate import FEWEST_FACES, calibrate
    from agegenderemo.evaluation.predict import TorchPredictor
    from agegenderemo.export.onnx import write_checkpoint
    from agegenderemo.models.checkpoint import load_checkpoint
    from agegenderemo.tasks import calibration_to_dict

    checkpoint = load_checkpoint(args.checkpoint)
    info = checkpoint.info
    sets = prepared_sets(args.prepared, info.input.template, args.checkpoint)
    found = calibrate(TorchPredictor(checkpoint.model, info.input), sets)
    write_checkpoint(args.checkpoint, checkpoint.model, replace(info, calibration=found))
    values = calibration_to_dict(found)
    few = f"left uncalibrated, fewer than {FEWEST_FACES} held-out faces"
    for spec in info.tasks:
        print(f"{spec.name}: {values.get(spec.name, few)}")
    return 0


COMMAND = Command(
    "calibrate",
    "fit error bars and temperatures on held-out faces",
    _add_arguments,
    _run,
    extra="train",
)
