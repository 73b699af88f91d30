"""The browser's reading and tracking by node's own test runner, on vectors that Python writes."""

import os
from pathlib import Path

import pytest
from browser_vectors_reader import write_reader
from browser_vectors_tracker import write_tracker
from browser_vectors_whole import write_whole
from test_browser_engine_detector import REQUIRED, run_node


def test_crops_predictions_and_records(tmp_path: Path) -> None:
    write_reader(tmp_path)
    run_node("reader.test.mjs", tmp_path)


def test_streams_of_people(tmp_path: Path) -> None:
    write_tracker(tmp_path)
    run_node("tracker.test.mjs", tmp_path)


@pytest.mark.slow
def test_whole_pictures_and_films(tmp_path: Path) -> None:
    if not REQUIRED and not os.environ.get("AGEGENDEREMO_RUNTIME"):
        pytest.skip("AGEGENDEREMO_RUNTIME is not set: no ONNX Runtime for the browser")
    write_whole(tmp_path)
    run_node("whole.test.mjs", tmp_path)
