"""What the result of a run depends on, as plain JSON types: its configuration, the number of
processes, and the digests of the data, the first weights and the teachers. A run is resumed, or a
step skipped, only where all of it is as it was."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.errors import AgeGenderEmoError, CheckpointError, DatasetError
from agegenderemo.files import sha256
from agegenderemo.training.config import TrainConfig

WAYS_ON = (
    "go on with it as it was started by --resume, keep it and choose another folder by --out, or "
    "remove it by --overwrite"
)

CONTINUED = "continued"
"""In the settings of a run that was made longer: how many epochs it had, and how many were added,
each time. It is not compared."""

_DIGITS = 12  # of a digest, where people read it


def open_sets(config: TrainConfig, prepared: Path) -> tuple[PreparedSet, ...]:
    """The sets of a recipe, from a folder that holds one folder a set.

    Raises DatasetError where one is missing, is named by a path or has crops that were cut by
    another template.
    """
    for name in config.epoch_fractions:
        if Path(name).name != name:
            raise DatasetError(
                f"epoch_fractions names {name!r}; it wants the name of a set in {prepared}."
            )
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
    processes: int = 1,
) -> dict[str, Any]:
    """The configuration, and with it what else the run depends on: the number of processes, and
    SHA-256 digests.

    Raises CheckpointError for a file that is missing.
    """
    return config.to_dict() | {
        "processes": processes,
        "data": {one.name: set_digest(one) for one in sets},
        "crops": {one.name: crops_digest(one) for one in sets},
        "begin_with": [_digest_of_file(path) for path in weights],
        "teachers": [_digest_of_file(path) for path in teachers],
    }


def settings_digest(settings: Mapping[str, Any]) -> str:
    """One digest of all of it."""
    return sha256(json.dumps(settings, sort_keys=True).encode())


def check_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises CheckpointError, which names the first difference and the ways on, where a run that is
    in ``folder`` depended on something else."""
    found = _difference(_completed(before, now), dict(now))
    if found is not None:
        raise CheckpointError(
            f"{folder} was trained with other settings: {found}; put that back, or {WAYS_ON}."
        )


def _completed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run that an earlier version may have begun: what it did not know of was as it
    is by itself."""
    own = set(TrainConfig().to_dict())
    whole = {**before, CONTINUED: now.get(CONTINUED)}
    try:
        config = TrainConfig.from_dict({k: v for k, v in before.items() if k in own})
    except AgeGenderEmoError:  # it could not be begun today; the difference says why
        return whole
    return {**now, **whole, **config.to_dict()}


def _difference(before: Any, now: Any, name: str = "") -> str | None:
    if before == now:
        return None
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            inner = f"{name}.{key}" if name else key
            found = _difference(before.get(key), now.get(key), inner)
            if found is not None:
                return found
        return None
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


def set_digest(one: PreparedSet) -> str:
    """Of the images and what is known of them, wherever they lie."""
    known = [[s.split, dict(s.labels), s.votes, s.race] for s in one.samples]
    return sha256(one.digest.tobytes() + one.source.tobytes() + json.dumps(known).encode())


def crops_digest(one: PreparedSet) -> str:
    """Of how faces were cut: a line of pixels through the middle of each, for all of them are
    gigabytes."""
    return sha256(one.crops[:, one.crops.shape[1] // 2].tobytes())
