"""A site on the disk: written so that at each moment the old one or the new one is whole."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.files import write_atomically
from agegenderemo.web.static_site.build import DATA, HASH_DIGITS, Site

_HASH = f"[0-9a-f]{{{HASH_DIGITS}}}"
_APP = re.compile(f"app-{_HASH}")
_HASHED = re.compile(rf"(app-{_HASH}/.+|files/[^/]+-{_HASH}\.[^/]+)")


def check_folder(out: Path) -> None:
    """Raise AgeGenderEmoError where ``out`` is anything but a new or empty folder, or a site that
    was written by `write_site`, wholly or in part."""
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise AgeGenderEmoError(f"{out} is no folder; give another --out.")
    if _is_ours(out):
        return
    raise AgeGenderEmoError(
        f"{out} holds other files than a site of this command; give a new folder, --out."
    )


def write_site(site: Site, out: Path) -> None:
    """Write a site into a folder, and delete what only a former one used.

    Raises AgeGenderEmoError for a folder that holds anything else, or cannot be written.
    """
    check_folder(out)
    for name, data in site.files.items():
        path = out / name
        if not (_HASHED.fullmatch(name) and _is(path, data)):
            write_atomically(path, data)
    for path in list(_hashed(out)):
        if path.relative_to(out).as_posix() not in site.files:
            path.unlink()
            with contextlib.suppress(OSError):  # the others of its folder are yet to come
                _remove_empty(path.parent, out)


def _is_ours(out: Path) -> bool:
    names = {path.name for path in out.iterdir()}
    if DATA not in names:
        # A first run that did not come to its end has written only what has a hash.
        return all(name == "files" or _APP.fullmatch(name) for name in names) and all(
            _HASHED.fullmatch(path.relative_to(out).as_posix())
            for path in out.rglob("*")
            if not path.is_dir()
        )
    try:
        data = json.loads((out / DATA).read_text(encoding="utf-8"))
        return bool(_APP.fullmatch(data["app"])) and "network" in data
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _hashed(out: Path) -> Iterator[Path]:
    """Files whose names have a hash, those that a killed run was writing too."""
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if _HASHED.fullmatch(name) and (path.is_symlink() or not path.is_dir()):
            yield path


def _is(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top:
        folder.rmdir()
        folder = folder.parent
