"""The phases of the source project that failed: an emotion head on a frozen backbone (2 and 5), and
two data sets in one training (3)."""

from dataclasses import replace

from agegenderemo.training.config import Stage, TrainConfig
from agegenderemo.training.recipes.agegendernet import STRONG
from agegenderemo.training.recipes.steps import SHIPPED_NETWORK, Recipe, Step

_HEAD = TrainConfig(
    tasks=("emotion",),
    epoch_fractions={"ferplus": 1.0},
    balance={"emotion": 0.15},
    stages=(Stage(96, 6),),
    begin_part="backbone",
    freeze_backbone=True,
    augmentation=STRONG,
)
_AGE_AND_GENDER = TrainConfig(
    tasks=("age", "gender"),
    epoch_fractions={"utkface": 1.0, "fairface": 0.5},
    stages=(Stage(64, 4), Stage(96, 4)),
    optimiser="muon",
    learning_rate=2e-3,
    weight_decay=0.05,
    regression_unit=10.0,
    loss_weights={"age": 0.1, "gender": 1.0},
    augmentation=STRONG,
)

FROZEN_EMOTION = Recipe(
    "frozen-emotion",
    "phases 2 and 5: a new neck and emotion head on the frozen backbone of the shipped network, "
    "which has learnt emotions among others; FER+ stands in for Emo96 and FER2013",
    (Step("frozen-emotion", _HEAD, (SHIPPED_NETWORK,)),),
)
FROZEN_EMOTION_UNSEEN = Recipe(
    "frozen-emotion-unseen",
    "the same on a backbone that has seen age and gender alone, as that of the phases had",
    (
        Step("age-and-gender", _AGE_AND_GENDER),
        Step("frozen-emotion-unseen", _HEAD, ("age-and-gender",)),
    ),
)

# Where the phase alternated batches of two sets, every batch is of both, and one masked loss counts
# what each face has a label for.
MIXED = Recipe(
    "mixed",
    "phase 3, which diverged: UTKFace and FER+ at once, without a teacher",
    (
        Step(
            "mixed",
            replace(
                _AGE_AND_GENDER,
                tasks=("age", "gender", "emotion"),
                epoch_fractions={"utkface": 1.0, "ferplus": 1.0},
                match_largest=True,
                stages=(Stage(64, 6),),
                optimiser="adamw",
                loss_weights={"age": 0.1, "gender": 1.0, "emotion": 1.5},
            ),
        ),
    ),
)
