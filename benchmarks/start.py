"""How long one picture takes from a shell, and how much memory, by engine; and the page's start.

Each run is a process of its own, started in an empty folder. Prints a Markdown table of medians.

    python benchmarks/start.py --page
"""

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 90  # seconds

_ENGINE = """
import json, sys
from agegenderemo import Analyzer
faces = Analyzer.from_checkpoint(engine=sys.argv[2]).analyze(sys.argv[1])
print(json.dumps([face.to_dict() for face in faces]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, default=ROOT / "examples" / "astronaut.jpg")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--page", action="store_true", help="also start the page")
    args = parser.parse_args()
    photo = str(args.photo.resolve())
    command = [sys.executable, "-m", "agegenderemo"]
    ways: dict[str, Callable[[Path], tuple[float, float]]] = {
        "`agegenderemo analyze PHOTO --json -`": lambda folder: measure(
            [*command, "analyze", photo, "--json", "-"], folder
        )
    }
    if find_spec("torch"):
        ways["the same by the torch engine"] = lambda folder: measure(
            [sys.executable, "-c", _ENGINE, photo, "torch"], folder
        )
    if args.page:
        ways["`agegenderemo demo` until the page answers"] = lambda folder: _measure_page(
            [*command, "demo"], folder
        )
    print(f"| from a cold process, medians of {args.runs} | seconds | peak memory |")
    print("| --- | --- | --- |")
    for name, way in ways.items():
        with TemporaryDirectory() as folder:
            way(Path(folder))  # warms the disk
            runs = [way(Path(folder)) for _ in range(args.runs)]
        seconds, megabytes = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"| {name} | {seconds:.2f} | {megabytes:.0f} MB |", flush=True)


def _environment(folder: Path) -> dict[str, str]:
    """Where the package is not installed, this clone of it."""
    found = subprocess.run(
        [sys.executable, "-c", "import agegenderemo"], cwd=folder, stderr=subprocess.DEVNULL
    )
    if found.returncode == 0:
        return dict(os.environ)
    return os.environ | {"PYTHONPATH": str(ROOT)}


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds and megabytes of one run; raises CalledProcessError where it fails."""
    environment = _environment(folder)
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds, usage.ru_maxrss * 1024 / 1e6


def _measure_page(command: list[str], folder: Path) -> tuple[float, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = _environment(folder) | {"GRADIO_SERVER_PORT": str(port)}
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(f"http://127.0.0.1:{port}/"):
            if process.poll() is not None or time.perf_counter() - began > PATIENCE:
                raise subprocess.CalledProcessError(process.returncode or 1, command)
            time.sleep(0.02)
        seconds = time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGTERM)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return seconds, usage.ru_maxrss * 1024 / 1e6


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main()
