"""Where the weights of a run come from, as its checkpoint says it."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

_PARTS = 2  # of a path: three teachers may be called model.safetensors, their folders differ


def sources(paths: Sequence[Path], digests: Sequence[str]) -> list[dict[str, str]]:
    """Path, its last two parts, and SHA-256 of each file: the same wherever a run is made, and
    nobody's home folder."""
    return [
        {"path": "/".join(path.resolve().parts[-_PARTS:]), "sha256": digest}
        for path, digest in zip(paths, digests, strict=True)
    ]


def machine(device: torch.device) -> dict[str, Any]:
    """What rounding depends on, beside the settings of a run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": name, "threads": torch.get_num_threads()}


def other_machine(before: Sequence[Mapping[str, Any]], now: Mapping[str, Any]) -> str | None:
    """A sentence where a run goes on otherwise than it went before."""
    last = before[-1] if before else now
    for key, unit in (("device", ""), ("threads", " threads")):
        if last.get(key) != now[key]:
            return (
                f"Warning: this run was made with {last.get(key)}{unit} so far and goes on with "
                f"{now[key]}: its weights will not be those of a run that was left alone, bit for "
                "bit."
            )
    return None


def commit() -> str | None:
    """The commit of this code, with ``+`` if it was changed since; None outside a repository."""
    here = Path(__file__).parent
    try:
        found, changes = (
            subprocess.run(
                ["git", *command], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", ".."])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found + "+" * bool(changes)
