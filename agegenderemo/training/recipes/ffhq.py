"""The FFHQ run of the source report."""

from agegenderemo.data.transforms import Augmentation
from agegenderemo.training.config import Stage, TrainConfig
from agegenderemo.training.recipes.steps import Recipe, Step

# The FFHQ run of the source report, to the letter. Its age loss is the mean absolute error: the
# report says squared, but its own figures show that it was not.
_CONFIG = TrainConfig(
    epoch_fractions={"ffhq": 1.0},
    template="ffhq",
    drop_copies=False,
    stages=(Stage(224, 30),),
    batch=64,
    optimiser="adam",
    learning_rate=1e-4,
    start_at_mean=False,
    regression_unit=1.0,
    weight_decay=1e-5,
    schedule="plateau",
    plateau_factor=0.5,
    plateau_patience=5,
    early_stopping=10,
    keep="best",
    clip=1.0,
    ema=0.0,
    dropout_scale=1.0,
    loss_weights={"age": 1.0, "gender": 10.0, "emotion": 5.0},
    regression_loss={"age": "l1"},
    augmentation=Augmentation(
        rotation=10,
        zoom=0,
        shift=0,
        brightness=0.2,
        contrast=0.2,
        saturation=0.2,
        hue=0.1,
        grey=0,
        blur=0,
        erase=0,
        noise=0,
    ),
)

FFHQ = Recipe("ffhq", "the run of the source report on FFHQ", (Step("ffhq", _CONFIG),))
