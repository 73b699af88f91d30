"""A file imports only files of lower layers; the list here says which is which."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "agegenderemo"

GROUND = ("labels", "records", "images", "runtime")
PARTS = ("calibration", "models", "readers", "detection", "transforms", "metrics")
LEARN = (
    "distributed",
    "dataset",
    "losses",
    "muon",
    "checkpoint",
    "predictor",
    "teacher",
    "recipes",
    "pool",
)
USE = (
    "preparation",
    "fairness",
    "evaluation",
    "training",
    "tracking",
    "export",
    "analyzer",
    "pipeline",
)
SHOW = ("palette", "results", "goals", "tables", "charts", "figures", "drawing", "web")
ENTRY = ("cli", "__main__", "app", "train")
ORDER = GROUND + PARTS + LEARN + USE + SHOW + ENTRY
"""From the ground up: a file or folder imports only those that stand before it."""


def unit(path: Path) -> str:
    parts = (
        path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT).with_suffix("").parts
    )
    return parts[0]


def imports(path: Path) -> set[str]:
    """Units of the package that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "agegenderemo" and len(parts) > 1:
                found.add(parts[1])
    return found


FILES = [*PACKAGE.rglob("*.py"), ROOT / "app.py", ROOT / "train.py"]


def test_the_walk_sees_the_package() -> None:
    assert len(FILES) > 25
    assert "detection" in imports(PACKAGE / "analyzer.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    me = unit(path)
    if me == "__init__":  # the package's door: names only, imported when asked for
        assert imports(path) <= {"analyzer", "records"}
        return
    assert me in ORDER, f"{path.name} stands in no layer; add it to ORDER"
    below = set(ORDER[: ORDER.index(me)])
    assert imports(path) - {me} <= below


@pytest.mark.parametrize("path", [p for p in FILES if unit(p) in ("readers", "labels", "records")])
def test_readers_know_no_torch(path: Path) -> None:
    assert "import torch" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", [p for p in FILES if unit(p) in GROUND + PARTS + LEARN + USE], ids=lambda p: p.name
)
def test_nothing_below_the_show_layer_draws(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not any(word in text for word in ("plotly", "ImageDraw", "gradio", "matplotlib"))
