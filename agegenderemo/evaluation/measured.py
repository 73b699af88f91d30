"""What stands beside figures so that they can be trusted later: whose they are, by which code, on
which machine, on which day; and how large and how fast the network is."""

import datetime
import hashlib
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agegenderemo.model_info import HASH_KEY, PRECISION_KEY, ModelInfo, Precision

_RUNS, _WARM = 100, 10


_SAME = (HASH_KEY, PRECISION_KEY, "commit", "machine")


def measured_record(
    name: str,
    info: ModelInfo,
    digest: str,
    figures: Mapping[str, Any],
    device: str,
    precision: Precision = "float",
) -> dict[str, Any]:
    """The record of a measured network as plain JSON types: what it is, the SHA-256 of its weights,
    the digest and seed of its recipe, the commit, machine and date of the measurement, and
    ``figures`` by data set."""
    recipe = json.dumps(dict(info.recipe), sort_keys=True, default=str)
    return {
        "name": name,
        "model": info.model,
        "tasks": [spec.to_dict() for spec in info.tasks],
        "parameters": info.parameters,
        "pixels": info.input.size,
        HASH_KEY: digest,
        PRECISION_KEY: precision,
        "recipe_sha256": hashlib.sha256(recipe.encode()).hexdigest(),
        "recipe": dict(info.recipe),
        "seed": info.recipe.get("seed"),
        "provenance": dict(info.provenance),
        "commit": code_commit(),
        "machine": machine(device),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "figures": dict(figures),
    }


def kept_figures(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a record that was written before, where it is of the same weights, precision,
    code and machine as this one; else none."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        same = all(before[key] == record[key] for key in _SAME)
        return dict(before["figures"]) if same else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def code_commit() -> str | None:
    """The commit of this code, with ``+`` where the package was changed since; None outside a
    repository, and for a wheel that lies within some other one."""

    def git(*command: str) -> str:
        here = Path(__file__).parents[1]
        done = subprocess.run(
            ["git", *command], cwd=here, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)
        return git("rev-parse", "HEAD") + "+" * bool(git("status", "--porcelain", "--", "."))
    except (OSError, subprocess.CalledProcessError):
        return None


def machine(device: str = "cpu") -> dict[str, Any]:
    """Processor, its cores that this process may use, the device, and versions."""
    cuda = device.startswith("cuda") and torch.cuda.is_available()
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "device": torch.cuda.get_device_name(device) if cuda else device,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def latency(run: Callable[[NDArray[np.float32]], object], size: int) -> float:
    """Median milliseconds of one face, 1×3×S×S float32, by an engine, after a few to warm up."""
    face = np.random.default_rng(0).standard_normal((1, 3, size, size), np.float32)
    times = []
    for turn in range(_WARM + _RUNS):
        start = time.perf_counter()
        run(face)
        if turn >= _WARM:
            times.append(time.perf_counter() - start)
    return round(1000 * statistics.median(times), 3)
