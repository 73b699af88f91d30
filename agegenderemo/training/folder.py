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
from agegenderemo.files import safetensors_header, sha256, write_atomically
from agegenderemo.training.settings import WAYS_ON, check_same, settings_digest

STATE = "state.pt"
WEIGHTS = "model.safetensors"
HISTORY = "history.csv"
CONFIG = "config.json"
FINISHED = "finished.json"

_LOCK = "run.lock"
_SETTINGS, _TENSORS = "settings", "tensors"  # in the mark of a finished run: digests

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
    """The settings of the run in a folder; None where there is none, or nothing of it is there but
    its settings: a start that is refused, or killed in its first epoch, leaves them behind."""
    if not any((out / name).exists() for name in (STATE, WEIGHTS, FINISHED)):
        return None
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

    Raises CheckpointError where a run of other settings is, or the weights are others.
    """
    before = recorded(out)
    if before is None:
        return False
    check_same(out, before, settings)
    try:
        mark = json.loads((out / FINISHED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    # Versions before kept the digest of the settings alone.
    known = mark if isinstance(mark, dict) else {_SETTINGS: mark}
    if known.get(_SETTINGS) != settings_digest(before) or not (out / WEIGHTS).is_file():
        return False
    if known.get(_TENSORS, _tensors_digest(out)) != _tensors_digest(out):
        raise CheckpointError(
            f"{out / WEIGHTS} is not what the run in this folder ended with; put that back, or "
            f"{WAYS_ON}."
        )
    return True


def finish(out: Path) -> None:
    """Mark the run as over; raises CheckpointError where its weights are gone."""
    if not (out / WEIGHTS).is_file():
        raise CheckpointError(
            f"The run in {out} is over, but its {WEIGHTS} is gone; remove the folder to train anew."
        )
    mark = {_SETTINGS: settings_digest(recorded(out) or {}), _TENSORS: _tensors_digest(out)}
    write_atomically(out / FINISHED, json.dumps(mark).encode())


def _tensors_digest(out: Path) -> str:
    """Of the numbers of the weights alone: calibrating them changes what the file says beside."""
    data = (out / WEIGHTS).read_bytes()
    try:
        start = safetensors_header(data)[1]
    except ValueError:
        start = 0
    return sha256(memoryview(data)[start:])


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
