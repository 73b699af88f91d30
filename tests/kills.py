"""Kills real training runs at random moments, resumes them, and compares the final weights with
those of a run that was left alone, bit for bit: ``python tests/kills.py [KILLS]`` (default 50)."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from synthetic import prepared_sets  # noqa: E402

from agegenderemo.models.checkpoint import load_state  # noqa: E402

# The FFHQ recipe has the most to remember: plateau, early stopping, best so far.
SETTINGS = (
    'epoch_fractions={"faces": 1, "moods": 1, "bands": 1}', "template=face", "stages=[[32, 4]]",
    "batch=16", "learning_rate=0.003", "plateau_patience=0", "early_stopping=3",
)  # fmt: skip


def command(sets: Path, out: Path) -> list[str]:
    """The training command that is killed."""
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    line = [sys.executable, "train.py", "--recipe", "ffhq", "--prepared", str(sets)]
    return [*line, "--out", str(out), *settings]


def survive(kills: int, folder: Path, seed: int = 0) -> tuple[int, int]:
    """Kill ``kills`` times over as many runs as that takes, and finish each run.

    Returns how many runs were finished and how many kills left a half-written file behind. Raises
    AssertionError when a run ends with other weights or another history.
    """
    chance = random.Random(seed)
    sets = prepared_sets(folder / "sets", count=100)
    whole = folder / "whole"
    began = time.monotonic()
    subprocess.run(command(sets, whole), cwd=ROOT, check=True, capture_output=True)
    duration = time.monotonic() - began
    runs = half_written = 0
    while kills > 0:
        out = folder / f"killed{runs}"
        finished = False
        while not finished:
            process = subprocess.Popen(
                command(sets, out),
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                wait = chance.uniform(0.3, 0.9) * duration if kills > 0 else None
                _, errors = process.communicate(timeout=wait)
                assert process.returncode == 0, errors
                finished = True
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.communicate()
                kills -= 1
                half_written += any(out.glob("*.tmp"))
        runs += 1
        kept, expected = ((f / "model.safetensors").read_bytes() for f in (out, whole))
        assert kept == expected, f"{out}: the kept weights differ"
        # The kept weights may be of an early epoch; the state is that of the last one.
        last, expected_last = (load_state(f / "state.pt")["trainer"] for f in (out, whole))
        assert _same(last, expected_last), f"{out}: the last state differs"
        assert _history(out) == _history(whole), f"{out}: the history differs"
    return runs, half_written


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _history(out: Path) -> list[str]:
    """Lines without the seconds, which are the last column."""
    return [line.rpartition(",")[0] for line in (out / "history.csv").read_text().splitlines()]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as temporary:
        finished_runs, torn = survive(count, Path(temporary))
    print(
        f"{count} kills over {finished_runs} runs, {torn} of them in the middle of a write: every "
        "run ended with the weights and the history of the run that was left alone."
    )
