"""Names of networks and how each is built."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agegenderemo.models.heads import MultiTaskNet
from agegenderemo.records import InputSpec


class Builder(Protocol):
    """Builds a freshly initialised network."""

    def __call__(self, *, emotion: bool = True, dropout_scale: float = 1.0) -> MultiTaskNet: ...


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A network by name: how to build it and what it was designed to see."""

    name: str
    build: Builder
    input: InputSpec
    source: str
    load_public: Callable[[MultiTaskNet, Path], None] | None = None
    """Begins with published weights of another format, where there are such."""


_SPECS: dict[str, ModelSpec] = {}


def register(
    name: str,
    input: InputSpec,
    source: str,
    load_public: Callable[[MultiTaskNet, Path], None] | None = None,
) -> Callable[[Builder], Builder]:
    """Decorator that adds a builder under ``name``; raises ValueError for a name taken twice."""

    def add(build: Builder) -> Builder:
        if name in _SPECS:
            raise ValueError(f"a model named {name!r} is registered already")
        _SPECS[name] = ModelSpec(name, build, input, source, load_public)
        return build

    return add


def model_names() -> tuple[str, ...]:
    """Every registered name, in the order of registration."""
    return tuple(_SPECS)


def get_spec(name: str) -> ModelSpec:
    """The spec of a name; raises ValueError with the known names for another."""
    if name not in _SPECS:
        raise ValueError(f"unknown model {name!r}; known are {', '.join(_SPECS)}")
    return _SPECS[name]


def create_model(name: str, *, emotion: bool = True, dropout_scale: float = 1.0) -> MultiTaskNet:
    """A freshly initialised network.

    ``emotion=False`` leaves out the emotion head; ``dropout_scale`` multiplies every dropout rate
    of the design, for runs too short to overfit.
    """
    return get_spec(name).build(emotion=emotion, dropout_scale=dropout_scale)
