"""The page's own files: styles, scripts and pieces of HTML."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from agegenderemo.imaging.palette import NEUTRAL_COLOR, class_colors, text_on
from agegenderemo.tasks import TaskSpec, speaks_alone
from agegenderemo.web import words

FOLDER = Path(__file__).parent

_STYLES = ("base", "networks", "live", "photo", "many", "video", "about", "code")
_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const|function|async function|class|let)", re.MULTILINE)


def read(name: str) -> str:
    """The text of a file beside this one."""
    return (FOLDER / name).read_text(encoding="utf-8")


def styles() -> str:
    """The style sheets of all pages."""
    return "\n".join(read(f"css/{name}.css") for name in _STYLES)


def script(*modules: str) -> str:
    """ES modules of ``js/`` as one script, the imported ones first: gradio runs a script as the
    body of a function, in which nothing can be imported."""
    joined = "\n".join(read(f"js/{module}.js") for module in modules)
    return _EXPORT.sub("", _IMPORT.sub("", joined))


def tasks_attribute(tasks: Sequence[TaskSpec]) -> str:
    """The tasks for the page's scripts, as the value of an attribute: JSON, percent-encoded so that
    no class name means anything to HTML or to gradio's templates."""
    return quote(json.dumps(described_tasks(tasks)))


def described_tasks(tasks: Sequence[TaskSpec]) -> dict[str, object]:
    """The tasks for the page's scripts, as plain JSON types."""
    return {
        "tasks": [_described(spec) for spec in tasks],
        "plain": {"color": NEUTRAL_COLOR, "ink": text_on(NEUTRAL_COLOR)},
    }


def _described(spec: TaskSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "kind": spec.kind,
        "unit": spec.unit,
        "title": words.title(spec.name),
        "several": words.title(words.several(spec)),
        "alone": speaks_alone(spec),
        "digits": words.digits(spec),
        "probabilities": spec.probabilities_key,
        "classes": [
            {"name": name, "color": color, "ink": text_on(color)}
            for name, color in class_colors(spec).items()
        ],
    }
