"""Many photos: files and zips in, a table, CSV, JSON and a zip of annotated pictures out."""

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import gradio as gr
from PIL import Image

from agegenderemo.errors import ImageError
from agegenderemo.imaging.draw import annotate
from agegenderemo.imaging.load import IMAGE_SUFFIXES, load_image, shrink
from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.results import error_record, picture_record
from agegenderemo.web.cards import face_table, note
from agegenderemo.web.downloads import csv_text, download_path, download_text, json_text

MAX_PICTURES = 500
MAX_PICTURE_BYTES = 50 * 2**20
MAX_TOTAL_BYTES = 1000 * 2**20
MAX_JPEG_SIDE = 65_500  # pixels: the format has no more
_HINT = "Choose several pictures, or a zip of them."


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to read: its shown name, and its content or why there is none."""

    name: str
    content: bytes | None = None
    error: str | None = None


def base_name(name: str) -> str:
    """The last part of a member's name, whichever system wrote it: no folder survives."""
    return PureWindowsPath(PurePosixPath(name).name).name or "unnamed"


def read_items(paths: Sequence[str | Path]) -> Iterator[Item]:
    """The pictures of uploaded files and zips, one at a time and within the limits above.

    Nothing of a zip is written to disk. What cannot be taken is an Item with an error.
    """
    left, budget = MAX_PICTURES, MAX_TOTAL_BYTES
    for path in map(Path, paths):
        items = _zip_items(path, budget) if _is_zip(path) else iter([_file_item(path)])
        for item in items:
            if left == 0:
                yield Item(item.name, error=f"Only {MAX_PICTURES} pictures are read at once.")
                return
            left -= 1
            budget -= len(item.content or b"")
            yield item


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)


def _file_item(path: Path) -> Item:
    if path.stat().st_size > MAX_PICTURE_BYTES:
        return Item(path.name, error=_TOO_LARGE)
    return Item(path.name, path.read_bytes())


def _zip_items(path: Path, budget: int) -> Iterator[Item]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        yield Item(path.name, error="The zip is damaged or not a zip.")
        return
    with archive:
        members = [member for member in archive.infolist() if _wanted(member)]
        if not members:
            yield Item(path.name, error="The zip holds no pictures.")
        for member in members:
            item = _member_item(archive, member, budget)
            budget -= len(item.content or b"")
            yield item


def _wanted(member: zipfile.ZipInfo) -> bool:
    """Not a folder, nor the hidden files that macOS adds."""
    name = base_name(member.filename)
    return not (member.is_dir() or name.startswith(".") or "__MACOSX/" in member.filename)


def _member_item(archive: zipfile.ZipFile, member: zipfile.ZipInfo, budget: int) -> Item:
    name = base_name(member.filename)
    suffix = Path(name).suffix.lower()
    if suffix == ".zip":
        return Item(name, error="A zip inside a zip is not opened.")
    if suffix not in IMAGE_SUFFIXES:
        return Item(name, error="Not a picture (JPEG, PNG, WebP, BMP, GIF, TIFF).")
    if member.flag_bits & 0x1:
        return Item(name, error="Protected by a password; zip it without one.")
    limit = min(MAX_PICTURE_BYTES, budget)
    try:
        with archive.open(member) as stream:
            # The size that the zip states may be a lie: count what comes out.
            content = stream.read(limit + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError):
        return Item(name, error="This entry of the zip is damaged.")
    if len(content) > limit:
        return Item(name, error=_TOO_LARGE if limit == MAX_PICTURE_BYTES else _TOO_MUCH)
    return Item(name, content)


_TOO_LARGE = f"Larger than {MAX_PICTURE_BYTES // 2**20} MB."
_TOO_MUCH = f"The zip unpacks to more than {MAX_TOTAL_BYTES // 2**20} MB; the rest is left out."


def analyze_items(
    analyzer: Analyzer, items: Iterator[Item], annotated: zipfile.ZipFile
) -> Iterator[dict[str, Any]]:
    """One result a picture in the documented JSON shape, one with an ``error`` for a bad
    one.

    The annotated pictures go into ``annotated`` as JPEG, under names that are unique there.
    """
    for number, item in enumerate(items, start=1):
        if item.content is None:
            yield error_record(item.name, item.error or "")
            continue
        try:
            image = load_image(item.content)
            faces = analyzer.analyze(image)
        except ImageError as error:
            sentence = str(error).replace("the image:", f"{item.name}:")
            yield error_record(item.name, sentence)
            continue
        stream = io.BytesIO()
        drawn, _ = shrink(annotate(image, faces), MAX_JPEG_SIDE)
        Image.fromarray(drawn).save(stream, "JPEG", quality=88)
        annotated.writestr(f"{number:03}-{Path(item.name).stem}.jpg", stream.getvalue())
        yield picture_record(item.name, image, faces)


def batch_page(analyzer: Analyzer) -> None:
    """Lay out the Many photos tab and its event."""
    files = gr.File(
        file_count="multiple",
        file_types=["image", ".zip"],
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
        _batch_shower(analyzer),
        files,
        [message, results, table, json_button, csv_button, zip_button],
        api_visibility="private",
        concurrency_id="batch",
        concurrency_limit=1,
        show_progress_on=[message],
    )


def _batch_shower(
    analyzer: Analyzer,
) -> Callable[[list[str] | None, gr.Progress], tuple[Any, ...]]:
    def show_batch(
        paths: list[str] | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - gradio finds it by the default
    ) -> tuple[Any, ...]:
        if not paths:
            return note(_HINT, "bad"), *(gr.skip(),) * 5
        total = count_items(paths)
        zip_path = download_path("annotated.zip")
        results = []
        with zipfile.ZipFile(zip_path, "w") as annotated:
            for result in analyze_items(analyzer, read_items(paths), annotated):
                results.append(result)
                progress((len(results), max(total, len(results))), unit="pictures")
        faces = sum(len(result.get("faces", ())) for result in results)
        bad = sum("error" in result for result in results)
        text = f"{_counted(len(results) - bad, 'picture')} read, {_counted(faces, 'face')}"
        text += f"; {bad} could not be read, the table says why." if bad else "."
        return (
            note(text),
            gr.update(visible=True),
            face_table(results, analyzer.tasks, with_file=True),
            download_text("faces.json", json_text(results)),
            download_text("faces.csv", csv_text(results, analyzer.tasks)),
            str(zip_path),
        )

    return show_batch


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def count_items(paths: Sequence[str | Path]) -> int:
    """How many pictures `read_items` will yield at most; nothing is unpacked."""
    total = 0
    for path in map(Path, paths):
        try:
            with zipfile.ZipFile(path) as archive:
                total += sum(map(_wanted, archive.infolist()))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            total += 1
    return min(total, MAX_PICTURES)
