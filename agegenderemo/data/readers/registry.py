"""Names of data sets and how each is read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agegenderemo.data.samples import DatasetIndex
from agegenderemo.errors import DatasetError
from agegenderemo.tasks import TaskSpec
from agegenderemo.types import Template

Read = Callable[[Path], DatasetIndex]


@dataclass(frozen=True, slots=True)
class ReaderSpec:
    """A data set by name: what people call it, how it is read, what its faces are labelled for, and
    the alignment template that its pictures are published in, where it is one of ours. ``own`` is
    for readers of the user's own sets, each of which is called by a name of its own."""

    name: str
    title: str
    read: Read
    tasks: tuple[TaskSpec, ...]
    published_template: Template | None = None
    own: bool = False


READERS: dict[str, ReaderSpec] = {}
"""Every registered reader by the name of its set, in the order of registration."""


def register_reader(
    name: str,
    title: str,
    tasks: tuple[TaskSpec, ...],
    published_template: Template | None = None,
    own: bool = False,
) -> Callable[[Read], Read]:
    """Decorator that adds a reader under ``name``; raises ValueError for a name taken twice."""

    def add(read: Read) -> Read:
        if name in READERS:
            raise ValueError(f"a reader named {name!r} is registered already")
        READERS[name] = ReaderSpec(name, title, read, tasks, published_template, own)
        return read

    return add


def get_reader(name: str) -> ReaderSpec:
    """The spec of a data set; raises DatasetError with the known names for another."""
    if name not in READERS:
        raise DatasetError(f"Unknown data set {name!r}; known are {', '.join(READERS)}.")
    return READERS[name]


def read(name: str, root: str | Path) -> DatasetIndex:
    """Read the data set ``name`` at ``root``.

    Raises DatasetError for an unknown name, a missing folder or an unknown layout.
    """
    reader, root = get_reader(name), Path(root)
    if not root.exists():
        raise DatasetError(
            f"There is nothing at {root}; give the folder or archive of {reader.title}."
        )
    return reader.read(root)
