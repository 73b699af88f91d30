"""The backbones of the sources for all three tasks, taught by the shipped network."""

from dataclasses import replace

from agegenderemo.training.config import DistillationWeights, Stage, TrainConfig
from agegenderemo.training.recipes.agegendernet import RACES, STRONG
from agegenderemo.training.recipes.steps import FACE_DESCRIPTOR, SHIPPED_NETWORK, Recipe, Step

# 350,000 faces, the first 200,000 of them small. The shipped network says what it sees of each face
# once, as it is: a third of the time less.
_CONFIG = TrainConfig(
    model="resnet18",
    model_options={"neck": "linear", "regression": "number"},
    epoch_fractions={"utkface": 1.0, "ferplus": 0.5, "fairface": 0.5},
    balance={"age": 0.4, "emotion": 0.15},
    race_weights=RACES,
    stages=(Stage(64, 4), Stage(96, 3)),
    optimiser="muon",
    learning_rate=2e-3,
    regression_unit=10.0,
    weight_decay=0.05,
    loss_weights={"age": 0.05, "gender": 0.5, "emotion": 0.5},
    distillation=DistillationWeights(
        {"age": 0.15, "gender": 2.5, "emotion": 2.0}, features=4.0, distil_labelled_faces=True
    ),
    augmentation=STRONG,
)
_TEACHERS = (FACE_DESCRIPTOR, SHIPPED_NETWORK)

RESNET18_DISTILLED = Recipe(
    "resnet18-distilled",
    "ResNet-18 for age, gender and emotion, taught by the shipped network",
    (Step("resnet18-distilled", _CONFIG, teachers=_TEACHERS),),
)
DENSENET121_DISTILLED = Recipe(
    "densenet121-distilled",
    "DenseNet-121 for age, gender and emotion, taught by the shipped network",
    (Step("densenet121-distilled", replace(_CONFIG, model="densenet121"), teachers=_TEACHERS),),
)
