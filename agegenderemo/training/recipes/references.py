"""The two references of the multi-task study, DEX and SSR-Net, on one set and from scratch."""

from dataclasses import replace

from agegenderemo.data.transforms import Augmentation
from agegenderemo.training.config import Stage, TrainConfig
from agegenderemo.training.recipes.resnet18 import RESNET18_UTKFACE
from agegenderemo.training.recipes.steps import Recipe, Step

_NUMBER = RESNET18_UTKFACE.steps[0].config
_EXPECTED = replace(
    _NUMBER,
    model_options={"neck": "linear", "regression": "expected"},
    stages=(Stage(64, 10), Stage(96, 3)),
)

RESNET18_DEX = Recipe(
    "resnet18-dex",
    "ResNet-18 with a DEX head, the expected value over the years 0 to 100; age and gender on "
    "UTKFace alone, from scratch",
    (Step("resnet18-dex", _EXPECTED),),
)

# 46 thousand parameters cannot remember 17,000 faces: these are seen often, and changed little.
_STAGEWISE = TrainConfig(
    model="ssrnet",
    tasks=("age", "gender"),
    epoch_fractions={"utkface": 1.0},
    balance={"age": 0.2},
    stages=(Stage(64, 20),),
    optimiser="adamw",
    learning_rate=4e-3,
    weight_decay=1e-4,
    dropout_scale=0.5,
    loss_weights={"age": 0.1, "gender": 1.0},
    regression_loss={"age": "l1"},
    augmentation=Augmentation(
        rotation=10, zoom=0.1, shift=0.05, saturation=0, grey=0.2, blur=0, erase=0, noise=0
    ),
)

SSRNET = Recipe(
    "ssrnet",
    "SSR-Net for age, stagewise, and gender on UTKFace alone, from scratch",
    (Step("ssrnet", _STAGEWISE),),
)
