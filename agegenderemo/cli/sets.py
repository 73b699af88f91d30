"""Data sets for several commands, raw ones and prepared ones."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agegenderemo.cli.common import Arguments
from agegenderemo.errors import DatasetError
from agegenderemo.files import resolved

if TYPE_CHECKING:
    from agegenderemo.data.dataset import PreparedSet
    from agegenderemo.data.samples import DatasetIndex
    from agegenderemo.types import Detector, Template


def add_data(parser: argparse.ArgumentParser) -> None:
    """``--data NAME``, which must be given; `known_set` checks it."""
    parser.add_argument(
        "--data", required=True, metavar="NAME", help="the set; an unknown name lists the known"
    )


def known_set(args: Arguments) -> str:
    """The name of the data set: a published one, or one that is prepared under ``--root``.

    Raises DatasetError with the known names for another.
    """
    from agegenderemo.data.readers import get_reader

    root: Path | None = getattr(args, "root", None)
    if root is not None and (root / args.data / "samples.jsonl").is_file():
        return str(args.data)
    return get_reader(args.data).name


def own_name(root: Path) -> str:
    """What a set of the user's own is called by itself: ``faces`` of ``data/faces.csv``."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", resolved(root).stem).strip(".-") or "own"


def check_name(name: str) -> None:
    """Raises DatasetError for a name that no folder of a prepared set can bear."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise DatasetError(
            f"--name is letters, digits, '_', '-' and '.', such as my-faces, not {name!r}."
        )


def add_ffhq_parts(parser: argparse.ArgumentParser) -> None:
    """Where FFHQ is: its pictures and its labels are published apart."""
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="ffhq: folder or zip of the thumbnails"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="ffhq: folder or tar of the FFHQ-Features JSON files",
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="go on without more than 1 %% of the images"
    )


def detector() -> "Callable[[], Detector]":
    """What makes the detector for data sets, here and in other processes."""
    from functools import partial

    from agegenderemo.data.prepare import SEARCH_OPTIONS
    from agegenderemo.detection import MtcnnDetector

    return partial(MtcnnDetector, **SEARCH_OPTIONS)


def read_ffhq(args: Arguments, out: Path | None = None) -> "DatasetIndex":
    """The set from --images and --labels; with ``out`` a list of missing images is left there.

    Raises DatasetError when more than one image in a hundred is missing, unless that is allowed.
    """
    from agegenderemo.data.readers import ffhq

    if not args.images or not args.labels:
        raise DatasetError("Give both --images and --labels.")
    index = ffhq.read_parts(args.labels, args.images)
    print(f"ffhq: {index.summary()}", file=sys.stderr)
    missing = ffhq.missing_images(index)
    if missing:
        total = len(missing) + len(index.samples)
        named = ", ".join(missing[:10]) + (", …" if len(missing) > 10 else "")
        text = f"{len(missing):,} of {total:,} images are missing: {named}"
        if out:
            out.mkdir(parents=True, exist_ok=True)
            (out / "missing.txt").write_text("\n".join(missing) + "\n")
            text += f" (all in {out / 'missing.txt'})"
        if len(missing) > 0.01 * total and not args.allow_missing:
            raise DatasetError(f"{text}; put them in {args.images}, or pass --allow-missing.")
        print(text, file=sys.stderr)
    return index


def prepared_sets(folder: Path, template: "Template", wanted_by: object) -> "list[PreparedSet]":
    """Every prepared set in a folder.

    Raises DatasetError when there is none, or one is in another alignment template than
    ``wanted_by`` wants.
    """
    from agegenderemo.data.dataset import PreparedSet

    sets = [PreparedSet.open(path.parent) for path in sorted(folder.glob("*/samples.jsonl"))]
    if not sets:
        raise DatasetError(f"{folder} holds no prepared set; make one with agegenderemo prepare.")
    for prepared in sets:
        check_template(prepared, template, wanted_by)
    return sets


def check_template(prepared: "PreparedSet", template: "Template", wanted_by: object) -> None:
    """Raises DatasetError when crops are in another alignment template."""
    if prepared.template != template:
        raise DatasetError(
            f"The prepared set {prepared.name} holds crops by the alignment template "
            f"{prepared.template!r}; {wanted_by} wants {template!r}."
        )
