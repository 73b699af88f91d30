"""How long the network takes for one face and for four, by engine, beside its counted floor.

The floor is the multiplications and additions of the network at the speed at which this machine
multiplies matrices, on one thread. Where the checkpoint has an int8 graph, it is timed in turns
with the others, and its size is told beside that of the float weights. Prints a Markdown table.

    python benchmarks/engine.py [--model NAME|FILE]
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent.parent))

from agegenderemo.inference.backends import OnnxBackend
from agegenderemo.inference.graph import graph_file, read_graph
from agegenderemo.model_info import Precision
from agegenderemo.models.checkpoint import load_checkpoint
from agegenderemo.resources import find_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", "--checkpoint", dest="checkpoint", metavar="NAME|FILE")
    parser.add_argument("--runs", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = find_checkpoint(args.checkpoint)
    checkpoint = load_checkpoint(path)
    model = checkpoint.model.to(memory_format=torch.channels_last)
    size = checkpoint.info.input.size
    engines = {"ONNX Runtime": _engine(path, "float")}
    if graph_file(path, "int8").is_file():
        engines["int8"] = _engine(path, "int8")
        kept, float32 = graph_file(path, "int8").stat().st_size, 4 * checkpoint.info.parameters
        print(f"int8: {kept / 1e6:.1f} MB, {kept / float32:.1%} of the parameters in float32.\n")
    model.eval()
    speed = _matrix_speed()
    print(f"One thread, {size}×{size} pixels, medians of {args.runs}; "
          f"matrices at {speed / 1e9:.0f} GFLOP/s.\n")  # fmt: skip
    names = [*engines, "PyTorch"]
    print(f"| faces | GFLOP | floor | {' | '.join(names)} | speed beside {names[0]} |")
    print("| --- " * (5 + len(names) - 1) + "|")
    for count in (1, 4):
        faces = torch.randn(count, 3, size, size)
        work = _flops(model, faces)
        array = faces.numpy()
        last = faces.contiguous(memory_format=torch.channels_last)
        calls = [*(partial(one, array) for one in engines.values()), partial(model, last)]
        with torch.inference_mode():
            times = _in_turns(calls, args.runs)
        cells = " | ".join(f"{1000 * one:.1f} ms" for one in times)
        ratios = ", ".join(
            f"{name} {times[0] / one:.2f} ×" for name, one in zip(names[1:], times[1:], strict=True)
        )
        print(f"| {count} | {work / 1e9:.2f} | {1000 * work / speed:.1f} ms | {cells} | {ratios} |")


def _engine(path: Path, precision: Precision) -> OnnxBackend:
    info, graph, weights, _ = read_graph(path, precision)
    return OnnxBackend(graph, info, weights)


def _in_turns(calls: Sequence[Callable[[], object]], runs: int) -> list[float]:
    """Median seconds of each. In turns, so that what else the machine does falls on all."""
    times: list[list[float]] = [[] for _ in calls]
    for run in range(runs + 10):
        for call, kept in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if run >= 10:
                kept.append(time.perf_counter() - start)
    return [statistics.median(one) for one in times]


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
