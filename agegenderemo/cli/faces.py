"""The faces that ``evaluate`` and ``compare`` ask networks about."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from agegenderemo.cli.common import Arguments
from agegenderemo.cli.sets import add_ffhq_parts, check_template, detector, read_ffhq
from agegenderemo.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agegenderemo.data.dataset import PreparedSet
    from agegenderemo.data.samples import Sample, Split
    from agegenderemo.types import Template

_WHOLE = ("ffhq",)
"""Sets whose published figures are of all splits."""


class Faces(NamedTuple):
    """Rows of a prepared set that belong to a split."""

    prepared: "PreparedSet"
    rows: "NDArray[np.int64]"
    split: str


def add_faces(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """``--data``, ``--root``, ``--split``, and where FFHQ is."""
    parser.add_argument(
        "--data",
        nargs="+",
        default=[],
        required=required,
        metavar="NAME",
        help="one set or several; an unknown name lists the known",
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="the data set, or the folder of prepared ones"
    )
    add_ffhq_parts(parser)
    parser.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        help="default: test, or val where a set has no test faces; for ffhq all, as its report did",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``; `device_of` reads it."""
    parser.add_argument(
        "--device", metavar="NAME", help="where the network runs; default: cuda where there is one"
    )


def device_of(args: Arguments) -> str:
    """The device that was named, or a GPU where there is one. Raises ValueError for one that is
    not there."""
    import torch

    name = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"The device {name!r} cannot be used here; leave out --device.") from error
    return str(name)


def check_sets(args: Arguments) -> None:
    """Raises DatasetError, with the known names, where one that was given is neither known nor
    prepared, or stands twice."""
    from agegenderemo.data.readers import READERS, get_reader

    prepared = sorted(args.root.glob("*/samples.jsonl")) if args.root else []
    for data in args.data:
        if args.data.count(data) > 1:
            raise DatasetError(f"--data names {data} twice.")
        if is_prepared(args.root, data):
            continue
        if prepared and data not in READERS:
            names = ", ".join(path.parent.name for path in prepared)
            raise DatasetError(
                f"{args.root} holds no prepared set {data!r}, but {names}; as raw data known are "
                f"{', '.join(READERS)}."
            )
        get_reader(data)


@contextmanager
def open_faces(args: Arguments, data: str, template: "Template") -> Iterator[Faces]:
    """The faces of one set: of the prepared one under --root, or of one that is made for this from
    the raw data. Raises DatasetError where the split has none."""
    from agegenderemo.data.dataset import PreparedSet
    from agegenderemo.data.prepare import prepare, report_line
    from agegenderemo.data.readers import read

    if is_prepared(args.root, data):
        prepared = PreparedSet.open(args.root / data)
        check_template(prepared, template, "this checkpoint")
        yield _chosen(prepared, args.split or _split(data, prepared.samples))
        return
    if args.root:
        index = read(data, args.root)
        print(f"{data}: {index.summary()}", file=sys.stderr)
    elif data in _WHOLE:
        index = read_ffhq(args)
    else:
        raise DatasetError("Give --root with the folder of the data set.")
    split = args.split or _split(data, index.samples)
    wanted = index if split == "all" else index.only(cast("Split", split))
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(data, wanted, Path(folder), detector(), template=template)
        print(report_line(prepared), file=sys.stderr)
        yield _chosen(prepared, split)


def is_prepared(root: Path | None, data: str) -> bool:
    """Whether the folder holds a prepared set of this name."""
    return root is not None and (root / data / "samples.jsonl").is_file()


def _split(data: str, samples: "Sequence[Sample]") -> str:
    if data in _WHOLE:
        return "all"
    return "test" if any(sample.split == "test" for sample in samples) else "val"


def _chosen(prepared: "PreparedSet", split: str) -> Faces:
    rows = prepared.rows(cast("Split", split))
    if not len(rows):
        raise DatasetError(f"{prepared.name} has no samples in the split {split!r}.")
    return Faces(prepared, rows, split)
