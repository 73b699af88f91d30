"""``agegenderemo evaluate``: figures of a checkpoint on data sets."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from agegenderemo.cli.common import (
    Arguments,
    Command,
    add_checkpoint,
    add_precision,
    checkpoint_path,
)
from agegenderemo.cli.faces import (
    Faces,
    add_device,
    add_faces,
    check_sets,
    device_of,
    is_prepared,
    open_faces,
)
from agegenderemo.errors import DatasetError

if TYPE_CHECKING:
    from agegenderemo.evaluation.predict import Predicts
    from agegenderemo.model_info import ModelInfo

Figures = dict[str, Any]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_faces(parser)
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the figures here, with what was measured, by which code and where; those of "
        "other sets stay in it, where they are of the same weights and code",
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="FILE",
        help="write a row a face here, with its labels and answers, as .csv or .parquet",
    )
    parser.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw the errors by band as .png or .html"
    )
    parser.add_argument(
        "--card",
        action="store_true",
        help="also write the figures beside the checkpoint, which must be named",
    )
    parser.add_argument(
        "--pipeline",
        action="store_true",
        help="also find and align each face in its picture, as the page does",
    )
    parser.add_argument(
        "--latency",
        action="store_true",
        help="also time the graphs beside the checkpoint, one face on one thread, for --json",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="also ask the int8 graph beside the checkpoint about the same faces, and put the "
        "differences into --json",
    )
    add_device(parser)
    add_checkpoint(parser)
    add_precision(parser)


def _run(args: Arguments) -> int:
    from agegenderemo.evaluation.comparison import compare_rows
    from agegenderemo.evaluation.evaluate import answer, measure
    from agegenderemo.evaluation.pipeline import compare as pipeline
    from agegenderemo.evaluation.predictions import fields, prediction_rows, write_rows
    from agegenderemo.files import sha256, write_atomically
    from agegenderemo.inference.analyzer import Analyzer
    from agegenderemo.report import comparison_table, print_text, update_card

    _check(args)
    path = checkpoint_path(args)
    digest = sha256(path.read_bytes()) if path.is_file() else ""
    device = device_of(args)
    predictor, info = _open(path, args.precision, device)
    quantised = _open(path, "int8", device)[0] if args.int8 else None
    measured: dict[str, Figures] = {}
    lines: list[dict[str, Any]] = []
    lines_of_int8: list[dict[str, Any]] = []
    for data in args.data:
        with open_faces(args, data, info.input.template) as faces:
            prepared, rows, split = faces
            answers = answer(predictor, prepared, rows, progress=True)
            samples = [prepared.samples[row] for row in rows]
            own = measure(samples, prepared.tasks, answers, info.tasks)
            stored = is_prepared(args.root, data)
            own = {"data": data, "split": split, **own, **_told(info, predictor, faces, stored)}
            if args.pipeline:
                analyze = Analyzer.from_checkpoint(path, precision=args.precision).analyze
                own["pipeline"] = pipeline(analyze, info.tasks, prepared, rows, answers)
            lines += prediction_rows(prepared, rows.tolist(), answers, info.tasks)
            if quantised:
                answers = answer(quantised, prepared, rows, progress=True)
                lines_of_int8 += prediction_rows(prepared, rows.tolist(), answers, info.tasks)
        measured[data] = own
        _print(print_text(own))
        if args.card:
            update_card(path, data, own, digest)
    if args.predictions:
        write_rows(args.predictions, lines, fields(info.tasks))
    if args.json:
        record = _record(args, path, info, digest, measured, device)
        if quantised:
            record["int8_differences"] = compare_rows(lines, lines_of_int8)
            names = (str(path), "int8")
            _print(comparison_table(record["int8_differences"], names).text())
        write_atomically(args.json, (json.dumps(record, indent=1) + "\n").encode())
    if args.figure:
        _draw_bands(measured, args.figure)
    return 0


def _print(text: str) -> None:
    """Print at once, so that a set that fails later does not take this one's figures with it; a
    reader who has left (… | head) does not either."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  open until the process ends


def _check(args: Arguments) -> None:
    """What is known to be wrong before anything is measured."""
    from agegenderemo.evaluation.predictions import check_suffix

    if args.figure and args.figure.suffix not in (".png", ".html"):
        raise ValueError(f"--figure must end in .png or .html, not {args.figure.name!r}.")
    if args.predictions:
        check_suffix(args.predictions)
    if args.card and args.precision != "float":
        raise ValueError("--card is of the float network; write int8 figures with --json.")
    if args.card and not args.checkpoint:
        raise ValueError("Give --checkpoint with --card: its figures are written beside that file.")
    if (args.latency or args.int8) and not args.json:
        raise ValueError("Give --json FILE with --latency and --int8: their figures go there.")
    check_sets(args)


def _told(info: "ModelInfo", predictor: "Predicts", faces: Faces, stored: bool) -> Figures:
    """What a reader must know of these faces: whether the network was trained on them, with the
    figures of those that it was not, and whether its calibration was fitted on them. Only a set
    that is ``stored`` can be the one of the run, by its digest."""
    from agegenderemo.evaluation.evaluate import evaluate
    from agegenderemo.training.settings import set_digest

    prepared, rows, split = faces
    told: Figures = {}
    epoch, epochs = (info.provenance.get(key) for key in ("epoch", "epochs"))
    if epoch != epochs:
        told["unfinished"] = [epoch, epochs]
    fitted = info.provenance.get("calibration_faces", {prepared.name: None})
    if info.calibration and split in ("val", "all") and prepared.name in fitted:
        told["calibrated_here"] = True
    # Checkpoints of 0.1 called the fractions shares.
    recipe = info.recipe
    trained_on = (
        info.provenance.get("training_faces")
        or recipe.get("epoch_fractions")
        or recipe.get("shares")
        or {}
    )
    name, known = prepared.name, info.provenance.get("data", {})
    if stored and known:
        digest = set_digest(prepared)
        name = next((own for own, there in known.items() if there == digest), name)
        if known.get(name, digest) != digest:
            told["changed_set"] = True
    if name in trained_on and split == "train":
        told["training_faces"] = len(rows)
    if name in trained_on and split == "all":
        told["training_faces"] = len(prepared.rows("train", copies=True))
        held_out = prepared.rows("val", copies=True)
        if len(held_out):
            told["validation"] = evaluate(predictor, prepared, held_out)
    return told


def _open(path: Path, precision: Any, device: str) -> "tuple[Predicts, ModelInfo]":
    """The float network in PyTorch, as it was trained; any other precision as it is run."""
    if precision == "float":
        from agegenderemo.evaluation.predict import TorchPredictor
        from agegenderemo.models.checkpoint import load_checkpoint

        checkpoint = load_checkpoint(path)
        info = checkpoint.info
        return TorchPredictor(checkpoint.model, info, device=device), info
    from agegenderemo.inference.backends import OnnxBackend
    from agegenderemo.inference.graph import read_graph
    from agegenderemo.inference.predictor import Predictor

    info, graph, weights, _ = read_graph(path, precision)
    return Predictor(OnnxBackend(graph, info, weights), info), info


def _record(
    args: Arguments,
    path: Path,
    info: "ModelInfo",
    digest: str,
    measured: dict[str, Figures],
    device: str,
) -> Figures:
    from agegenderemo.evaluation.measured import kept_figures, latency, measured_record
    from agegenderemo.inference.backends import OnnxBackend
    from agegenderemo.inference.graph import graph_file, read_graph
    from agegenderemo.model_info import Precision

    stem = path.stem if path.stem != "model" else path.parent.name  # of a run the folder's name
    record = measured_record(stem, info, digest, measured, device, args.precision)
    record["figures"] = {**kept_figures(args.json, record), **measured}
    record["size_mb"], times = {}, {}
    for precision in get_args(Precision):
        file = graph_file(path, precision)
        if precision != "float" and not file.is_file():
            continue
        graph = read_graph(path, precision)
        beside = 0.0 if graph.weights is None else _megabytes(path)
        record["size_mb"][precision] = round(beside + _megabytes(file), 3)
        if args.latency:
            engine = OnnxBackend(graph.graph, graph.info, graph.weights)
            times[precision] = latency(engine, info.input.size)
    return record | ({"latency_ms": times} if times else {})


def _megabytes(path: Path) -> float:
    return round(path.stat().st_size / 1e6, 3) if path.is_file() else 0.0


def _draw_bands(measured: dict[str, Figures], path: Path) -> None:
    from agegenderemo.evaluation.plots import band_panels, save_html, save_png

    figures = next((own for own in measured.values() if own.get("bands")), None)
    if figures is None:
        raise DatasetError(f"{' and '.join(measured)} have nothing to draw by band.")
    save = save_png if path.suffix == ".png" else save_html
    save(band_panels(figures), path)


COMMAND = Command(
    "evaluate", "measure a checkpoint on data sets", _add_arguments, _run, extra="train"
)
