"""Frames a second of ``agegenderemo video`` on a film of one face, 1280×720: to CSV, and annotated
too. Prints a Markdown table.

    python benchmarks/video.py
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
RATE = 30
FACE = (130, 0, 330, 240)  # of the astronaut: her face with some air


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="length of the film")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--film", type=Path, help="a film of your own in its place")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = args.film or write_film(folder / "film.mp4", args.seconds)
        with av.open(str(film)) as opened:
            frames = sum(1 for _ in opened.decode(video=0))
        print(f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}; {frames} "
              f"frames, medians of {args.runs} runs of the command.\n")  # fmt: skip
        start = measured([sys.executable, "-m", "agegenderemo", "video", str(blink(folder))], 1)
        print("| one face, 1280×720 | frames a second | with the command's start | must |")
        print("| --- | --- | --- | --- |")
        command = [sys.executable, "-m", "agegenderemo", "video", str(film)]
        table = ["--csv", str(folder / "faces.csv")]
        drawn = ["--annotated", str(folder / "drawn.mp4")]
        for what, options, must in (("to CSV", table, 90), ("annotated too", table + drawn, 40)):
            seconds = measured([*command, *options], args.runs)
            print(f"| {what} | {frames / (seconds - start):.0f} | {frames / seconds:.0f} "
                  f"| {must} |")  # fmt: skip


def measured(command: Sequence[str], runs: int) -> float:
    """Median seconds of a command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, env=environment, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def write_film(path: Path, seconds: int) -> Path:
    """One face that goes to and fro before grain, as a camera sees it."""
    photo = Image.open(ROOT / "examples" / "astronaut.jpg").convert("RGB")
    face = photo.crop(FACE).resize((360, 432))
    ground = np.random.default_rng(0).normal(140, 6, (720, 1280, 3)).clip(0, 255).astype(np.uint8)
    with av.open(str(path), "w") as film:
        stream: Any = film.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number in range(seconds * RATE):
            canvas = Image.fromarray(ground)
            canvas.paste(face, (round(460 + 200 * np.sin(number / RATE)), 140))
            frame = av.VideoFrame.from_ndarray(np.asarray(canvas))
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path


def blink(folder: Path) -> Path:
    """A film of a single frame: what the command costs before it reads."""
    path = folder / "blink.mp4"
    with av.open(str(path), "w") as film:
        stream: Any = film.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        film.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((240, 320, 3), np.uint8))))
        film.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    main()
