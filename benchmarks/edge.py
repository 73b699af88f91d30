"""What networks of the package, or those named, cost at the edge: without PyTorch, on one core.

A row a network and precision: the files of its weights and graph, a face alone, a photo from a cold
process with the memory that it took, and a stream of 640×480 pixels with one face, followed as Live
and `agegenderemo video` do. Prints a Markdown table of medians.

    python benchmarks/edge.py
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from films import PANEL, picture
from start import ROOT, measure

from agegenderemo import Analyzer
from agegenderemo.inference.graph import graph_file
from agegenderemo.model_info import Precision
from agegenderemo.resources import find_checkpoint, shipped_checkpoints

PHOTO = ROOT / "examples" / "astronaut.jpg"
PRECISIONS: tuple[Precision, ...] = ("float", "int8")
RATE = 30.0  # frames a second of the stream, by whose clock faces are searched and read again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="default: what comes with the package")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--frames", type=int, default=300)
    args = parser.parse_args()
    print("| network | precision | files | a face | a photo, cold | memory | a stream |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    paths = [find_checkpoint(one) for one in args.models] or shipped_checkpoints()
    every = [(path, own) for path in paths for own in PRECISIONS if graph_file(path, own).is_file()]
    # All before a network is open here: Linux counts what the parent held into a child's peak.
    photos = [_photo(path, precision, args.runs) for path, precision in every]
    for (path, precision), (seconds, memory) in zip(every, photos, strict=True):
        megabytes = (path.stat().st_size + graph_file(path, precision).stat().st_size) / 1e6
        analyzer = Analyzer.from_checkpoint(path, precision=precision)
        face, rate = _face(analyzer), _stream(analyzer, args.frames)
        print(
            f"| {path.stem} | {precision} | {megabytes:.1f} MB | {face:.1f} ms | "
            f"{seconds:.2f} s | {memory:.0f} MB | {rate:.0f} frames/s |",
            flush=True,
        )


def _photo(path: Path, precision: Precision, runs: int) -> tuple[float, float]:
    """Seconds and megabytes of ``agegenderemo analyze``."""
    words = ["--model", str(path), "--precision", precision, "--json", "-"]
    command = [sys.executable, "-m", "agegenderemo", "analyze", str(PHOTO), *words]
    with TemporaryDirectory() as folder:
        measure(command, Path(folder))  # warms the disk
        columns = zip(*(measure(command, Path(folder)) for _ in range(runs)), strict=True)
    seconds, memory = map(statistics.median, columns)
    return seconds, memory


def _face(analyzer: Analyzer) -> float:
    """Milliseconds of one aligned face, read once."""
    seen = np.asarray(picture(1, 0.0))
    crop = analyzer.crops(seen, analyzer.find(seen).detections)
    spent = []
    for _ in range(60):
        began = time.perf_counter()
        analyzer.read(crop, mirror=False)
        spent.append(1000 * (time.perf_counter() - began))
    return statistics.median(spent[10:])


def _stream(analyzer: Analyzer, frames: int) -> float:
    """Frames a second that one core follows, of a face that moves to and fro."""
    tracker = analyzer.tracker()
    film = [np.asarray(picture(1, 40 * np.sin(2 * np.pi * k / PANEL))) for k in range(PANEL)]
    tracker.update(film[0], 0.0)
    began = time.perf_counter()
    for k in range(1, frames + 1):
        assert tracker.update(film[k % PANEL], k / RATE)
    return frames / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
