"""Results as files for download."""

import csv
import io
import json
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from agegenderemo.results import csv_fields, csv_rows
from agegenderemo.tasks import TaskSpec


def csv_text(results: Iterable[dict[str, Any]], tasks: Sequence[TaskSpec]) -> str:
    """A CSV line a face; a picture without faces, or with an error, has one line too."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, csv_fields(tasks), restval="")
    writer.writeheader()
    for result in results:
        writer.writerows(csv_rows(result, tasks))
    return stream.getvalue()


def json_text(results: Any) -> str:
    """Indented JSON that keeps names readable."""
    return json.dumps(results, indent=2, ensure_ascii=False)


def download_path(name: str) -> Path:
    """A fresh path in gradio's own temporary folder: it is served from there without a copy, and
    removed with the rest of that folder when it is old (`delete_cache`)."""
    folder = Path(get_upload_folder()) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    return folder / name


def download_text(name: str, text: str) -> str:
    """Path of a UTF-8 file ``name`` that holds ``text``, ready for a download button."""
    path = download_path(name)
    path.write_text(text, encoding="utf-8")
    return str(path)
