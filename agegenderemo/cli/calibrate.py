"""``agegenderemo calibrate``: error bars and temperatures into a checkpoint."""

import argparse
from pathlib import Path

from agegenderemo.cli.common import Arguments, Command
from agegenderemo.cli.faces import add_device, device_of
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
    add_device(parser)


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
    found = calibrate(TorchPredictor(checkpoint.model, info.input, device=device_of(args)), sets)
    # Whoever measures these faces later must say that the calibration was fitted on them.
    fitted = {
        one.name: len(one.rows("val"))
        for one in sets
        if {spec.name for spec in one.tasks} & set(found)
    }
    provenance = {**info.provenance, "calibration_faces": {n: k for n, k in fitted.items() if k}}
    model = checkpoint.model.cpu()
    write_checkpoint(
        args.checkpoint, model, replace(info, calibration=found, provenance=provenance)
    )
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
