"""What a recipe is: a name, a purpose, and its steps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.training.config import TrainConfig, with_settings

FACE_DESCRIPTOR = "face_descriptor"
"""Stands, among steps, for the file of the public face network's weights."""

SHIPPED_NETWORK = "shipped-network"
"""Stands, among steps, for the checkpoint that comes with the package."""


@dataclass(frozen=True, slots=True)
class Step:
    """One training run. It begins with the mean of the weights of ``begin_with``, and learns from
    ``teachers`` beside its labels: earlier steps of the recipe, `FACE_DESCRIPTOR` or
    `SHIPPED_NETWORK`."""

    name: str
    config: TrainConfig
    begin_with: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """Steps in the order in which they run; the weights of the last are what it is for.

    Raises AgeGenderEmoError for a step without its own name, or one that wants a later one.
    """

    name: str
    purpose: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        known = {FACE_DESCRIPTOR, SHIPPED_NETWORK}
        if not self.steps:
            raise AgeGenderEmoError(f"The recipe {self.name!r} has no steps.")
        for step in self.steps:
            missing = sorted({*step.begin_with, *step.teachers} - known)
            if missing:
                raise AgeGenderEmoError(
                    f"The step {step.name!r} of {self.name!r} wants {missing[0]!r}, which is no "
                    "earlier step."
                )
            if step.name in known:
                raise AgeGenderEmoError(f"Two steps of {self.name!r} are named {step.name!r}.")
            known.add(step.name)

    @property
    def wants_face_descriptor(self) -> bool:
        """Whether a step begins with the public face network's weights or learns from them."""
        return any(FACE_DESCRIPTOR in (*s.begin_with, *s.teachers) for s in self.steps)

    def with_settings(self, settings: Sequence[str]) -> "Recipe":
        """The recipe with ``NAME=VALUE`` changes in every step; raises AgeGenderEmoError as
        `agegenderemo.training.config.with_settings` does."""
        steps = (replace(step, config=with_settings(step.config, settings)) for step in self.steps)
        return replace(self, steps=tuple(steps))
