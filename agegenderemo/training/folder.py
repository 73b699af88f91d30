"""The folder of a run: what lies in it, whether it is over, and what may be written there."""

import csv
import io
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from agegenderemo.errors import CheckpointError
from agegenderemo.files import write_atomically
from agegenderemo.training.settings import WAYS_ON, check_same, settings_digest

STATE = "state.pt"
WEIGHTS = "model.safetensors"
HISTORY = "history.csv"
CONFIG = "config.json"
FINISHED = "finished.json"

_LOCK = "run.lock"

_ALL = (WEIGHTS, "model.onnx", STATE, FINISHED, CONFIG, HISTORY, "history.html", "history.png")


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """While a run writes to its folder; raises CheckpointError where another one does."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / _LOCK, blocking=False):
            yield
    except Timeout:
        raise CheckpointError(
            f"Another process is training in {out}; wait for it, or choose another folder by --out."
        ) from None


History = list[dict[str, Any]]
"""A line an epoch, oldest first: the columns of ``history.csv``."""


def recorded(out: Path) -> dict[str, Any] | None:
    """The settings of the run in a folder; None where there is none."""
    try:
        found = json.loads((out / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def check_free(out: Path, settings: Mapping[str, Any]) -> None:
    """Raises CheckpointError where a new run would overwrite another, or its weights."""
    before = recorded(out)
    if before is not None:
        check_same(out, before, settings)
    for name in (STATE, WEIGHTS):
        if (out / name).exists():
            raise CheckpointError(f"{out / name} is there already, of another run: {WAYS_ON}.")


def clear(out: Path) -> None:
    """Remove what a run left in its folder, and nothing else."""
    for name in _ALL:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / "tensorboard", ignore_errors=True)


def write_settings(out: Path, settings: Mapping[str, Any]) -> None:
    """Say what the run in a folder depends on; it is not finished from now on."""
    write_atomically(out / CONFIG, json.dumps(settings, indent=1).encode())
    (out / FINISHED).unlink(missing_ok=True)


def is_finished(out: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a run with these settings is over in the folder and has left its weights.

    Raises CheckpointError where a run of other settings is.
    """
    before = recorded(out)
    if before is None:
        return False
    check_same(out, before, settings)
    try:
        mark = json.loads((out / FINISHED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(mark == settings_digest(before)) and (out / WEIGHTS).is_file()


def finish(out: Path) -> None:
    """Mark the run as over; raises CheckpointError where its weights are gone."""
    if not (out / WEIGHTS).is_file():
        raise CheckpointError(
            f"The run in {out} is over, but its {WEIGHTS} is gone; remove the folder to train anew."
        )
    write_atomically(out / FINISHED, json.dumps(settings_digest(recorded(out) or {})).encode())


def best_epoch(history: Sequence[Mapping[str, Any]]) -> int:
    """Index of the epoch with the lowest validation loss, the earlier one of two."""
    losses = [line.get("val_total", math.inf) for line in history]
    return losses.index(min(losses))


def write_history(out: Path, history: History) -> None:
    """A line an epoch, and a column for everything that any line has."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text, fieldnames=list(dict.fromkeys(k for line in history for k in line))
    )
    writer.writeheader()
    writer.writerows(history)
    write_atomically(out / HISTORY, text.getvalue().encode())


def read_history(out: Path) -> History:
    """What `write_history` wrote, as numbers."""
    with (out / HISTORY).open(newline="") as file:
        return [
            {key: float(value) for key, value in line.items() if value not in ("", None)}
            for line in csv.DictReader(file)
        ]
