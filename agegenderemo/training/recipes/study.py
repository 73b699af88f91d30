"""The multi-task study of 2019: its first stage was on IMDB and WIKI, its second, with one task
alone at a time too, on ChaLearn LAP 2016 and FER2013."""

from dataclasses import replace

from agegenderemo.data.transforms import Augmentation
from agegenderemo.training.config import DistillationWeights, Stage, TrainConfig
from agegenderemo.training.recipes.steps import Recipe, Step

# The study says SGD at 0.01 or 0.001, and no more; a hundred thousand faces or so a step.
_FIRST = TrainConfig(
    model_options={"neck": "linear", "regression": "number"},
    tasks=("age", "gender"),
    epoch_fractions={"utkface": 1.0, "fairface": 1.0},
    stages=(Stage(64, 2),),
    optimiser="sgd",
    learning_rate=0.01,
    weight_decay=5e-4,
    regression_unit=1.0,
    dropout_scale=1.0,
    ema=0.99,
    loss_weights={"age": 0.1, "gender": 1.0, "emotion": 1.0},
    distillation=DistillationWeights(skip_unweighted=True),
    augmentation=Augmentation(
        rotation=10, zoom=0.1, shift=0.05, saturation=0, grey=0.2, blur=0, erase=0, noise=0
    ),
)
# Last layers replaced, all tasks at once; the small set is drawn again until it matches.
_ALL = replace(
    _FIRST,
    tasks=("age", "gender", "emotion"),
    epoch_fractions={"utkface": 1.0, "ferplus": 1.0},
    match_largest=True,
    begin_part="backbone",
)


def _alone(task: str) -> TrainConfig:
    """The second step with the weight of every other task at 0."""
    return replace(
        _ALL, loss_weights={name: own * (name == task) for name, own in _ALL.loss_weights.items()}
    )


def _study(model: str, title: str) -> Recipe:
    steps = [
        Step("first", replace(_FIRST, model=model)),
        Step("age-alone", replace(_alone("age"), model=model), ("first",)),
        Step("gender-alone", replace(_alone("gender"), model=model), ("first",)),
        Step("emotion-alone", replace(_alone("emotion"), model=model), ("first",)),
        Step("all-tasks", replace(_ALL, model=model), ("first",)),
    ]
    return Recipe(
        f"study-{model}",
        f"the multi-task study on {title}: age and gender, then all tasks, and each task alone; "
        "UTKFace and FairFace stand in for IMDB-WIKI, UTKFace and FER+ for ChaLearn and FER2013",
        tuple(steps),
    )


STUDY_ALEXNET = _study("alexnet", "AlexNet")
STUDY_RESNET18 = _study("resnet18", "ResNet-18")
STUDY_DENSENET121 = _study("densenet121", "DenseNet-121")
