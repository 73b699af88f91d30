"""Many photos: files and zips in, a table, CSV, JSON and a zip of annotated pictures out."""

import io
import logging
import os
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

import gradio as gr
from PIL import Image

from agegenderemo.errors import ImageError
from agegenderemo.imaging.draw import annotate
from agegenderemo.imaging.formats import (
    IMAGE_SUFFIXES,
    is_picture_name,
    is_shadow,
    is_shadow_content,
)
from agegenderemo.imaging.load import shrink
from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.results import error_record
from agegenderemo.web.cards import face_table, note
from agegenderemo.web.downloads import csv_text, download_text, full_disk_said, json_text
from agegenderemo.web.guard import Store, StoreError
from agegenderemo.web.guard.names import safe_name, visible
from agegenderemo.web.guard.picture_pool import PicturePool
from agegenderemo.web.guard.zip_names import zip_names
from agegenderemo.web.guard.zips import BAD_ZIP, Budget, ZipError, check_zip
from agegenderemo.web.photo import Photo, read_photo
from agegenderemo.web.picture_input import FilesInput

_log = logging.getLogger(__name__)

MAX_PICTURES = 500
MAX_PICTURE_BYTES = 50 * 2**20
MAX_TOTAL_BYTES = 1000 * 2**20
MAX_JPEG_SIDE = 65_500  # pixels: the format has no more
_MAX_NAME = 200  # characters; a zip may state 65,535
_HINT = "Choose several pictures, or a zip of them."
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
    that does not show."""
    last = PureWindowsPath(PurePosixPath(visible(name)).name).name
    return last[:_MAX_NAME] or "unnamed"


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
    except (*BAD_ZIP, struct.error):
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
        archive = zipfile.ZipFile(file)
        check_zip(archive)
    except ZipError as error:
        yield Item(name, error=str(error))
        return
    except (*BAD_ZIP, struct.error):
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


def analyze_items(
    analyzer: Analyzer,
    items: Iterator[Item],
    annotated: zipfile.ZipFile,
    left: Counter[str] | None = None,
    pool: PicturePool | None = None,
) -> Iterator[dict[str, Any]]:
    """One result a picture in the documented JSON shape, one with an ``error`` for a bad
    one.

    The annotated pictures go into ``annotated`` as JPEG, under names that are unique there;
    ``left`` is told how many faces of a picture were not read. ``pool`` reads them, or else the
    thread that asks.
    """
    for number, item in enumerate(items, start=1):
        if item.content is None:
            yield error_record(item.name, item.error or "")
            continue
        try:
            read = partial(read_photo, analyzer, item.content, item.name)
            photo = pool.run(read) if pool else read()
        except ImageError as error:
            yield error_record(item.name, error)
            continue
        except Exception:  # one picture never ends the run for the others
            _log.exception("A picture could not be analyzed.")
            yield error_record(item.name, "It could not be analyzed.")
            continue
        try:
            drawn = _drawn(photo)
        except Exception:
            _log.exception("A picture could not be drawn.")
        else:
            name = safe_name(f"{number:03}-{Path(item.name).stem}.jpg")
            annotated.writestr(name, drawn)
        if left is not None and photo.left:
            left[item.name] += photo.left
        yield photo.record


def _drawn(photo: Photo) -> bytes:
    stream = io.BytesIO()
    drawn, _ = shrink(annotate(photo.picture.image, photo.faces), MAX_JPEG_SIDE)
    Image.fromarray(drawn).save(stream, "JPEG", quality=88)
    return stream.getvalue()


def batch_page(analyzer: Analyzer, store: Store) -> None:
    """Lay out the Many photos tab and its event."""
    files = FilesInput(
        file_count="multiple",
        file_types=["image", *sorted(IMAGE_SUFFIXES), ".zip"],
        label="Pictures or a zip",
        show_label=False,
        height=180,
        elem_id="batch-input",
    )
    start = gr.Button("Analyze", variant="primary", elem_id="batch-start", elem_classes="narrow")
    message = gr.HTML(note(_HINT, "hint"), elem_id="batch-message")
    with gr.Column(visible=False, elem_id="batch-results") as results:
        table = gr.HTML(elem_id="batch-table", apply_default_css=False)
        with gr.Row(elem_classes="downloads"):
            json_button = gr.DownloadButton("Download JSON", elem_id="batch-json", size="md")
            csv_button = gr.DownloadButton("Download CSV", elem_id="batch-csv", size="md")
            zip_button = gr.DownloadButton("Download pictures", elem_id="batch-zip", size="md")
    start.click(
        _batch_shower(analyzer, store),
        files,
        [message, results, table, json_button, csv_button, zip_button],
        api_visibility="private",
        concurrency_id="batch",
        concurrency_limit=2,  # so that one address, which has one, never holds it
        show_progress_on=[message],
    )


def _batch_shower(
    analyzer: Analyzer, store: Store
) -> Callable[[list[str] | None, gr.Progress], tuple[Any, ...]]:
    pool = PicturePool(1, store.limits.picture_seconds, nice=5)

    def show_batch(
        paths: list[str] | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - gradio finds it by the default
    ) -> tuple[Any, ...]:
        if not paths:
            return note(_HINT, "bad"), *(gr.skip(),) * 5
        total = count_items(paths, store)
        results: list[dict[str, Any]] = []
        left: Counter[str] = Counter()
        shadows: Counter[str] = Counter()
        with full_disk_said(), store.all_or_nothing() as new_path:
            zip_path = new_path("annotated.zip")
            with store.create(zip_path) as file, zipfile.ZipFile(file, "w") as annotated:
                items = read_items(paths, store, shadows)
                for result in analyze_items(analyzer, items, annotated, left, pool):
                    results.append(result)
                    progress((len(results), max(total, len(results))), unit="pictures")
            return (
                note(_summary(results, left, shadows)),
                gr.update(visible=True),
                face_table(results, analyzer.tasks, with_file=True),
                download_text(store, new_path("faces.json"), json_text(results)),
                download_text(store, new_path("faces.csv"), csv_text(results, analyzer.tasks)),
                str(zip_path),
            )

    return show_batch


def _summary(results: Sequence[dict[str, Any]], left: Counter[str], shadows: Counter[str]) -> str:
    faces = sum(len(result.get("faces", ())) for result in results)
    bad = sum("error" in result for result in results)
    text = f"{_counted(len(results) - bad, 'picture')} read, {_counted(faces, 'face')}"
    text += f"; {bad} could not be read, the table says why." if bad else "."
    if left:
        text += f" {_counted(left.total(), 'face')} more in crowded pictures were left out."
    if shadows:
        text += f" {_counted(shadows.total(), 'macOS shadow')} left out."
    return text


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def count_items(paths: Sequence[str | Path], store: Store) -> int:
    """How many pictures `read_items` will yield at most; nothing is unpacked."""
    total = 0
    for path in paths:
        try:
            with store.open(path) as file, zipfile.ZipFile(file) as archive:
                total += sum(not one.is_dir() for one in archive.infolist())
        except (*BAD_ZIP, struct.error, StoreError):
            total += 1
    return min(total, MAX_PICTURES)
