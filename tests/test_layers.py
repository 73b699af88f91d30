"""The rooms of the package, low to high, and who may import whom: this table says it.

A file imports only rooms that stand left of its own in its wing. `ACROSS` alone reaches from one
wing into the other, and only inside functions.
"""

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "agegenderemo"

BASE = ("errors", "tasks", "types", "files", "hub", "resources", "model_info", "runtime",
        "results", "report", "imaging")  # fmt: skip
RUN = (*BASE, "detection", "inference", "video", "batch", "web", "cli")
TRAIN = (*BASE, "models", "data", "export", "evaluation", "training", "cli")

ACROSS = ("inference/torch_backend.py", "cli/")
"""Files that reach into the training wing, inside functions."""

HEAVY = ("torch", "torchvision", "facenet_pytorch", "onnx", "safetensors", "matplotlib", "timm")
"""What the run-time wing must do without."""

DRAWING = {
    "gradio": ("web/",),
    "plotly": ("web/", "evaluation/plots.py", "cli/video.py"),
    "matplotlib": ("evaluation/plots.py",),
    "av": ("video/", "cli/video.py", "cli/camera.py"),
}
"""Who may draw, or read films, with what."""

FILES = sorted(PACKAGE.rglob("*.py"))


class Import(NamedTuple):
    name: str
    inside: bool  # a function, or what only a type checker reads


def imports(source: str) -> set[Import]:
    """Dotted names that a file imports, ``from a import b`` as ``a.b``, wherever it does."""
    found: set[Import] = set()

    def visit(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the room"
            found.update(Import(f"{node.module}.{one.name}", inside) for one in node.names)
        elif isinstance(node, ast.Import):
            found.update(Import(one.name, inside) for one in node.names)
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        inside = inside or later or typing
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(source), False)
    return found


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def rooms_of(found: set[Import]) -> set[tuple[str, bool]]:
    """Rooms of this package among imports."""
    parts = ((one.name.split("."), one.inside) for one in found)
    return {(names[1], inside) for names, inside in parts if names[0] == "agegenderemo"}


def wrong_rooms(own: str, name: str, found: set[Import]) -> set[str]:
    """Rooms that the file ``name`` of the room ``own`` must not import."""
    wings = [wing for wing in (RUN, TRAIN) if own in wing]
    wrong = set()
    for other, inside in rooms_of(found):
        below = any(other in wing[: wing.index(own) + 1] for wing in wings)
        across = name.startswith(ACROSS) and other in TRAIN and inside
        # The base wing stands left of both; a room of two wings imports the base alone.
        if own == "cli" and other in TRAIN[len(BASE) : -1] and not inside:
            below = False
        if not (below or across or other == "__version__"):
            wrong.add(other)
    return wrong


def in_package(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_the_walk_sees_the_package() -> None:
    assert len(FILES) > 50
    analyzer = imports((PACKAGE / "inference" / "analyzer.py").read_text(encoding="utf-8"))
    assert ("imaging", False) in rooms_of(analyzer)


@pytest.mark.parametrize(
    ("own", "name", "source", "wrong"),
    [
        ("imaging", "imaging/x.py", "from agegenderemo.web import app", {"web"}),
        ("imaging", "imaging/x.py", "from agegenderemo import inference", {"inference"}),
        ("imaging", "imaging/x.py", "def f():\n  import agegenderemo.cli.train", {"cli"}),
        ("imaging", "imaging/x.py", "from agegenderemo.types import Box", set()),
        ("web", "web/x.py", "def f():\n  from agegenderemo.models import heads", {"models"}),
        ("training", "training/x.py", "from agegenderemo.inference import graph", {"inference"}),
        ("cli", "cli/x.py", "from agegenderemo.models import heads", {"models"}),
        ("cli", "cli/x.py", "def f():\n  from agegenderemo.models import heads", set()),
    ],
)
def test_the_rule_catches(own: str, name: str, source: str, wrong: set[str]) -> None:
    assert wrong_rooms(own, name, imports(source)) == wrong


@pytest.mark.parametrize(
    "source",
    ["import torch", "from torch import nn", "import torch.nn as nn", "def f():\n  import torch"],
)
def test_every_way_to_import_is_seen(source: str) -> None:
    assert {one.name.split(".")[0] for one in imports(source)} == {"torch"}


@pytest.mark.parametrize("path", FILES, ids=in_package)
def test_imports_go_down(path: Path) -> None:
    found = imports(path.read_text(encoding="utf-8"))
    own = room(path)
    if own in ("__init__", "__main__"):  # the doors: names only, imported when asked for
        assert {name for name, _ in rooms_of(found)} <= {*RUN}
        return
    assert own in RUN + TRAIN, f"{path.name} stands in no room; add it to the table"
    assert wrong_rooms(own, in_package(path), found) == set()


@pytest.mark.parametrize("path", FILES, ids=in_package)
def test_the_run_time_wing_and_readers_know_no_torch(path: Path) -> None:
    light = room(path) in RUN or in_package(path).startswith("data/readers/")
    heavy = {one for one in imports(path.read_text("utf-8")) if one.name.split(".")[0] in HEAVY}
    if in_package(path).startswith(ACROSS):
        heavy = {one for one in heavy if not one.inside}
    assert not (light and heavy)


@pytest.mark.parametrize("path", FILES, ids=in_package)
def test_drawing_stays_in_its_rooms(path: Path) -> None:
    used = {one.name.split(".")[0] for one in imports(path.read_text(encoding="utf-8"))}
    wrong = [name for name in used & set(DRAWING) if not in_package(path).startswith(DRAWING[name])]
    assert wrong == []


WITHOUT = f"""
import sys

class Blocked:
    wing = {tuple(f"agegenderemo.{name}" for name in TRAIN[len(BASE) : -1])!r}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r} or name.startswith(self.wing):
            raise ImportError(f"blocked: {{name}}")

sys.meta_path.insert(0, Blocked())
import gc, importlib, pkgutil
"""


def run_without(code: str) -> str:
    """Output of code in a process that can import neither torch nor the training wing."""
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT + code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_the_block_blocks() -> None:
    code = """
for name in ("torch.nn", "onnx", "agegenderemo.models.heads"):
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(error)
"""
    assert run_without(code).count("blocked") == 3


def test_every_module_and_the_page_work_without_torch() -> None:
    code = f"""
import agegenderemo
for room in {RUN!r}:
    module = importlib.import_module("agegenderemo." + room)
    for one in pkgutil.walk_packages(getattr(module, "__path__", ()), module.__name__ + "."):
        importlib.import_module(one.name)
        print(one.name)
for name in agegenderemo.__all__:
    getattr(agegenderemo, name)
from agegenderemo.web.app import build_demo
from agegenderemo.web.guard import Store
store = Store()
print(type(build_demo(agegenderemo.Analyzer.from_checkpoint(), store)).__name__)
store.close()
"""
    printed = run_without(code).split()
    assert "agegenderemo.inference.torch_backend" in printed
    assert printed[-1] == "Blocks"


def test_analyze_and_follow_work_without_torch() -> None:
    code = """
from agegenderemo import Analyzer, load_image
from agegenderemo.cli import main
image = load_image("examples/astronaut.jpg")
analyzer = Analyzer.from_checkpoint()
assert len(analyzer.analyze(image)) == 1
tracker = analyzer.tracker()
for frame in range(3):
    tracked = tracker.update(image, frame / 30)
assert [one.track_id for one in tracked] == [1]
assert main(["analyze", "examples/astronaut.jpg", "--json", "-"]) == 0
"""
    assert '"faces": [{' in run_without(code)


@pytest.mark.parametrize("options", [["--help"], ["analyze", "--help"], ["train", "--help"]])
def test_help_needs_nothing(options: list[str]) -> None:
    code = f"""
from agegenderemo.cli import main
try:
    main({options!r})
except SystemExit as end:
    assert end.code == 0
print(sorted(name for name in ("numpy", "onnxruntime", "gradio") if name in sys.modules))
"""
    assert run_without(code).splitlines()[-1] == "[]"


def test_version_needs_no_torch() -> None:
    code = """
from agegenderemo.cli import main
try:
    main(["--version"])
except SystemExit as end:
    assert end.code == 0
"""
    text = run_without(code)
    assert "sha256" in text
    assert "licence" in text
