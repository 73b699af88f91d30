"""Names of networks and how each is built."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.models.heads import MultiTaskNet
from agegenderemo.tasks import TaskSpec
from agegenderemo.types import InputSpec

LoadPublic = Callable[[MultiTaskNet, Path], None]
Fold = Callable[[MultiTaskNet], tuple[MultiTaskNet, dict[str, Any]]]


class Builder(Protocol):
    """Builds a freshly initialised network. A family may take options of its own, by keyword."""

    def __call__(
        self, tasks: Sequence[TaskSpec], *, dropout_scale: float = 1.0
    ) -> MultiTaskNet: ...


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A network by name: how to build it, and what it was designed to see."""

    name: str
    build: Builder
    input: InputSpec
    load_public: LoadPublic | None = None
    """Begins with published weights of another format, where there are such; raises CheckpointError
    for a file that does not hold them."""
    fold: Fold | None = None
    """A copy of a trained network that answers alike with fewer layers, and the options that build
    it; for families that have more branches in training than they need afterwards."""


_SPECS: dict[str, ModelSpec] = {}
_PREFIXES: dict[str, tuple[str, Callable[[str], ModelSpec]]] = {}


def register(
    name: str,
    input: InputSpec,
    load_public: LoadPublic | None = None,
    fold: Fold | None = None,
) -> Callable[[Builder], Builder]:
    """Decorator that adds a builder under ``name``; raises ValueError for a name taken twice."""

    def add(build: Builder) -> Builder:
        if name in _SPECS:
            raise ValueError(f"a model named {name!r} is registered already")
        _SPECS[name] = ModelSpec(name, build, input, load_public, fold)
        return build

    return add


def register_prefix(
    prefix: str, text: str
) -> Callable[[Callable[[str], ModelSpec]], Callable[[str], ModelSpec]]:
    """Decorator that lets a function make the specs of all names with this prefix;
    ``text`` says in a few words what they are."""

    def add(make: Callable[[str], ModelSpec]) -> Callable[[str], ModelSpec]:
        _PREFIXES[prefix] = text, make
        return make

    return add


def model_names() -> tuple[str, ...]:
    """Every registered name, in the order of registration."""
    return tuple(_SPECS)


def model_prefixes() -> dict[str, str]:
    """What each prefix of further names stands for."""
    return {prefix: text for prefix, (text, _) in _PREFIXES.items()}


def get_spec(name: str) -> ModelSpec:
    """The spec of a name; raises AgeGenderEmoError with the known names for another."""
    if name in _SPECS:
        return _SPECS[name]
    for prefix, (_, make) in _PREFIXES.items():
        if name.startswith(prefix):
            return make(name)
    known = ", ".join((*_SPECS, *(f"{prefix}NAME" for prefix in _PREFIXES)))
    raise AgeGenderEmoError(f"Unknown model {name!r}; known are {known}.")


def folded(
    model: MultiTaskNet, name: str, options: Mapping[str, Any]
) -> tuple[MultiTaskNet, dict[str, Any]]:
    """A network of a family, built with these options, as it is deployed, and the options that
    build that: the same network where there is nothing to fold, or it is folded already."""
    fold = get_spec(name).fold
    if fold is None or options.get("folded"):
        return model, dict(options)
    smaller, added = fold(model)
    return smaller, {**options, **added}


@torch.no_grad()
def check_size(model: MultiTaskNet, name: str, size: int) -> None:
    """Raises AgeGenderEmoError where a network of this name cannot read faces of ``size`` ×
    ``size`` pixels: some see one size only, all have a smallest."""
    training = model.training
    try:
        model.eval()(torch.zeros(1, 3, size, size, device=next(model.parameters()).device))
    except (RuntimeError, AssertionError, ValueError) as error:
        why = str(error).strip().partition("\n")[0].rstrip(".")
        raise AgeGenderEmoError(f"{name} cannot read faces of {size} pixels: {why}.") from error
    finally:
        model.train(training)


def create_model(
    name: str, tasks: Sequence[TaskSpec], *, dropout_scale: float = 1.0, **options: Any
) -> MultiTaskNet:
    """A freshly initialised network with a head for each task.

    ``dropout_scale`` multiplies every dropout rate of the design, for runs too short to overfit;
    ``options`` are those of the family. Raises AgeGenderEmoError for an unknown name, TypeError for
    an option that the family does not know.
    """
    return get_spec(name).build(tasks, dropout_scale=dropout_scale, **options)
