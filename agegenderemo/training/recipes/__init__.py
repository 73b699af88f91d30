"""Named recipes: what a run is for, and its steps. They are data; `agegenderemo.training.chain`
runs them."""

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.training.recipes.agegendernet import AGEGENDERNET_V1, QUICK
from agegenderemo.training.recipes.distilled import DENSENET121_DISTILLED, RESNET18_DISTILLED
from agegenderemo.training.recipes.ffhq import FFHQ
from agegenderemo.training.recipes.mobileone import (
    DISTILLATION_STUDY,
    MOBILEONE_EDGE,
    MOBILEONE_EDGE_S0,
)
from agegenderemo.training.recipes.phases import FROZEN_EMOTION, FROZEN_EMOTION_UNSEEN, MIXED
from agegenderemo.training.recipes.references import RESNET18_DEX, SSRNET
from agegenderemo.training.recipes.resnet18 import RESNET18_UTKFACE
from agegenderemo.training.recipes.steps import FACE_DESCRIPTOR, SHIPPED_NETWORK, Recipe, Step
from agegenderemo.training.recipes.study import STUDY_ALEXNET, STUDY_DENSENET121, STUDY_RESNET18

__all__ = ["FACE_DESCRIPTOR", "RECIPES", "SHIPPED_NETWORK", "Recipe", "Step", "get_recipe"]

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        QUICK,
        AGEGENDERNET_V1,
        FFHQ,
        MOBILEONE_EDGE,
        MOBILEONE_EDGE_S0,
        DISTILLATION_STUDY,
        RESNET18_UTKFACE,
        RESNET18_DEX,
        SSRNET,
        RESNET18_DISTILLED,
        DENSENET121_DISTILLED,
        STUDY_ALEXNET,
        STUDY_RESNET18,
        STUDY_DENSENET121,
        FROZEN_EMOTION,
        FROZEN_EMOTION_UNSEEN,
        MIXED,
    )
}


def get_recipe(name: str) -> Recipe:
    """The recipe of a name; raises AgeGenderEmoError with the known names for another."""
    if name not in RECIPES:
        raise AgeGenderEmoError(f"Unknown recipe {name!r}; known are {', '.join(RECIPES)}.")
    return RECIPES[name]
