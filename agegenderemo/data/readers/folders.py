"""Sets that are a folder a class: your own, and published ones of this layout."""

from collections import Counter
from pathlib import Path, PurePosixPath

from agegenderemo.data.readers.registry import register_reader
from agegenderemo.data.readers.source import list_images
from agegenderemo.data.readers.words import label_of, split_by_hash, split_named, split_note
from agegenderemo.data.samples import DatasetIndex, ImageRef, Sample, SkippedEntry, Split
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import EMOTION, EMOTION6, EMOTION7, VOCABULARY, TaskSpec


@register_reader("folders", "your own folders, one a class", (), own=True)
def read(root: Path) -> DatasetIndex:
    """Every picture, labelled by the folder that it lies in: a class of one task, a number or a
    band. Which task is the one that understands the most pictures; the others are skipped.

    A folder named train, val or test further up is the split; without any it is made by a hash.
    """
    return read_folders(root, tuple(VOCABULARY.values()))


@register_reader("emo96", "Emo96", (EMOTION,))
def read_emo96(root: Path) -> DatasetIndex:
    """Emo96, grey pictures of 96 pixels: a folder an emotion."""
    return read_folders(root, (EMOTION6, EMOTION7, EMOTION))


def read_folders(root: Path, specs: tuple[TaskSpec, ...]) -> DatasetIndex:
    """Pictures in folders that are classes of one of ``specs``; raises DatasetError for none."""
    images = list(list_images(root))
    folders = Counter(_folder(ref) for ref in images)

    def understood(spec: TaskSpec) -> tuple[int, int]:
        return sum(n for name, n in folders.items() if _fits(spec, name)), -len(spec.classes)

    spec = max(specs, key=understood)
    if not understood(spec)[0]:
        named = ", ".join(sorted(folders)[:10]) or "none"
        raise DatasetError(
            f"No folder of {root} is named as a class, a number or a band; its folders with "
            f"pictures are {named}."
        )
    splits = {ref: _split(ref) for ref in images}
    by_hash = not any(splits.values())
    samples: list[Sample] = []
    skipped: list[SkippedEntry] = []
    for ref, named_split in splits.items():
        split = split_by_hash(ref.name) if by_hash else named_split
        if not _fits(spec, _folder(ref)):
            skipped.append(SkippedEntry(ref.name, f"no {spec.name} is called {_folder(ref)!r}"))
        elif split is None:
            skipped.append(SkippedEntry(ref.name, "not in the folder of a split"))
        else:
            samples.append(Sample(ref, split, {spec.name: label_of(spec, _folder(ref))}))
    return DatasetIndex(
        tuple(samples), (spec,), tuple(skipped), notes=(f"labels: {spec.name}", split_note(samples))
    )


def _fits(spec: TaskSpec, folder: str) -> bool:
    try:
        label_of(spec, folder)
    except ValueError:
        return False
    return True


def _folder(ref: ImageRef) -> str:
    parent = PurePosixPath(ref.name).parent.name
    return parent or ref.container.stem


def _split(ref: ImageRef) -> Split | None:
    """Of the folders above that of the class, from below, the first that is named as a split."""
    above = PurePosixPath(ref.name).parts[-3::-1]
    return next((split for name in above if (split := split_named(name)) is not None), None)
