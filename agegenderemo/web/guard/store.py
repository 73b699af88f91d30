"""The folder of everything that is uploaded or made: unguessable names, careful opening, an end."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agegenderemo.web.guard.limits import Limits
from agegenderemo.web.guard.names import safe_name
from agegenderemo.web.guard.shares import Shares

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a write says on a full disk, or past what the process or its user may write."""

_TOKEN = re.compile(r"[0-9a-f]{32}")
_RUN = "run-"
_OWN = "the server itself"
_MISSING = "That file is not here (any more)."


class StoreError(Exception):
    """A path that is not a regular file of the store; the message never says why."""

    def __init__(self) -> None:
        super().__init__(_MISSING)


@dataclass(slots=True)
class _Entry:
    address: str
    bytes: int = 0
    permanent: bool = False


class Store:
    """Files as ``FOLDER/<32 random hex>/<name>``: who knows a path reads it, nobody guesses one.

    The folder belongs to this process, which holds a lock on it as long as it lives; folders of
    dead processes are removed when the next one starts. ``parent`` is the system's temporary folder
    unless given. Raises OSError where no folder can be made.
    """

    def __init__(self, limits: Limits | None = None, parent: Path | None = None) -> None:
        self.limits = limits or Limits()
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._files = Shares(self.limits.address_files, 2**31, "files")
        self._bytes = Shares(self.limits.address_bytes, self.limits.all_bytes, "bytes of files")
        base = base_folder(Path(parent or tempfile.gettempdir()))
        with _locked(base):
            _remove_dead(base)
            self.folder = Path(tempfile.mkdtemp(prefix=_RUN, dir=base)).resolve()
            self._descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def new_path(self, name: str, address: str = _OWN, *, permanent: bool = False) -> Path:
        """A fresh path for a file called ``name`` (made safe); its folder exists.

        Raises Refusal where the address has too many files already.
        """
        token = secrets.token_hex(16)
        if address != _OWN:
            self._files.take(address)
        with self._lock:
            self._entries[token] = _Entry(address, permanent=permanent)
        try:
            (self.folder / token).mkdir(mode=0o700)
        except BaseException:
            self._forget(token)
            raise
        return self.folder / token / safe_name(name)

    def create(self, path: Path) -> BinaryIO:
        """A new file at a path of `new_path`, open for writing."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.fdopen(os.open(path, flags, 0o600), "wb")

    def add(self, path: Path, size: int) -> None:
        """Count ``size`` more bytes of an upload; raises Refusal where its address, or all, would
        have too many."""
        entry = self._entries[path.parent.name]
        self._bytes.take(entry.address, size)
        entry.bytes += size

    def keep(self, source: Path) -> Path:
        """A copy of a file of our own, as an example photo, that stays as long as the process."""
        path = self.new_path(source.name, permanent=True)
        shutil.copyfile(source, path)
        return path

    def open(self, path: str | Path) -> BinaryIO:
        """A regular file of the store, open for reading. No link is followed, nothing that blocks
        is opened. Raises StoreError."""
        try:
            folder, token, name = str(path).rsplit("/", 2)
            if folder != str(self.folder) or not _TOKEN.fullmatch(token) or name in ("", ".", ".."):
                raise StoreError
            inner = os.open(token, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW,
                            dir_fd=self._descriptor)  # fmt: skip
            try:
                return _open_regular(name, inner)
            finally:
                os.close(inner)
        except (OSError, ValueError):
            raise StoreError from None

    def has(self, path: str) -> bool:
        """Whether `open` would succeed."""
        try:
            self.open(path).close()
        except StoreError:
            return False
        return True

    @contextlib.contextmanager
    def all_or_nothing(self) -> Iterator[Callable[[str], Path]]:
        """`new_path` for the results of one call: where the block fails, they go at once."""
        made: list[Path] = []

        def new_path(name: str) -> Path:
            made.append(self.new_path(name))
            return made[-1]

        try:
            yield new_path
        except BaseException:
            for path in made:
                self.remove(path)
            raise

    def remove(self, path: Path) -> None:
        """Delete a file of `new_path` at once, with its folder."""
        shutil.rmtree(self.folder / path.parent.name, ignore_errors=True)
        self._forget(path.parent.name)

    def sweep(self, now: float | None = None) -> int:
        """Delete whatever is older than the promise, our own and gradio's alike, and return how
        many files that were. Files that vanish meanwhile do not matter."""
        now = time.time() if now is None else now
        removed = 0
        for folder, _, names in os.walk(self.folder, topdown=False):
            token = Path(folder).name
            if token in self._entries and self._entries[token].permanent:
                continue
            for name in names:
                removed += self._remove_old(Path(folder, name), now)
            if Path(folder) != self.folder and self._is_old(Path(folder), now):
                with contextlib.suppress(OSError):  # not empty yet
                    Path(folder).rmdir()
                    self._forget(token)
        return removed

    def close(self) -> None:
        """Delete everything."""
        for _ in range(3):  # a thread may have made a file meanwhile
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                break
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def _forget(self, token: str) -> None:
        with self._lock:
            entry = self._entries.pop(token, None)
        if entry is not None and entry.address != _OWN:
            self._files.give_back(entry.address)
            self._bytes.give_back(entry.address, entry.bytes)

    def _is_old(self, path: Path, now: float) -> bool:
        try:
            return now - path.lstat().st_mtime > self.limits.keep_seconds
        except OSError:
            return False

    def _remove_old(self, path: Path, now: float) -> bool:
        if not self._is_old(path, now):
            return False
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        # The folder may go with it now, and not only when it is as old.
        with contextlib.suppress(OSError):
            if path.parent != self.folder:
                path.parent.rmdir()
                self._forget(path.parent.name)
        return True


def _open_regular(name: str, folder: int) -> BinaryIO:
    # Without O_NONBLOCK a FIFO would hold this thread until somebody writes into it.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    file = os.open(name, flags, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise StoreError
    return os.fdopen(file, "rb")


def base_folder(parent: Path) -> Path:
    """The folder of all runs of this user, which nobody else may enter."""
    base = parent / f"agegenderemo-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o700)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise OSError(f"{base} belongs to somebody else.")
    base.chmod(0o700)
    return base


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_dead(base: Path) -> None:
    """Folders whose process lives no more: nobody holds their lock. A process number would not
    do, for it is given again."""
    for folder in base.glob(f"{_RUN}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
