"""``agegenderemo quantize``: quantisation-aware training of a checkpoint."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agegenderemo.cli.common import Arguments, Command, add_checkpoint, checkpoint_path
from agegenderemo.cli.sets import prepared_sets

if TYPE_CHECKING:
    from agegenderemo.data.dataset import PreparedSet
    from agegenderemo.types import InputSpec


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_checkpoint(parser)
    parser.add_argument(
        "--prepared", type=Path, required=True, metavar="DIR", help="folder of prepared sets"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE.safetensors",
        help="float weights that answer alike when they are rounded; then: export --int8",
    )
    parser.add_argument(
        "--epochs", type=int, default=2, metavar="N", help="passes over the faces; default: 2"
    )
    parser.add_argument(
        "--faces", type=int, metavar="N", help="so many, drawn from all; default: all"
    )
    parser.add_argument(
        "--batch", type=int, default=64, metavar="N", help="faces a step; default: 64"
    )
    parser.add_argument(
        "--learning-rate", type=float, default=2e-5, metavar="X", help="default: 0.00002"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of what is drawn; default: 0"
    )


def _run(args: Arguments) -> int:
    from dataclasses import replace

    import numpy as np
    import torch
    from tqdm import tqdm

    from agegenderemo.errors import DatasetError
    from agegenderemo.export.onnx import write_checkpoint
    from agegenderemo.export.qat import quantization_aware
    from agegenderemo.models.checkpoint import load_checkpoint

    few = args.faces is not None and args.faces < 1
    if few or args.epochs < 1 or args.batch < 2 or args.learning_rate <= 0:
        raise ValueError(
            "--epochs and --faces must be 1 or more, --batch 2 or more, --learning-rate above 0."
        )
    if args.out.suffix != ".safetensors":  # their graph is written under another ending
        raise ValueError(f"--out is weights, a file that ends in .safetensors, not {args.out}.")
    path = checkpoint_path(args)
    checkpoint = load_checkpoint(path)
    info = checkpoint.info
    sets = prepared_sets(args.prepared, info.input.template, "this checkpoint")
    rows = [(one, row) for one in sets for row in one.rows("train").tolist()]
    if args.faces is not None:
        drawn = np.random.default_rng(args.seed).permutation(len(rows))[: args.faces]
        rows = [rows[i] for i in sorted(drawn.tolist())]
    steps = args.epochs * (len(rows) // args.batch)
    if not steps:
        raise DatasetError(
            f"{len(rows)} training faces of {args.prepared} are fewer than a step of {args.batch}."
        )
    torch.manual_seed(args.seed)
    faces = _batches(rows, args.epochs, args.batch, args.seed, info.input)
    losses = []
    bar = tqdm(total=steps, unit="step", disable=None)
    for loss in quantization_aware(checkpoint.model, faces, args.learning_rate, steps):
        losses.append(loss)
        bar.update()
    bar.close()
    tenth = max(1, len(losses) // 10)
    ends = [sum(part) / len(part) for part in (losses[:tenth], losses[-tenth:])]
    how = {"epochs": args.epochs, "learning_rate": args.learning_rate, "faces": len(rows)}
    provenance = {**info.provenance, "quantization_aware": how}
    write_checkpoint(args.out, checkpoint.model, replace(info, provenance=provenance))
    print(f"rounded answers are {ends[0]:.4f} from float at first, {ends[1]:.4f} at last")
    print(f"next: agegenderemo export --int8 --checkpoint {args.out} --prepared {args.prepared}")
    return 0


def _batches(
    rows: "list[tuple[PreparedSet, int]]", epochs: int, size: int, seed: int, spec: "InputSpec"
) -> Iterator[Any]:
    """Whole batches of normalised faces, each mirrored or not, in a new order each epoch."""
    import numpy as np
    import torch

    from agegenderemo.data.transforms import to_input

    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(rows))
        for start in range(0, len(rows) - size + 1, size):
            chosen = [rows[i] for i in order[start : start + size]]
            crops = np.stack([one.crops[row] for one, row in chosen])
            mirrored = rng.random(size) < 0.5
            crops[mirrored] = crops[mirrored, :, ::-1]
            yield to_input(torch.from_numpy(crops), spec)


COMMAND = Command(
    "quantize",
    "train a checkpoint further so that int8 answers like float",
    _add_arguments,
    _run,
    extra="train",
)
