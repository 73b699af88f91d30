"""A data set's files, whether it stands unpacked in a folder or still in its zip."""

import io
import re
import threading
import zipfile
from collections.abc import Iterable, Iterator
from hashlib import sha1
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from agegenderemo.data.samples import ImageRef
from agegenderemo.errors import DatasetError
from agegenderemo.imaging.formats import is_picture_name

_FER_SIDE = 48
_threads = threading.local()


def list_images(root: Path) -> Iterator[ImageRef]:
    """Every image under a folder, or in a ``.zip``, in the order of its names."""
    if not root.exists():
        raise DatasetError(f"There is nothing at {root}; give the folder or zip of the data set.")
    names: Iterable[str]
    if root.is_dir():
        names = (p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    elif zipfile.is_zipfile(root):
        with zipfile.ZipFile(root) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    else:
        raise DatasetError(f"{root} is neither a folder nor a zip archive.")
    for name in sorted(names):
        if is_picture_name(name):
            yield ImageRef(root, name)


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
    if zipfile.is_zipfile(ref.container):
        return _zip(ref.container).read(ref.name)
    return ref.container.read_bytes()


def _zip(path: Path) -> zipfile.ZipFile:
    """One open archive a thread: reading its directory of 40,000 names takes a second."""
    archives: dict[Path, zipfile.ZipFile] = _threads.__dict__.setdefault("archives", {})
    if path not in archives:
        archives[path] = zipfile.ZipFile(path)
    return archives[path]


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


def find(root: Path, name: str) -> Path:
    """A file of the set by its published name, in the folder, beside the zip, or below.

    Raises DatasetError when it is in none of these places.
    """
    folder = root if root.is_dir() else root.parent
    if (folder / name).is_file():
        return folder / name
    for path in sorted(folder.glob(f"*/{name}")):
        return path
    raise DatasetError(f"{name} was not found in {folder}; put it beside the images.")


def image_root(root: Path, archive: str) -> Path:
    """The folder itself, or the zip of this name where the folder holds one."""
    return root / archive if root.is_dir() and (root / archive).is_file() else root
