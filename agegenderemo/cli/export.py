"""``agegenderemo export``: a network as an ONNX graph."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agegenderemo.cli.common import Arguments, Command, add_checkpoint, checkpoint_path
from agegenderemo.cli.sets import prepared_sets

if TYPE_CHECKING:
    from agegenderemo.data.dataset import PreparedSet
    from agegenderemo.inference.backends import OnnxBackend
    from agegenderemo.models.checkpoint import Checkpoint

_CHECKED = 512  # faces of each prepared set
_RANGED = 512  # training faces of all sets together


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.onnx",
        help="a graph that needs nothing beside it; default: the small one beside the checkpoint, "
        "which holds no weights of its own",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="the graph with convolutions in int8, NAME.int8.onnx; needs --prepared",
    )
    parser.add_argument(
        "--prepared",
        type=Path,
        metavar="DIR",
        help=f"folder of prepared sets: check the graph on {_CHECKED} of their faces too; int8 "
        f"takes its ranges from {_RANGED} training faces, and its calibration from the held-out",
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
    from agegenderemo.model_info import sealed
    from agegenderemo.models.checkpoint import load_checkpoint

    if args.mtcnn:
        from agegenderemo.export.mtcnn import write_mtcnn

        print(*write_mtcnn(args.mtcnn), sep="\n")
        return 0
    if args.out and args.out.suffix != ".onnx":  # it could be the very weights
        raise ValueError(f"--out is a graph, a file that ends in .onnx, not {args.out}.")
    path = checkpoint_path(args)
    checkpoint = load_checkpoint(path)
    if args.int8:
        return _write_int8(args, path, checkpoint)
    if args.out:
        graph = whole_graph(checkpoint.model, checkpoint.info)
        _check(checkpoint, OnnxBackend(graph, checkpoint.info), args.prepared)
        write_atomically(args.out, sealed(graph))
    else:
        write_graph(path)
        info, linked, weights, _ = read_graph(path)
        _check(checkpoint, OnnxBackend(linked, info, weights), args.prepared)
    return 0


def _write_int8(args: Arguments, path: Path, checkpoint: "Checkpoint") -> int:
    """Quantise, calibrate on the new answers, check on held-out faces, and only then write."""
    from dataclasses import replace

    import numpy as np

    from agegenderemo.errors import DatasetError
    from agegenderemo.evaluation.calibrate import calibrate
    from agegenderemo.export.linked_int8 import link_int8
    from agegenderemo.export.onnx import linked_graph, whole_graph
    from agegenderemo.export.quantize import compare_answers, int8_graph, with_calibration
    from agegenderemo.files import sha256, write_atomically
    from agegenderemo.inference.backends import OnnxBackend
    from agegenderemo.inference.graph import graph_file
    from agegenderemo.inference.predictor import Predictor, preprocess
    from agegenderemo.model_info import sealed

    if not args.prepared:
        raise DatasetError("int8 takes its ranges from real crops; give their folder, --prepared.")
    info = checkpoint.info
    sets = prepared_sets(args.prepared, info.input.template, "this checkpoint")
    training = [_some(one, "train", -(-_RANGED // len(sets))) for one in sets]
    faces = np.concatenate([preprocess(crops, info.input) for crops in training])
    graph = int8_graph(checkpoint.model, info, faces, sha256(path.read_bytes()))
    plain = replace(info, calibration={})
    if info.calibration:
        found = calibrate(Predictor(OnnxBackend(graph, plain), plain), sets)
        graph = with_calibration(graph, replace(info, calibration=found))
    whole = whole_graph(checkpoint.model, info)
    engines = [OnnxBackend(one, info) for one in (whole, graph)]
    for prepared in sets:
        held_out = preprocess(_some(prepared, "val", _CHECKED), info.input)
        if not len(held_out):
            continue
        answers = [_in_batches(engine, held_out) for engine in engines]
        for name, apart in compare_answers(info.tasks, *answers).items():
            numbers = ", ".join(f"{key} {value:.4f}" for key, value in apart.items())
            print(f"{prepared.name}, {len(held_out)} held-out faces, {name}: {numbers}")
    share = f"{len(graph) / 1e6:.1f} MB, {len(graph) / len(whole):.1%} of the same graph in float32"
    if args.out:
        write_atomically(args.out, sealed(graph))
        print(f"{args.out}: {share}")
        return 0
    out, weights = graph_file(path, "int8"), path.read_bytes()
    float_graph = linked_graph(checkpoint.model, info, weights, path.name)
    linked = link_int8(graph, float_graph, checkpoint.model.state_dict(), weights, path.name)
    # The same kernels, made anew: what is written must answer like what was measured.
    compare_answers(
        info.tasks,
        *(_in_batches(e, faces) for e in (engines[1], OnnxBackend(linked, info, weights))),
    )
    write_atomically(out, sealed(linked))
    print(f"{out}: {len(linked) / 1e6:.1f} MB beside {path.name}; alone, by --out, it is {share}")
    return 0


def _some(prepared: "PreparedSet", split: Any, count: int) -> Any:
    """Crops of a split, evenly over it, as N×S×S×3 bytes."""
    rows = prepared.rows(split)
    return prepared.crops[rows[:: max(1, len(rows) // count)][:count]]


def _in_batches(engine: "OnnxBackend", faces: Any) -> dict[str, Any]:
    """Raw outputs for any number of normalised faces."""
    import numpy as np

    parts = [engine(faces[start : start + 64]) for start in range(0, len(faces), 64)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


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
