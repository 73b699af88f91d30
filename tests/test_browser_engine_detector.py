"""The browser's detector by node's own test runner, on vectors that Python writes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from browser_vectors_detector import write_faces, write_numbers
from test_javascript import ROOT, node

REQUIRED = bool(os.environ.get("AGEGENDEREMO_REQUIRE_BROWSER"))


def run_node(name: str, vectors: Path) -> None:
    assert not REQUIRED or shutil.which("node"), "AGEGENDEREMO_REQUIRE_BROWSER wants Node.js"
    done = subprocess.run(
        [node(), "--test", str(ROOT / "browser" / "tests" / name)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "AGEGENDEREMO_VECTORS": str(vectors)},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "fail 0" in done.stdout
    assert "skipped 0" in done.stdout, done.stdout[-1000:]


def test_numbers_on_the_way_to_a_face(tmp_path: Path) -> None:
    write_numbers(tmp_path)
    run_node("detector.test.mjs", tmp_path)


@pytest.mark.slow
def test_the_same_faces(tmp_path: Path) -> None:
    runtime = os.environ.get("AGEGENDEREMO_RUNTIME")
    assert not REQUIRED or runtime, "AGEGENDEREMO_REQUIRE_BROWSER wants AGEGENDEREMO_RUNTIME"
    if not runtime:
        pytest.skip("AGEGENDEREMO_RUNTIME is not set: no ONNX Runtime for the browser")
    write_faces(tmp_path)
    run_node("detector_networks.test.mjs", tmp_path)
