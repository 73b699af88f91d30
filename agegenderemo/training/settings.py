"""What the result of a run depends on, as plain JSON types: its configuration, and the digests of
the data, the first weights and the teachers. A run is resumed, or a step skipped, only where all of
it is as it was."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.errors import CheckpointError, DatasetError
from agegenderemo.files import sha256
from agegenderemo.training.config import TrainConfig

DIGESTS = ("data", "begin_with", "teachers")
"""What stands in the settings beside the configuration."""

_DIGITS = 12  # of a digest, where people read it


def open_sets(config: TrainConfig, prepared: Path) -> tuple[PreparedSet, ...]:
    """The sets of a recipe, from a folder that holds one folder a set.

    Raises DatasetError where one is missing or its crops were cut by another template.
    """
    sets = tuple(PreparedSet.open(prepared / name) for name in config.epoch_fractions)
    for one in sets:
        if one.template != config.template:
            raise DatasetError(
                f"{prepared / one.name} holds crops cut by the template {one.template!r}; the "
                f"recipe wants {config.template!r}."
            )
    return sets


def run_settings(
    config: TrainConfig,
    sets: Sequence[PreparedSet],
    weights: Sequence[Path],
    teachers: Sequence[Path],
) -> dict[str, Any]:
    """The configuration, and with it SHA-256 digests of what else the run depends on.

    Raises CheckpointError for a file that is missing.
    """
    return config.to_dict() | {
        "data": {one.name: _digest_of_set(one) for one in sets},
        "begin_with": [_digest_of_file(path) for path in weights],
        "teachers": [_digest_of_file(path) for path in teachers],
    }


def settings_digest(settings: Mapping[str, Any]) -> str:
    """One digest of all of it."""
    return sha256(json.dumps(settings, sort_keys=True).encode())


def check_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises CheckpointError, which names the first difference, where a run that is in ``folder``
    depended on something else."""
    found = _difference(before, now)
    if found is not None:
        raise CheckpointError(
            f"{folder} was trained with other settings: {found}; put that back, or choose another "
            "--out."
        )


def _difference(before: Any, now: Any, name: str = "") -> str | None:
    if before == now:
        return None
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            inner = f"{name}.{key}" if name else key
            found = _difference(before.get(key), now.get(key), inner)
            if found is not None:
                return found
    return f"{name} was {_short(before)} there and is {_short(now)} now"


def _short(value: Any) -> str:
    """A value for people, digests cut short."""
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return ", ".join(map(_short, value)) or "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:_DIGITS] if len(text) == 64 else text


def _digest_of_file(path: Path) -> str:
    try:
        return sha256(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"There are no weights at {path}.") from error


def _digest_of_set(one: PreparedSet) -> str:
    """Of the images and what is known of them, wherever they lie."""
    known = [[s.split, dict(s.labels), s.votes, s.race] for s in one.samples]
    return sha256(one.digest.tobytes() + one.source.tobytes() + json.dumps(known).encode())
