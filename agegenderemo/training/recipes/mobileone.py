"""The networks for the edge: small, taught by AgeGenderNet."""

from dataclasses import replace

from agegenderemo.training.config import DistillationWeights, Stage, TrainConfig
from agegenderemo.training.recipes.agegendernet import RACES, STRONG
from agegenderemo.training.recipes.steps import FACE_DESCRIPTOR, SHIPPED_NETWORK, Recipe, Step

_S2 = TrainConfig(
    model="mobileone_s2",
    tasks=("age", "gender", "emotion6"),
    epoch_fractions={"utkface": 1.0, "ferplus": 0.5, "fairface": 0.5},
    balance={"age": 0.4, "emotion": 0.15},
    race_weights=RACES,
    stages=(Stage(64, 7), Stage(96, 3)),
    optimiser="muon",
    learning_rate=4e-3,
    regression_unit=10.0,
    weight_decay=0.05,
    dropout_scale=0.3,
    loss_weights={"age": 0.05, "gender": 0.5, "emotion": 0.5},
    distillation=DistillationWeights(
        {"age": 0.15, "gender": 2.5, "emotion": 2.0}, features=4.0, distil_labelled_faces=True
    ),
    online_distillation=True,
    augmentation=STRONG,
)

_TEACHERS = (FACE_DESCRIPTOR, SHIPPED_NETWORK)

MOBILEONE_EDGE = Recipe(
    "mobileone-edge",
    "MobileOne-S2 with the six emotions of the retail report, taught by the shipped network",
    (Step("mobileone-edge", _S2, teachers=_TEACHERS),),
)

# One branch a layer, where the paper has four, and what the shipped network says of each face once,
# as it is: each makes a face less than half the work, or nearly so (docs/experiments.md). A number
# without bounds said that somebody is 2,251 years old; an expected value got stuck at 23 years for
# all children. Without a ceiling for activations one picture in two thousand blew them up.
_S0 = replace(
    _S2,
    model="mobileone_s0",
    model_options={"branches": 1, "ceiling": 16, "regression": "bounded"},
    epoch_fractions={"utkface": 1.0, "ferplus": 0.7, "fairface": 0.4},
    stages=(Stage(64, 10), Stage(96, 11)),
    batch=256,
    learning_rate=5e-3,
    online_distillation=False,
)
MOBILEONE_EDGE_S0 = Recipe(
    "mobileone-edge-s0",
    "the same with MobileOne-S0, a fifth of the size",
    (Step("mobileone-edge-s0", _S0, teachers=_TEACHERS),),
)

_SHORT = replace(_S0, stages=(Stage(64, 3),))
DISTILLATION_STUDY = Recipe(
    "distillation-study",
    "what distillation gives MobileOne-S0: the same 156,000 faces with its teachers and without",
    (Step("taught", _SHORT, teachers=_TEACHERS), Step("untaught", _SHORT)),
)
