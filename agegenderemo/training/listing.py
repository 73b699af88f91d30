"""Recipes and settings as ``train --help`` lists them."""

import json
from dataclasses import is_dataclass
from typing import Any, Literal, get_args, get_origin

from agegenderemo.training.config import Stage, TrainConfig
from agegenderemo.training.ranges import SETTINGS
from agegenderemo.training.recipes import RECIPES
from agegenderemo.training.values import hints, word_of


def listing() -> str:
    """A line a recipe and a line a setting: name, type with its range, default and purpose."""
    lines = ["recipes:"]
    for recipe in RECIPES.values():
        steps = f" ({len(recipe.steps)} steps)" if len(recipe.steps) > 1 else ""
        teacher = "; wants --teacher" if recipe.wants_face_descriptor else ""
        lines.append(f"  {recipe.name}: {recipe.purpose}{steps}{teacher}")
    lines += ["", "settings for --set NAME=VALUE (values are JSON; defaults are those of a recipe"]
    lines += ["that does not say otherwise):"]
    lines += [f"  {line}" for line in _settings(TrainConfig())]
    return "\n".join(lines)


def _settings(record: Any, before: str = "") -> list[str]:
    lines = []
    for name, hint in hints(type(record)).items():
        value, full = getattr(record, name), f"{before}{name}"
        if is_dataclass(value):
            lines += _settings(value, f"{full}.")
            continue
        setting = SETTINGS[full]
        of_a_mapping = get_origin(hint) is dict
        own = get_args(hint)[1] if of_a_mapping else hint
        kind = ", ".join(filter(None, (_kind(own), setting.words)))
        default = json.dumps(value, default=_plain)
        shown = f"{full}.NAME" if of_a_mapping else full
        lines.append(f"{shown} ({kind}; {default}): {setting.purpose}")
    return lines


def _kind(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return "a list"
    return "any value" if hint is Any else word_of(hint)


def _plain(value: Any) -> Any:
    assert isinstance(value, Stage)
    return [value.size, value.epochs]
