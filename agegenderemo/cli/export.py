"""``agegenderemo export``: a network as an ONNX graph."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from agegenderemo.cli.common import Arguments, Command, add_checkpoint, checkpoint_path
from agegenderemo.cli.sets import prepared_sets

if TYPE_CHECKING:
    from agegenderemo.inference.backends import OnnxBackend
    from agegenderemo.models.checkpoint import Checkpoint

_CHECKED = 512  # faces of each prepared set


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.onnx",
        help="a graph that needs nothing beside it; default: the small one beside the checkpoint",
    )
    parser.add_argument(
        "--prepared",
        type=Path,
        metavar="DIR",
        help=f"folder of prepared sets: check the graph on {_CHECKED} of their faces too",
    )
    parser.add_argument(
        "--mtcnn",
        type=Path,
        metavar="DIR",
        help="write the graphs of face detection here instead, from facenet-pytorch's weights",
    )
    add_checkpoint(parser)


def _run(args: Arguments) -> int:
    from agegenderemo.export.onnx import whole_graph, write_graph
    from agegenderemo.files import write_atomically
    from agegenderemo.inference.backends import OnnxBackend
    from agegenderemo.inference.graph import read_graph
    from agegenderemo.models.checkpoint import load_checkpoint

    if args.mtcnn:
        from agegenderemo.export.mtcnn import write_mtcnn

        print(*write_mtcnn(args.mtcnn), sep="\n")
        return 0
    path = checkpoint_path(args)
    checkpoint = load_checkpoint(path)
    if args.out:
        graph = whole_graph(checkpoint.model, checkpoint.info)
        _check(checkpoint, OnnxBackend(graph, checkpoint.info), args.prepared)
        write_atomically(args.out, graph)
    else:
        write_graph(path)
        info, linked, weights, _ = read_graph(path)
        _check(checkpoint, OnnxBackend(linked, info, weights), args.prepared)
    return 0


def _check(checkpoint: "Checkpoint", backend: "OnnxBackend", folder: Path | None) -> None:
    """On random faces, and on those of every prepared set where there are; raises ParityError."""
    import numpy as np

    from agegenderemo.export.onnx import check_parity
    from agegenderemo.inference.predictor import preprocess

    spec = checkpoint.info.input
    noise = np.random.default_rng(0).standard_normal((16, 3, spec.size, spec.size))
    check_parity(checkpoint.model, backend, noise.astype(np.float32))
    for prepared in prepared_sets(folder, spec.template, "this checkpoint") if folder else ():
        crops = prepared.crops
        faces = preprocess(crops[:: max(1, len(crops) // _CHECKED)][:_CHECKED], spec)
        apart = check_parity(checkpoint.model, backend, faces)
        shares = ", ".join(f"{name} {share:.1e}" for name, share in apart.items())
        print(f"{prepared.name}, {len(faces)} faces: largest difference over range: {shares}")


COMMAND = Command(
    "export", "write the network as an ONNX graph", _add_arguments, _run, extra="train"
)
