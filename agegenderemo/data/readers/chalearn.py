"""ChaLearn LAP 2016, apparent age, and gender and smile (Faces of the World); APPA-REAL, their
successor. Label files may lie anywhere under the root, pictures beside or below them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from agegenderemo.data.readers.registry import register_reader
from agegenderemo.data.readers.source import bucket, by_key, each_once, list_images, stem, the_one
from agegenderemo.data.readers.table import BROKEN_ROW, number, read_table
from agegenderemo.data.readers.words import MISSING, label_of
from agegenderemo.data.samples import DatasetIndex, ImageRef, Label, Sample, SkippedEntry, Split
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import AGE, GENDER, SMILE, TaskSpec
from agegenderemo.types import Box

_GUESSED = ("name", "mean", "deviation")
_ALSO_CALLED = {"image": "name", "image_name": "name", "stdv": "deviation", "std": "deviation"}
_FACES = ("image_name", "bbox_x", "bbox_y", "bbox_width", "bbox_height", "gender", "smile")
_AVERAGES = ("file_name", "apparent_age_avg", "apparent_age_std", "real_age")

_Cells = Mapping[str, str]
_Parse = Callable[[_Cells], tuple[dict[str, Label], Box | None]]


@register_reader("chalearn_age", "ChaLearn LAP 2016, apparent age", (AGE,))
def read_age(root: Path) -> DatasetIndex:
    """The mean of the guesses with their deviation, and the published splits."""
    files: dict[str, Split] = {
        "train_gt.csv": "train", "valid_gt.csv": "val", "test_gt.csv": "test",
    }  # fmt: skip

    def parse(cells: _Cells) -> tuple[dict[str, Label], Box | None]:
        return {AGE.name: _age(cells["mean"], cells["deviation"])}, None

    return _read(root, files, _GUESSED, (AGE,), parse, _GUESSED, _ALSO_CALLED)


@register_reader("chalearn_smile", "ChaLearn LAP 2016, gender and smile", (GENDER, SMILE))
def read_smile(root: Path) -> DatasetIndex:
    """Gender, absent where the annotators were not sure, smile and the face's box.

    The published validation file is the test split. Of the training file, images whose stem hashes
    to 0 mod 20 are held out for validation.
    """
    files: dict[str, Split] = {"gender_fex_trset.csv": "train", "gender_fex_valset.csv": "test"}

    def parse(cells: _Cells) -> tuple[dict[str, Label], Box | None]:
        labels: dict[str, Label] = {}
        if cells["gender"] not in ("0", "1", "2"):
            raise ValueError("unknown gender")
        if cells["gender"] != "2":
            labels[GENDER.name] = GENDER.classes.index(("male", "female")[int(cells["gender"])])
        if cells["smile"] not in ("0", "1"):
            raise ValueError("unknown smile")
        labels[SMILE.name] = int(cells["smile"])
        return labels, _box([cells[name] for name in _FACES[1:5]])

    index = _read(root, files, _FACES, (GENDER, SMILE), parse)
    samples = (
        Sample(s.image, "val", s.labels, box=s.box)
        if s.split == "train" and bucket(stem(s.image.name), 20) == 0
        else s
        for s in index.samples
    )
    return DatasetIndex(tuple(samples), index.tasks, index.skipped)


_APPA: dict[str, Split] = {
    "gt_avg_train.csv": "train", "gt_avg_valid.csv": "val", "gt_avg_test.csv": "test",
}  # fmt: skip


@register_reader("appa_real", "APPA-REAL, real age", (AGE,))
def read_real(root: Path) -> DatasetIndex:
    """The real age, and the published splits; of each picture the published face crop, if there."""

    def parse(cells: _Cells) -> tuple[dict[str, Label], Box | None]:
        return {AGE.name: _age(cells["real_age"])}, None

    return _read(root, _APPA, _AVERAGES, (AGE,), parse)


@register_reader("appa_apparent", "APPA-REAL, apparent age", (AGE,))
def read_apparent(root: Path) -> DatasetIndex:
    """The mean of the guesses of age with their deviation, else as `read_real`."""

    def parse(cells: _Cells) -> tuple[dict[str, Label], Box | None]:
        return {AGE.name: _age(cells["apparent_age_avg"], cells["apparent_age_std"])}, None

    return _read(root, _APPA, _AVERAGES, (AGE,), parse)


def _age(mean: str, deviation: str = "") -> Label:
    try:
        return label_of(AGE, mean, deviation)
    except ValueError as error:
        raise ValueError("unknown age") from error


def _box(cells: Sequence[str]) -> Box | None:
    if all(cell.lower() in MISSING for cell in cells):
        return None
    try:
        x, y, width, height = map(number, cells)
    except ValueError as error:
        raise ValueError("unknown box") from error
    if width <= 0 or height <= 0:
        raise ValueError("unknown box")
    return x, y, x + width, y + height


def _read(
    root: Path,
    files: Mapping[str, Split],
    columns: Sequence[str],
    tasks: tuple[TaskSpec, ...],
    parse: _Parse,
    header: Sequence[str] = (),
    also_called: Mapping[str, str] | None = None,
) -> DatasetIndex:
    """The rows of those label files that are there; ``header`` stands in for one that is not, and
    its names may be those that ``also_called`` maps to ours."""
    tables = [path for name in files for path in _tables(root, name)]
    if not tables:
        raise DatasetError(f"{root} has none of the label files {', '.join(files)}.")
    by_stem = by_key(list_images(root), stem)
    samples: list[Sample] = []
    skipped: list[SkippedEntry] = []
    for path in tables:
        beside = path.parent.relative_to(root).as_posix()
        for line, cells in read_table(path, columns, header, also_called)[1]:
            where = f"{path.name}, row {line}"
            try:
                if cells is None:
                    raise ValueError(BROKEN_ROW)
                split = files[path.name.lower()]
                refs = by_stem.get(stem(cells[columns[0]]), ())
                ref = _image(refs, beside, path.name.lower(), split)
                labels, box = parse(cells)
                samples.append(Sample(ref, split, labels, box=box))
            except ValueError as error:
                skipped.append(SkippedEntry(where, str(error)))
    samples, twice = each_once(samples)
    missing = [name for name in files if not any(p.name.lower() == name for p in tables)]
    notes = (f"not there: {', '.join(missing)}",) if missing else ()
    return DatasetIndex(tuple(samples), tasks, (*skipped, *twice), notes=notes)


def _tables(root: Path, name: str) -> Iterator[Path]:
    return (p for p in sorted(root.rglob("*")) if p.name.lower() == name and p.is_file())


def _image(refs: Sequence[ImageRef], beside: str, label_file: str, split: Split) -> ImageRef:
    """The one picture of a name: of several that below the folder of the label file, of these that
    in a folder which is named as the split, and a face crop before the photo. Raises ValueError for
    none."""
    word = "val" if "val" in label_file else split  # the validation file may be our test split
    narrower: tuple[Callable[[ImageRef], bool], ...] = (
        lambda ref: beside != "." and ref.name.startswith(f"{beside}/"),
        lambda ref: word in ref.name.lower().removeprefix(f"{beside.lower()}/").rpartition("/")[0],
        lambda ref: "_face" in PurePosixPath(ref.name).name,
    )
    for fits in narrower:
        refs = [ref for ref in refs if fits(ref)] or refs
    return the_one(refs)
