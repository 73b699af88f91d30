"""How long the network takes for one face and for four, by engine, beside its counted floor.

The floor is the multiplications and additions of the network at the speed at which this machine
multiplies matrices, on one thread. Prints a Markdown table.

    python benchmarks/engine.py
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent.parent))

from agegenderemo.inference.backends import OnnxBackend
from agegenderemo.inference.graph import read_graph
from agegenderemo.models.checkpoint import load_checkpoint
from agegenderemo.resources import default_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--runs", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(args.checkpoint)
    model = checkpoint.model.to(memory_format=torch.channels_last)
    size = checkpoint.info.input.size
    info, graph, weights, _ = read_graph(args.checkpoint)
    engine = OnnxBackend(graph, info, weights)
    model.eval()
    speed = _matrix_speed()
    print(f"One thread, {size}×{size} pixels, medians of {args.runs}; "
          f"matrices at {speed / 1e9:.0f} GFLOP/s.\n")  # fmt: skip
    print("| faces | GFLOP | floor | ONNX Runtime | PyTorch | PyTorch / ONNX Runtime |")
    print("| --- | --- | --- | --- | --- | --- |")
    for count in (1, 4):
        faces = torch.randn(count, 3, size, size)
        work = _flops(model, faces)
        array = faces.numpy()
        last = faces.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            # In turns, so that what else the machine does falls on both.
            ours, theirs = _in_turns(lambda: engine(array), lambda: model(last), args.runs)  # noqa: B023
        print(
            f"| {count} | {work / 1e9:.2f} | {1000 * work / speed:.1f} ms | {1000 * ours:.1f} ms "
            f"| {1000 * theirs:.1f} ms | {theirs / ours:.2f} |"
        )


def _in_turns(
    first: Callable[[], object], second: Callable[[], object], runs: int
) -> tuple[float, float]:
    """Median seconds of each."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 10):
        for call, kept in zip((first, second), times, strict=True):
            start = time.perf_counter()
            call()
            if run >= 10:
                kept.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def _flops(model: torch.nn.Module, faces: torch.Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with counter:
        model(faces)
    return int(counter.get_total_flops())


def _matrix_speed() -> float:
    """Floating-point operations a second of a large matrix product."""
    side = 1024
    a = torch.randn(side, side)
    best = min(_timed(lambda: a @ a) for _ in range(20))
    return float(2 * side**3 / best)


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
