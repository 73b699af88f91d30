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
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, get_args

from tqdm import tqdm

from agegenderemo.fairness import ADULT_RACE, RACE, largest_gap
from agegenderemo.images import IMAGE_SUFFIXES, ImageError, load_image
from agegenderemo.labels import EMOTIONS
from agegenderemo.readers import READERS, DatasetError
from agegenderemo.records import Framing, Reading
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
    except (ValueError, OSError, FloatingPointError) as error:
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
    evaluate.add_argument("--root", type=Path, help="the data set, or the folder of prepared ones")
    _add_ffhq_parts(evaluate)
    evaluate.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        help="default: test; for ffhq all, as its report did",
    )
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    evaluate.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw the age bands as .png or .html"
    )
    evaluate.add_argument(
        "--card", action="store_true", help="also write the figures beside the checkpoint"
    )
    evaluate.add_argument(
        "--pipeline",
        action="store_true",
        help="also find and align each face in its picture, as the app does",
    )
    evaluate.add_argument("--checkpoint", type=Path, metavar="FILE")
    evaluate.set_defaults(run=_evaluate)

    card = commands.add_parser(
        "card", help="renew the tables of Markdown pages from the figures beside a checkpoint"
    )
    card.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    card.add_argument("--checkpoint", type=Path, metavar="FILE")
    card.set_defaults(run=_card)

    export = commands.add_parser("export", help="write the network as an ONNX graph")
    export.add_argument("--out", type=Path, required=True, metavar="FILE.onnx")
    export.add_argument(
        "--prepared", type=Path, help="folder of prepared sets: check both on 512 of their faces"
    )
    export.add_argument("--checkpoint", type=Path, metavar="FILE")
    export.set_defaults(run=_export)

    calibrate = commands.add_parser(
        "calibrate", help="fit error bars and temperatures on held-out faces"
    )
    calibrate.add_argument("--prepared", type=Path, required=True, help="folder of prepared sets")
    calibrate.add_argument("--checkpoint", type=Path, metavar="FILE", help="is written anew")
    calibrate.set_defaults(run=_calibrate)

    prepare = commands.add_parser("prepare", help="turn a data set into aligned crops")
    prepare.add_argument("--data", required=True, choices=tuple(READERS))
    prepare.add_argument("--root", required=True, type=Path, help="folder or zip of the set")
    prepare.add_argument("--out", required=True, type=Path, help="a folder a set is made in here")
    prepare.add_argument("--processes", type=int, help="default: one a core")
    prepare.add_argument("--framing", choices=get_args(Framing), default="face")
    prepare.set_defaults(run=_prepare)

    train = commands.add_parser("train", help="train a network on prepared sets")
    train.add_argument(
        "--recipe", help="a name in agegenderemo/recipes.py; default: that of --data, or first"
    )
    train.add_argument("--data", choices=("ffhq",), help="prepare this set too, from:")
    _add_ffhq_parts(train)
    train.add_argument(
        "--prepared", type=Path, help="folder of prepared sets; default OUT/prepared"
    )
    train.add_argument("--out", type=Path, help="folder of the run; default runs/RECIPE")
    train.add_argument("--tensorboard", action="store_true", help="log to OUT/tensorboard too")
    train.add_argument(
        "--teacher",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="the public face descriptor's weights, then any checkpoints that teach beside it",
    )
    train.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="begin with this checkpoint, with the mean of several, or with the published weights "
        "of the recipe's family",
    )
    train.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change the recipe"
    )
    train.add_argument("--resume", action="store_true", help="go on from the last finished epoch")
    train.set_defaults(run=_train)
    return parser


def _add_ffhq_parts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=Path, help="folder or zip of the FFHQ thumbnails")
    parser.add_argument("--labels", type=Path, help="folder or tar of the FFHQ-Features JSON files")
    parser.add_argument(
        "--allow-missing", action="store_true", help="go on without more than 1 %% of the images"
    )


def train_main(argv: list[str] | None = None) -> int:
    """``train.py``: the train command under its own name."""
    return main(["train", *(sys.argv[1:] if argv is None else argv)])


def _train(args: argparse.Namespace) -> int:
    from agegenderemo.distributed import join_team
    from agegenderemo.preparation import prepare, report
    from agegenderemo.recipes import get_recipe, with_settings
    from agegenderemo.training import fit

    recipe = args.recipe or args.data or "first"
    out = args.out or Path("runs") / recipe
    config = with_settings(get_recipe(recipe), args.set)
    if not args.data and not args.prepared:
        raise ValueError("Give --prepared with the folder of prepared sets, or --data ffhq.")
    prepared = args.prepared or out / "prepared"
    with join_team() as team:
        # One machine after the other: where they share a disk, the second finds all done.
        for turn in (team.leads, not team.leads):
            if args.data and team.local_rank == 0 and turn:
                reading = _read_ffhq(args, out)
                done = prepare(args.data, reading, prepared, framing=config.framing)
                print(report(done), file=sys.stderr)
            team.wait()
        weights = fit(
            config,
            prepared,
            out,
            teachers=args.teacher,
            weights=args.weights,
            resume=args.resume,
            team=team,
            watch=_watcher(out, args.tensorboard),
        )
        if team.leads:
            print(f"Weights: {weights}; history: {out / 'history.csv'} and .png, .html")
    return 0


def _watcher(out: Path, tensorboard: bool) -> Callable[[list[dict[str, Any]], bool], None]:
    """What draws the history every five epochs and at the end, and logs it where asked."""
    from agegenderemo.figures import history_panels, save_html, save_png

    log: list[Any] = []
    if tensorboard:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ValueError("--tensorboard needs 'pip install tensorboard'.") from error

    def watch(history: list[dict[str, Any]], over: bool) -> None:
        if over or len(history) % 5 == 0:
            panels = history_panels(history)
            save_html(panels, out / "history.html")
            save_png(panels, out / "history.png")
        if not tensorboard:
            return
        fresh = history[-1:]
        if not log:
            # A resumed run says again what it said before, in place of it.
            log.append(SummaryWriter(str(out / "tensorboard"), purge_step=1))
            fresh = history
        elif over:
            fresh = []
        for line in fresh:
            for key, value in line.items():
                log[0].add_scalar(key.replace("_", "/", 1), value, line["epoch"])
        log[0].flush()

    return watch


def _read_ffhq(args: argparse.Namespace, out: Path | None = None) -> Reading:
    """The set from --images and --labels; with ``out`` a list of missing images is left there.

    Raises DatasetError when more than one image in a hundred is missing, unless that is allowed.
    """
    from agegenderemo.readers import ffhq

    if not args.images or not args.labels:
        raise ValueError("Give both --images and --labels.")
    reading = ffhq.read_parts(args.labels, args.images)
    print(f"ffhq: {reading.summary()}", file=sys.stderr)
    missing = ffhq.missing_images(reading)
    if missing:
        total = len(missing) + len(reading.samples)
        named = ", ".join(missing[:10]) + (", …" if len(missing) > 10 else "")
        text = f"{len(missing):,} of {total:,} images are missing: {named}"
        if out:
            out.mkdir(parents=True, exist_ok=True)
            (out / "missing.txt").write_text("\n".join(missing) + "\n")
            text += f" (all in {out / 'missing.txt'})"
        if len(missing) > 0.01 * total and not args.allow_missing:
            raise DatasetError(f"{text}; put them in {args.images}, or pass --allow-missing.")
        print(text, file=sys.stderr)
    return reading


def _prepare(args: argparse.Namespace) -> int:
    from agegenderemo.preparation import prepare, report
    from agegenderemo.readers import read

    reading = read(args.data, args.root)
    print(f"{args.data}: {reading.summary()}")
    print(report(prepare(args.data, reading, args.out, args.processes, args.framing)))
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from agegenderemo.analyzer import Analyzer
    from agegenderemo.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint, update_card
    from agegenderemo.evaluation import evaluate
    from agegenderemo.pipeline import compare
    from agegenderemo.predictor import Predictor

    if args.figure and args.figure.suffix not in (".png", ".html"):
        raise ValueError(f"--figure must end in .png or .html, not {args.figure.name!r}.")
    path = args.checkpoint or DEFAULT_CHECKPOINT
    checkpoint = load_checkpoint(path)
    predictor = Predictor(checkpoint.model, checkpoint.input, checkpoint.calibration)
    split = args.split or ("all" if args.data == "ffhq" else "test")
    with ExitStack() as stack:
        prepared = _prepared(args, split, checkpoint.input.framing, stack)
        rows = prepared.rows(split)
        if not len(rows):
            raise DatasetError(f"{args.data} has no samples in the split {split!r}.")
        figures = {"data": args.data, "split": split, **evaluate(predictor, prepared, rows)}
        if args.pipeline:
            figures["pipeline"] = compare(Analyzer.from_checkpoint(path), prepared, rows)
        trained_on = args.data in checkpoint.recipe.get("shares", {})
        if split == "all" and trained_on:
            figures["training_faces"] = len(prepared.rows("train", copies=True))
            held_out = prepared.rows("val", copies=True)
            if len(held_out):
                figures["validation"] = evaluate(predictor, prepared, held_out)
    figures = _without_none(figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    if args.card:
        update_card(path, args.data, figures)
    if args.figure:
        _draw_bands(figures, args.figure)
    print(_figures_table(figures))
    return 0


def _prepared(args: argparse.Namespace, split: str, framing: Framing, stack: ExitStack) -> Any:
    """The prepared set under --root, or one made for this evaluation from the raw data."""
    from agegenderemo.dataset import PreparedSet
    from agegenderemo.preparation import prepare, report
    from agegenderemo.readers import read

    if args.root and (args.root / args.data / "samples.jsonl").is_file():
        prepared = PreparedSet.open(args.root / args.data)
        if prepared.framing != framing:
            raise DatasetError(
                f"{args.root / args.data} holds crops framed as {prepared.framing!r}; this "
                f"checkpoint wants {framing!r}."
            )
        return prepared
    if args.root:
        reading = read(args.data, args.root)
        print(f"{args.data}: {reading.summary()}", file=sys.stderr)
    elif args.data == "ffhq":
        reading = _read_ffhq(args)
    else:
        raise ValueError("Give --root with the folder of the data set.")
    chosen = reading if split == "all" else reading.only(split)  # type: ignore[arg-type]
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    prepared = prepare(args.data, chosen, folder, framing=framing)
    print(report(prepared), file=sys.stderr)
    return prepared


def _draw_bands(figures: dict[str, Any], path: Path) -> None:
    from agegenderemo.figures import band_panels, save_html, save_png

    if not figures["bands"]:
        raise DatasetError(f"{figures['data']} has no ages to draw by band.")
    save = save_png if path.suffix == ".png" else save_html
    save(band_panels(figures), path)


def _without_none(value: Any) -> Any:
    """Figures of labels that the set does not have are left out."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value


def _figures_table(figures: dict[str, Any]) -> str:
    lines = [f"{figures['data']} {figures['split']}: {figures['n']:,} faces"]
    if "training_faces" in figures:
        lines[0] += (
            f", of which this network was trained on {figures['training_faces']:,}; "
            "the validation figures are the ones to trust"
        )
    for key, value in figures.items():
        if isinstance(value, float):
            years = key in ("age_mae", "age_sd", "age_width")
            lines.append(f"  {key:28} " + (f"{value:.2f} years" if years else f"{value:.2%}"))
    if "adults" in figures:
        adults = figures["adults"]
        lines.append(
            f"  21 to 60 n {adults['n']:,}  MAE {adults['age_mae']:.2f} ± {adults['age_sd']:.2f}"
            f"  gender {adults['gender_accuracy']:.2%}"
        )
    for band in figures["bands"]:
        if band["n"]:
            gender, emotion = band.get("gender_accuracy"), band.get("emotion_accuracy")
            covered = band.get("age_coverage")
            lines.append(
                f"  {band['band']:>6} n {band['n']:6,}  MAE {band['age_mae']:5.2f} ± "
                f"{band['age_sd']:5.2f}"
                + ("" if gender is None else f"  gender {gender:6.1%}")
                + ("" if emotion is None else f"  emotion {emotion:6.1%}")
                + ("" if covered is None else f"  interval holds {covered:6.1%}")
            )
    if "pipeline" in figures:
        lines += _pipeline_lines(figures["pipeline"])
    if "groups" in figures:
        lines += _group_lines(figures["groups"])
    if "confusion" in figures:
        lines += ["  emotions, true by row, said by column", *_confusion_lines(figures)]
    if "validation" in figures:
        held_out = {"data": figures["data"], "split": "val", **figures["validation"]}
        lines.append(_figures_table(held_out))
    return "\n".join(lines)


def _pipeline_lines(figures: dict[str, Any]) -> list[str]:
    lines = [
        f"  whole pictures ({figures['missed']:,} of {figures['n']:,} without a face found) "
        "and prepared crops of the same faces"
    ]
    for key, value in figures["pictures"].items():
        pair = (value, figures["crops"][key])
        texts = [f"{v:.2f} years" if key == "age_mae" else f"{v:.2%}" for v in pair]
        lines.append(f"  {key:28} {texts[0]:>12} {texts[1]:>12}")
    return lines


def _group_lines(groups: list[dict[str, Any]]) -> list[str]:
    lines = ["  groups, with 95 % bootstrap intervals"]
    for group in groups:
        line = f"  {group['by']:>19} {group['group']:<16} n {group['n']:6,}"
        if "age_mae" in group:
            value, low, high = group["age_mae"]
            line += f"  MAE {value:5.2f} ({low:.2f} to {high:.2f})"
        if "gender_accuracy" in group:
            value, low, high = group["gender_accuracy"]
            line += f"  gender {value:6.1%} ({low:.1%} to {high:.1%})"
        lines.append(line)
    for by in (RACE, ADULT_RACE):
        if gap := largest_gap(groups, by):
            lines.append(
                f"  largest gap in gender accuracy by {by}: {100 * gap['gap']:.1f} points, "
                f"{gap['worst']} the worst, {gap['best']} the best"
            )
    return lines


def _calibrate(args: argparse.Namespace) -> int:
    from agegenderemo.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint, save_checkpoint
    from agegenderemo.dataset import PreparedSet
    from agegenderemo.evaluation import calibrate
    from agegenderemo.predictor import Predictor

    path = args.checkpoint or DEFAULT_CHECKPOINT
    checkpoint = load_checkpoint(path)
    folders = sorted(f.parent for f in args.prepared.glob("*/samples.jsonl"))
    sets = [PreparedSet.open(folder) for folder in folders]
    wrong = [s.name for s in sets if s.framing != checkpoint.input.framing]
    if wrong:
        raise DatasetError(f"{', '.join(wrong)} holds crops in another framing than {path} wants.")
    found = calibrate(Predictor(checkpoint.model, checkpoint.input), sets)
    save_checkpoint(
        path,
        checkpoint.model,
        checkpoint.name,
        checkpoint.input,
        checkpoint.recipe,
        found,
        checkpoint.origin,
    )
    for name, value in found.to_dict().items():
        print(f"{name}: {value}")
    return 0


def _export(args: argparse.Namespace) -> int:
    import torch

    from agegenderemo.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint, write_atomically
    from agegenderemo.dataset import PreparedSet
    from agegenderemo.export import OnnxEngine, check_parity, to_onnx
    from agegenderemo.transforms import to_input

    checkpoint = load_checkpoint(args.checkpoint or DEFAULT_CHECKPOINT)
    graph = to_onnx(checkpoint.model, checkpoint.input)
    folders = (
        sorted(f.parent for f in args.prepared.glob("*/samples.jsonl")) if args.prepared else []
    )
    for folder in folders:
        crops = PreparedSet.open(folder).crops
        some = crops[:: max(1, len(crops) // 512)][:512]
        faces = to_input(torch.from_numpy(some), checkpoint.input)
        apart = check_parity(checkpoint.model, OnnxEngine(graph), faces)
        shares = ", ".join(f"{name} {share:.1e}" for name, share in apart.items())
        print(f"{folder.name}, {len(some)} faces: largest difference over range: {shares}")
    write_atomically(args.out, graph)
    return 0


def _card(args: argparse.Namespace) -> int:
    from agegenderemo.checkpoint import DEFAULT_CHECKPOINT, write_atomically
    from agegenderemo.tables import card_tables, fill

    made = card_tables(args.checkpoint or DEFAULT_CHECKPOINT)
    for page in args.pages:
        write_atomically(page, fill(page.read_text(encoding="utf-8"), made).encode())
    return 0


def _confusion_lines(figures: dict[str, Any]) -> list[str]:
    names = [name[:9] for name in EMOTIONS]
    head = " " * 12 + "".join(f"{name:>10}" for name in names)
    rows = zip(names, figures["confusion"], strict=True)
    return [head, *(f"  {name:>10}" + "".join(f"{n:10,}" for n in row) for name, row in rows)]


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
