"""What ``analyze`` writes, and what it must never write over."""

import io
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from agegenderemo.cli.common import Arguments
from agegenderemo.cli.sources import DRAWN_BY, STDIN, file_key, is_drawing
from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.files import PartFile, fitting_name, resolved, write_atomically
from agegenderemo.imaging.formats import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from agegenderemo.types import Face, RGBImage


def check_outputs(args: Arguments, inputs: Sequence[Path]) -> None:
    """Raises AgeGenderEmoError where an output is also an input, looks like a picture, equals
    another output, or cannot be written; nothing has been opened then."""
    files = {f"--{name}": path for name in ("json", "csv") if (path := getattr(args, name))}
    keys = {key: path for path in inputs if (key := file_key(path))}
    names = {_place(path) for path in inputs}
    for option, path in files.items():
        if path == STDIN:
            continue
        if path.is_dir():
            _refuse(option, path, "it is a folder; name a file")
        if path.suffix.lower() in IMAGE_SUFFIXES:
            _refuse(option, path, "it has a picture's suffix, and might be one; name another file")
        if file_key(path) in keys or _place(path) in names:
            _refuse(option, path, "it is also an input; name another file")
        if not path.parent.is_dir():
            _refuse(option, path, f"No such file or directory: {path.parent}")
    folders = {f"--{name}": path for name in ("annotated", "parquet")
               if (path := getattr(args, name))}  # fmt: skip
    for option, path in folders.items():
        files[option] = path
        if path.exists() and not path.is_dir():
            _refuse(option, path, "it is a file; name a folder")
        if file_key(path) in keys:
            _refuse(option, path, "it is also an input; name another folder")
    seen: dict[object, str] = {}
    for option, path in files.items():
        for what in {_place(path), file_key(path) or _place(path)}:
            if seen.setdefault(what, option) != option:
                _refuse(option, path, f"{seen[what]} names it too")


def _refuse(option: str, path: Path, reason: str) -> None:
    raise AgeGenderEmoError(f"{option} {path} is not written: {reason}.")


def _place(path: Path) -> str:
    """Where a name leads, through links, upper and lower case taken as one."""
    return "-" if path == STDIN else str(resolved(path)).casefold()


def open_output(path: Path | None, stack: ExitStack) -> TextIO | None:
    """A text stream to standard output or, under a temporary name until all is done, to a file."""
    import sys

    if path is None:
        return None
    return sys.stdout if path == STDIN else stack.enter_context(PartFile(path))


def drawing_path(folder: Path, relative: Path) -> Path:
    """Where the drawing of a picture lies, unless something else is in its place."""
    return folder / relative.with_name(fitting_name(*_drawing_name(relative)))


def _drawing_name(relative: Path) -> tuple[str, str]:
    suffix = f"{relative.suffix}.png" if relative.suffix.lower() in IMAGE_SUFFIXES else ".png"
    return (relative.stem if suffix != ".png" else relative.name), suffix


def save_drawing(image: "RGBImage", faces: "Sequence[Face]", folder: Path, relative: Path) -> None:
    """The picture with its faces drawn in, as PNG below the folder under its whole old name: a.jpg
    and a.png do not collide. Only drawings of earlier runs are written over."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from agegenderemo.imaging.draw import annotate

    note = PngInfo()
    note.add_text("Software", DRAWN_BY)
    stream = io.BytesIO()
    Image.fromarray(annotate(image, faces)).save(stream, "PNG", pnginfo=note)
    stem, suffix = _drawing_name(relative)
    number, path = 1, drawing_path(folder, relative)
    while (path.exists() or path.is_symlink()) and not is_drawing(path):
        number += 1
        path = path.with_name(fitting_name(stem, f"-{number}{suffix}"))
    write_atomically(path, stream.getbuffer())
