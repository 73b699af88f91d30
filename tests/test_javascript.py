"""The page's modules by node's own test runner."""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from agegenderemo.web import live
from agegenderemo.web.assets import script
from agegenderemo.web.sharing import SCRIPTS

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


def test_modules_that_are_joined_share_no_name() -> None:
    """gradio runs each script as the body of a function, where a name that is declared twice is the
    end of all of it."""
    calls = re.compile(r"assets\.script\((.*?)\)").findall
    sources = "".join(path.read_text() for path in (ROOT / "agegenderemo" / "web").glob("*.py"))
    scripts = {"*_SCRIPTS": script(*live._SCRIPTS), "*modules": "\n".join(map(_block, SCRIPTS))}
    for call in set(calls(sources)):
        joined = scripts.get(call) or script(*re.findall(r'"(\w+)"', call))
        check = "new Function('element', 'server', require('fs').readFileSync(0, 'utf8'))"
        done = subprocess.run([node(), "-e", check], input=joined, capture_output=True, text=True)
        assert done.returncode == 0, f"{call}: {done.stderr[-1000:]}"


def _block(modules: tuple[str, ...]) -> str:
    return f"{{{script(*modules)}}}"
