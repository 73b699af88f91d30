"""A data set's files, whether it stands unpacked in a folder or still in its archive."""

import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha1
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from agegenderemo.data.readers.archives import is_archive, list_members, read_member
from agegenderemo.data.samples import ImageRef, Sample, SkippedEntry
from agegenderemo.errors import DatasetError
from agegenderemo.imaging.formats import is_picture_name

_FER_SIDE = 48
_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.\w+|7z|rar)$")


def list_images(root: Path) -> Iterator[ImageRef]:
    """Every image under a folder, or in a zip or tar, in the order of its names.

    Raises DatasetError where there is neither, or no image but archives that were not asked for.
    """
    if not root.exists():
        raise DatasetError(f"There is nothing at {root}; give the folder or zip of the data set.")
    names: Iterable[str]
    if root.is_dir():
        names = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
    elif is_archive(root):
        names = list_members(root)
    else:
        raise DatasetError(f"{root} is neither a folder nor a zip or tar archive.")
    images = [name for name in sorted(names) if is_picture_name(name)]
    if not images and root.is_dir():
        archives = [name for name in sorted(names) if _ARCHIVE.search(name.lower())]
        if archives:
            raise DatasetError(
                f"{root} holds no picture, but {', '.join(archives[:5])}; unpack it, or give it in "
                "the place of the folder."
            )
    yield from (ImageRef(root, name) for name in images)


NO_IMAGE = "no image"
SEVERAL_IMAGES = "several images of this name"


def by_key(refs: Iterable[ImageRef], key: Callable[[str], str]) -> dict[str, list[ImageRef]]:
    """Pictures by what a label file may call them; `the_one` says which of a key it is."""
    found: dict[str, list[ImageRef]] = defaultdict(list)
    for ref in refs:
        found[key(ref.name)].append(ref)
    return dict(found)


def the_one(refs: Sequence[ImageRef]) -> ImageRef:
    """The only picture; raises ValueError, with the reason, for none and for several."""
    if len(refs) != 1:
        raise ValueError(SEVERAL_IMAGES if refs else NO_IMAGE)
    return refs[0]


def each_once(samples: Iterable[Sample]) -> tuple[list[Sample], list[SkippedEntry]]:
    """Samples without those that name the face of another once more, and what was left out: one of
    two that say the same, both of two that contradict each other."""
    first: dict[object, Sample] = {}
    contradictory: set[object] = set()
    skipped: list[SkippedEntry] = []
    for sample in samples:
        key = (sample.image, sample.box)
        if first.setdefault(key, sample) is sample:
            continue
        if first[key] == sample:
            skipped.append(SkippedEntry(sample.image.name, "image named twice"))
        else:
            contradictory.add(key)
    kept = [sample for key, sample in first.items() if key not in contradictory]
    reason = "image named twice, with different labels"
    skipped += [SkippedEntry(first[key].image.name, reason) for key in contradictory]
    return kept, skipped


def read_bytes(ref: ImageRef) -> bytes:
    """The encoded bytes of an image; the pixels of a ``fer2013.csv`` row come as PNG.

    Raises OSError, KeyError or ValueError when they are not there or not readable.
    """
    if ref.offset is not None:
        with ref.container.open("rb") as file:
            file.seek(ref.offset)
            return _pixels_to_png(file.readline().decode())
    if ref.container.is_dir():
        return (ref.container / ref.name).read_bytes()
    if is_archive(ref.container):
        return read_member(ref.container, ref.name)
    return ref.container.read_bytes()


def _pixels_to_png(row: str) -> bytes:
    # The published row is  emotion,"70 80 82 …",Training ; the pixels are its longest field.
    values = np.array(max(re.split(r'[",]', row), key=len).split(), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values.reshape(_FER_SIDE, _FER_SIDE)).save(stream, "PNG", compress_level=0)
    return stream.getvalue()


def stem(name: str) -> str:
    """File name up to its first dot, stripped of blanks: the key that the splits hash."""
    return PurePosixPath(name).name.split(".")[0].strip()


def bucket(key: str, modulus: int) -> int:
    """A stable pseudo-random bucket in [0, modulus) from the SHA-1 of a key."""
    return int(sha1(key.encode()).hexdigest(), 16) % modulus


def find(root: Path, *names: str) -> Path:
    """A file of the set by one of its published names, in the folder, beside the archive, or below.

    Raises DatasetError when it is in none of these places.
    """
    found = find_all(root, *names)
    if not found:
        folder = root if root.is_dir() else root.parent
        raise DatasetError(f"{names[0]} was not found in {folder}; put it beside the images.")
    return found[0]


def find_all(root: Path, *names: str) -> list[Path]:
    """Those of the files that are there, one a name."""
    folder = root if root.is_dir() else root.parent
    places = ([folder / name, *sorted(folder.glob(f"*/{name}"))] for name in names)
    firsts = (next((path for path in own if path.is_file()), None) for own in places)
    return [path for path in firsts if path is not None]


def image_root(root: Path, *archives: str) -> Path:
    """The folder itself, or the first archive of these published names that it holds."""
    held = (root / name for name in archives if root.is_dir())
    return next((path for path in held if path.is_file()), root)
