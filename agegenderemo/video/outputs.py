"""Files that a run writes: never over what it reads, and there whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.files import resolved


def check_outputs(inputs: Iterable[Path], outputs: Sequence[Path]) -> None:
    """Raises AgeGenderEmoError, before anything is opened, for an output that is also an input or
    another output, under whatever name, or that cannot be replaced."""
    sources = list(inputs)
    for number, output in enumerate(outputs):
        if output.exists() and not output.is_file():
            raise AgeGenderEmoError(f"{output} is no regular file, so it cannot be written.")
        for source in sources:
            if _same(source, output):
                raise AgeGenderEmoError(f"{output} is read, so it cannot be written; name another.")
        for other in outputs[:number]:
            if _same(other, output):
                raise AgeGenderEmoError(f"{output} is named as the output twice.")


def _same(a: Path, b: Path) -> bool:
    if resolved(a) == resolved(b):
        return True
    with contextlib.suppress(OSError):  # one of them is not there yet
        return a.samefile(b)
    return False


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file open for writing under another name, which takes the place of ``path`` when the block
    ends well, and is deleted when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Where the name is a link, the file that it leads to is replaced.
    target = resolved(path)
    number, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(number, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        temporary.chmod(mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
