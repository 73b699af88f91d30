"""The course project of the sources: ResNet-18 for two tasks on one set, from scratch."""

from agegenderemo.training.config import Stage, TrainConfig
from agegenderemo.training.recipes.agegendernet import STRONG
from agegenderemo.training.recipes.steps import Recipe, Step

# 17,000 faces from scratch are soon remembered: they are changed much, and seen 26 times. The
# first eight of these are small, at less than half the time.
_CONFIG = TrainConfig(
    model="resnet18",
    model_options={"neck": "linear", "regression": "number"},
    tasks=("age", "gender"),
    epoch_fractions={"utkface": 1.0},
    balance={"age": 0.2},
    stages=(Stage(64, 8), Stage(96, 18)),
    optimiser="muon",
    learning_rate=2e-3,
    weight_decay=0.1,
    regression_unit=10.0,
    dropout_scale=1.0,
    loss_weights={"age": 0.1, "gender": 1.0},
    regression_loss={"age": "l1"},
    augmentation=STRONG,
)

RESNET18_UTKFACE = Recipe(
    "resnet18-utkface",
    "ResNet-18 for age and gender on UTKFace alone, from scratch: the course project",
    (Step("resnet18-utkface", _CONFIG),),
)
