"""What ``analyze`` reads: files, folders and standard input, listed before anything is opened."""

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agegenderemo.batch.resume import input_of
from agegenderemo.errors import ImageError
from agegenderemo.files import fitting_name
from agegenderemo.imaging.formats import IMAGE_SUFFIXES, is_picture_name, is_shadow

STDIN = Path("-")
DRAWN_BY = "agegenderemo analyze"
"""Stands in the drawings that this command writes, so that no later run takes them for photos."""

_SHADOWS = "macOS shadow"
_OWN = "output of this command"
_LINKS = "linked folder"
_OTHERS = "file with no picture's suffix"


@dataclass(frozen=True, slots=True)
class Source:
    """One picture to read: where it lies (`STDIN` is standard input), its name among the drawings,
    and, where it cannot be read whatever it holds, why."""

    path: Path
    relative: Path
    error: str | None = None

    @property
    def name(self) -> str:
        """What its record calls it."""
        return str(self.path)

    def read(self) -> bytes:
        """The encoded picture; raises ImageError where it cannot be read."""
        from agegenderemo.imaging.load import read_bytes, read_file

        if self.path != STDIN:
            return read_bytes(self.path)
        if sys.stdin is None:
            raise ImageError("Cannot read standard input: it is closed.")
        return read_file(sys.stdin.buffer)

    def known(self, search: str) -> dict[str, Any]:
        """By what it is known again, see `input_of`."""
        return input_of(self.path, search)


@dataclass(frozen=True, slots=True)
class Sources:
    """What was found, and how much of it was left out, by kind."""

    found: list[Source]
    left: Counter[str]

    def left_text(self) -> str:
        """The files that were left out as a sentence; empty where there are none."""
        parts = [f"{kind} ({count})" for kind, count in sorted(self.left.items())]
        return f"Left out: {', '.join(parts)}." if parts else ""


def collect(paths: Sequence[Path], drawings: Path | None = None) -> Sources:
    """The pictures of files, folders and standard input, each with a name of its own.

    ``drawings``, the folder to draw into, is left out where it lies in a folder that is read.
    Nothing here fails: what is missing or no picture becomes a Source with an error, or fails when
    it is read.
    """
    left: Counter[str] = Counter()
    own = file_key(drawings) if drawings else None
    found: list[Source] = []
    used: set[str] = set()
    for path in paths:
        for one in _under(path, own, left):
            found.append(Source(one.path, _unused(one.relative, used), one.error))
    return Sources(found, left)


def file_key(path: Path) -> tuple[int, int] | None:
    """What a file or folder is, whatever its name: the same for links to it; None where there is
    nothing."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def is_drawing(path: Path) -> bool:
    """Whether this command drew the file, whose name ends in ``.jpg.png`` or the like."""
    if path.suffix != ".png" or Path(path.stem).suffix.lower() not in IMAGE_SUFFIXES:
        return False
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return DRAWN_BY.encode() in file.read(200)
    except OSError:
        return False


def _under(path: Path, own: tuple[int, int] | None, left: Counter[str]) -> Iterator[Source]:
    if path == STDIN or not path.is_dir():
        yield Source(path, Path("stdin" if path == STDIN else path.name or "picture"))
        return
    before = left.copy()
    inside = sorted(_walk(path, own, left), key=lambda one: one.path)
    if not inside:
        seen = "only files that are left out" if left != before else "nothing at all"
        error = f"{path} holds no images (.jpg, .png, .heic, .webp, …), {seen}."
        inside = [Source(path, Path(path.name or "folder"), error)]
    yield from inside


def _walk(folder: Path, own: tuple[int, int] | None, left: Counter[str]) -> Iterator[Source]:
    failed: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=failed.append):
        here = Path(place)
        for name in list(folders):
            inner = here / name
            kind = _SHADOWS if is_shadow(name) else None
            if own and file_key(inner) == own:
                kind = _OWN
            elif inner.is_symlink():
                kind = _LINKS  # they may lead anywhere, and in circles
            if kind:
                left[kind] += 1
                folders.remove(name)
            elif is_picture_name(name):
                error = f"{inner} is a folder, not a picture; its own pictures have their own rows."
                yield Source(inner, inner.relative_to(folder), error)
        for name in files:
            file = here / name
            kind = _kind_left_out(file)
            if kind:
                left[kind] += 1
            else:
                yield Source(file, file.relative_to(folder))
    for problem in failed:
        closed = Path(os.fsdecode(problem.filename))
        text = f"The folder {closed} cannot be read: {problem.strerror}."
        yield Source(closed, Path(closed.name or "folder"), text)


def _kind_left_out(file: Path) -> str | None:
    if is_shadow(file.name):
        return _SHADOWS
    if not is_picture_name(file.name):
        return _OTHERS
    return _OWN if is_drawing(file) else None


def _unused(name: Path, used: set[str]) -> Path:
    """The name, or one with a number that is not used yet, upper and lower case taken as one."""
    number, free = 1, name
    while str(free).casefold() in used:
        number += 1
        free = name.with_name(fitting_name(name.stem, f"-{number}{name.suffix}"))
    used.add(str(free).casefold())
    return free
