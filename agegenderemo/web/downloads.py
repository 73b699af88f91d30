"""Results as files for download, and what is said where the disk has no room for them."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from agegenderemo.results import csv_fields, csv_rows
from agegenderemo.tasks import TaskSpec
from agegenderemo.types import RGBImage
from agegenderemo.web.guard import Store
from agegenderemo.web.guard.names import visible
from agegenderemo.web.guard.store import NO_ROOM


def csv_text(results: Iterable[dict[str, Any]], tasks: Sequence[TaskSpec]) -> str:
    """A CSV line a face; a picture without faces, or with an error, has one line too."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, csv_fields(tasks), restval="")
    writer.writeheader()
    for result in results:
        writer.writerows(csv_rows({**result, "file": visible(result["file"])}, tasks))
    return stream.getvalue()


def json_text(results: Any) -> str:
    """Indented JSON that keeps names readable."""
    return json.dumps(results, indent=2, ensure_ascii=False)


def download_text(store: Store, path: Path, text: str) -> str:
    """A new UTF-8 file of the store that holds ``text``, as a download button takes it."""
    with store.create(path) as file:
        file.write(text.encode("utf-8", "replace"))
    return str(path)


def download_picture(store: Store, path: Path, image: RGBImage) -> str:
    """A new JPEG file of the store. Not an array for gradio to save: it would lie under a name that
    follows from its content, which the guard does not serve."""
    with store.create(path) as file:
        Image.fromarray(image).save(file, "JPEG", quality=88)
    return str(path)


@contextmanager
def full_disk_said() -> Iterator[None]:
    """Turns a full disk into one sentence for people (gr.Error)."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise gr.Error(
            "The server's disk is full; try again later.", print_exception=False
        ) from error
