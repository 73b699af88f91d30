"""``fer2013.csv``: a row an image, whose pixels are one string of 48×48 numbers."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agegenderemo.data.readers.source import find_all
from agegenderemo.data.samples import ImageRef
from agegenderemo.errors import DatasetError

_PIXELS = 48 * 48

NAMES = ("fer2013.csv", "icml_face_data.csv")
"""As the competition and its popular copies call the file; the columns stand in another order."""


class PixelRow(NamedTuple):
    """``ref`` reads the pixels, where they are ``whole``; ``cells`` are the other columns by their
    names, small."""

    ref: ImageRef
    cells: dict[str, str]
    whole: bool


def pixel_file(root: Path) -> Path | None:
    """The csv of this layout, where there is one in the folder or a folder below it."""
    if root.is_file():
        return root if root.suffix == ".csv" else None
    return next(iter(find_all(root, *NAMES)), None)


def pixel_rows(path: Path) -> Iterator[PixelRow]:
    """Every row after the header; raises DatasetError for a file without one, or without lines."""
    with path.open("rb") as file:
        first = file.readline()
        if b"\r" in first.rstrip(b"\r\n"):
            raise DatasetError(
                f"{path} ends its lines as old Macs did (CR); save it with line feeds."
            )
        header = _fields(first)
        if "pixels" not in header:
            raise DatasetError(f"{path} is not the published {NAMES[0]}: no column 'pixels'.")
        place = header.index("pixels")
        offset = file.tell()
        for line in file:
            if line.strip():
                fields = _fields(line)
                values = fields[place].split() if len(fields) > place else []
                whole = len(values) == _PIXELS and all(map(_is_level, values))
                cells = {n: f for n, f in zip(header, fields, strict=False) if n != "pixels"}
                yield PixelRow(ImageRef(path, "", offset), cells, whole)
            offset += len(line)


def _fields(line: bytes) -> list[str]:
    text = line.decode("utf-8-sig", errors="replace").replace('"', "")
    return [field.strip().lower() for field in text.split(",")]


def _is_level(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) < 256
