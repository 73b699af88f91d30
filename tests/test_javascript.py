"""The page's modules by node's own test runner."""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def node() -> str:
    """Node.js of this machine, or the one that Playwright brings."""
    found = shutil.which("node")
    spec = find_spec("playwright")
    brought = Path(spec.origin).parent / "driver" / "node" if spec and spec.origin else None
    if not found and brought and brought.is_file():
        found = str(brought)
    if not found:
        pytest.skip("Node.js is not installed, and Playwright, which brings it, is not either")
    return found


def test_the_modules_of_the_page() -> None:
    tests = sorted(map(str, (ROOT / "tests" / "js").glob("*.test.mjs")))
    assert tests
    done = subprocess.run([node(), "--test", *tests], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "# fail 0" in done.stdout or "fail 0" in done.stdout
