"""What is read for the Many page: the pictures of uploaded files and zips, one after another."""

import io
import logging
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

from PIL import Image

from agegenderemo.batch.pool import cores, map_ordered
from agegenderemo.errors import ImageError
from agegenderemo.imaging.draw import annotate
from agegenderemo.imaging.formats import (
    is_picture_name,
    is_shadow,
    is_shadow_content,
)
from agegenderemo.imaging.load import shrink
from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.results import error_record
from agegenderemo.types import Box, RGBImage
from agegenderemo.web.cards import crop_url
from agegenderemo.web.guard import Limits, Store, StoreError
from agegenderemo.web.guard.names import visible
from agegenderemo.web.guard.picture_pool import PicturePool
from agegenderemo.web.guard.zip_names import zip_names
from agegenderemo.web.guard.zips import BAD_ZIP, Budget, ZipError, open_zip
from agegenderemo.web.reading import Photo, read_photo

_log = logging.getLogger(__name__)

MAX_PICTURES = 500
MAX_PICTURE_BYTES = 50 * 2**20
MAX_TOTAL_BYTES = 1000 * 2**20
MAX_JPEG_SIDE = 65_500  # pixels: the format has no more
_MAX_CROPS = 40  # faces of a picture that the table shows
_CROP_SIDE = 72  # pixels
_WORTH_PROCESSES = 20  # pictures: as many are read while a process starts
_MAX_PROCESSES = 4  # of one batch; each has a network of its own in memory
_NICE = 5
_LOST = "It could not be read: it takes too much memory or time, or is damaged."
_MAX_NAME = 200  # characters; a zip may state 65,535
_DAMAGED = "The zip is damaged or not a zip."
_TOO_LARGE = f"Larger than {MAX_PICTURE_BYTES // 2**20} MB."
_TOO_MUCH = f"There is more than {MAX_TOTAL_BYTES // 2**20} MB in all; the rest is left out."


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to read: its shown name, and its content or why there is none; with neither it
    is a shadow of macOS."""

    name: str
    content: bytes | None = None
    error: str | None = None


def base_name(name: str) -> str:
    """The last part of a member's name, whichever system wrote it: no folder survives, and nothing
    that does not show. A long one is cut before its suffix, which says whether it is a picture."""
    last = PureWindowsPath(PurePosixPath(visible(name)).name)
    if len(last.name) > _MAX_NAME >= 2 * len(last.suffix):
        return last.name[: _MAX_NAME - len(last.suffix)] + last.suffix
    return last.name[:_MAX_NAME] or "unnamed"


def read_items(
    paths: Sequence[str | Path], store: Store, shadows: Counter[str] | None = None
) -> Iterator[Item]:
    """The pictures of uploaded files and zips, which lie in the store, one at a time and within the
    limits above.

    Nothing of a zip is written to disk. What cannot be taken is an Item with an error; the files
    that macOS keeps beside others are counted in ``shadows`` alone.
    """
    left, budget = MAX_PICTURES, Budget(MAX_TOTAL_BYTES)
    shadows = Counter() if shadows is None else shadows
    for path in map(Path, paths):
        for item in _items_of(path, store, budget):
            if item.error is None and (item.content is None or is_shadow_content(item.content)):
                shadows[item.name] += 1
                continue
            if left == 0:
                error = f"Only {MAX_PICTURES} pictures are read at once; the rest is left out."
                yield Item(item.name, error=error)
                return
            left -= 1
            yield item


def _items_of(path: Path, store: Store, budget: Budget) -> Iterator[Item]:
    try:
        file = store.open(path)
    except StoreError as error:
        yield Item(path.name, error=str(error))
        return
    with file:
        if _is_zip(file, path):
            yield from _zip_items(file, path.name, budget)
        else:
            yield _file_item(file, path.name, budget)


def _is_zip(file: BinaryIO, path: Path) -> bool:
    try:
        return path.suffix.lower() == ".zip" or zipfile.is_zipfile(file)
    except BAD_ZIP:
        return False
    finally:
        file.seek(0)


def _file_item(file: BinaryIO, name: str, budget: Budget) -> Item:
    size = os.fstat(file.fileno()).st_size
    if size > MAX_PICTURE_BYTES:
        return Item(name, error=_TOO_LARGE)
    if size > budget.left:
        return Item(name, error=_TOO_MUCH)
    budget.left -= size
    return Item(name, file.read())


def _zip_items(file: BinaryIO, name: str, budget: Budget) -> Iterator[Item]:
    try:
        archive = open_zip(file)
    except ZipError as error:
        yield Item(name, error=str(error))
        return
    except BAD_ZIP:
        yield Item(name, error=_DAMAGED)
        return
    with archive:
        members = [one for one in archive.infolist() if not one.is_dir()]
        if all(is_shadow(one.filename) for one in members):
            yield Item(name, error="The zip holds no pictures.")
        for member, meant in zip(members, zip_names(members), strict=True):
            yield _member_item(archive, member, meant, budget)


def _member_item(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, meant: str, budget: Budget
) -> Item:
    name = base_name(meant)
    if is_shadow(member.filename):
        return Item(name)
    if Path(name).suffix.lower() == ".zip":
        return Item(name, error="A zip inside a zip is not opened.")
    if not is_picture_name(name):
        return Item(name, error="Not a picture (JPEG, PNG, HEIC, WebP, TIFF, …).")
    if member.flag_bits & 0x1:
        return Item(name, error="Protected by a password; zip it without one.")
    try:
        return Item(name, budget.read(archive, member, MAX_PICTURE_BYTES))
    except ZipError as error:
        return Item(name, error=str(error))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one picture: its result in the documented JSON shape, or one with an
    ``error``; how many of its faces were not read; the picture with its faces marked, as JPEG; and
    the faces as small pictures (data URLs), or the whole one where it has none."""

    record: dict[str, Any]
    left: int = 0
    drawn: bytes | None = None
    crops: tuple[str, ...] = ()


def read_item(analyzer: Analyzer, item: Item) -> Outcome:
    """Read one picture; nothing that it holds is an exception."""
    if item.content is None:
        return failed(item, item.error or "")
    try:
        photo = read_photo(analyzer, item.content, item.name)
    except ImageError as error:
        return failed(item, error)
    except Exception:  # one picture never ends the run for the others
        _log.exception("A picture could not be analyzed.")
        return failed(item, "It could not be analyzed.")
    try:
        image = photo.picture.image
        boxes = [face.box for face in photo.faces[:_MAX_CROPS]] or [_whole(image)]
        crops = tuple(crop_url(image, box, _CROP_SIDE) for box in boxes)
        return Outcome(photo.record, photo.left, _drawn(photo), crops)
    except Exception:
        _log.exception("A picture could not be drawn.")
        return Outcome(photo.record, photo.left)


def failed(item: Item, error: Exception | str) -> Outcome:
    """Of a picture that cannot be read."""
    return Outcome(error_record(item.name, error))


@dataclass(frozen=True, slots=True)
class _Reader:
    """What a process of the pool does."""

    analyzer: Analyzer

    def start(self) -> "_Reader":
        os.nice(_NICE)  # live frames go first
        return self

    def __call__(self, item: Item) -> Outcome:
        return read_item(self.analyzer, item)


ReadFirst = Callable[[Iterator[Item]], Generator[Outcome, None, Sequence[Item]]]
"""Yields the outcomes of what it takes, in order; its value are those of them that it left."""


def read_all(
    analyzer: Analyzer,
    items: Iterator[Item],
    count: int,
    limits: Limits,
    pool: PicturePool,
    first: ReadFirst | None = None,
) -> Generator[Outcome, None, None]:
    """The outcome of each item, in their order. Where there are many, processes of their own read
    them, as for the command line, each picture within the seconds that the limits allow; a few
    are read by a thread of ``pool`` before such a process would be ready. ``first`` reads as many
    as it will before that."""
    if first is not None:
        left = yield from first(items)
        items = chain(left, items)
        if (one := next(items, None)) is None:
            return
        items = chain([one], items)
    if count >= _WORTH_PROCESSES:
        workers = min(_MAX_PROCESSES, max(1, cores() // 4))
        lost = partial(failed, error=_LOST)
        start = _Reader(analyzer).start
        yield from map_ordered(start, items, workers, lost, limits.picture_seconds)
        return
    for item in items:
        try:
            yield pool.run(partial(read_item, analyzer, item))
        except ImageError as error:
            yield failed(item, error)


def _whole(image: RGBImage) -> Box:
    height, width = image.shape[:2]
    side = min(height, width)
    x, y, half = width / 2, height / 2, side / 3  # a crop has a margin around it
    return (x - half, y - half, x + half, y + half)


def _drawn(photo: Photo) -> bytes:
    stream = io.BytesIO()
    drawn, _ = shrink(annotate(photo.picture.image, photo.faces), MAX_JPEG_SIDE)
    Image.fromarray(drawn).save(stream, "JPEG", quality=88)
    return stream.getvalue()


def count_items(paths: Sequence[str | Path], store: Store) -> int:
    """How many pictures `read_items` will yield at most; nothing is unpacked."""
    total = 0
    for path in paths:
        try:
            with store.open(path) as file, open_zip(file) as archive:
                members = archive.infolist()
                total += sum(not (one.is_dir() or is_shadow(one.filename)) for one in members)
        except (*BAD_ZIP, StoreError):
            total += 1
    return min(total, MAX_PICTURES)
