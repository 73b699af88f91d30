"""How a network is trained: the configuration, and the named ones that made what is shipped."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, get_args

from agegenderemo.losses import LossWeights
from agegenderemo.records import Framing
from agegenderemo.transforms import Augmentation


@dataclass(frozen=True, slots=True)
class Stage:
    """Some epochs at one input size in pixels."""

    size: int
    epochs: int


@dataclass(frozen=True, slots=True)
class TeacherWeights:
    """Weight of each thing that a teacher says; used only with ``--teacher``.

    Where a face has a label, the teacher's age is moved into it, and its emotions are not heard;
    with ``over_labels`` it says what it sees there too, for labels are noisy.
    """

    age: float = 0.04
    gender: float = 0.5
    emotion: float = 0.3
    features: float = 1.0
    over_labels: bool = False


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run over several prepared sets at once.

    ``shares`` is the part of each set's training faces that an epoch draws, without replacement; 2
    draws each face twice.
    ``age_balance`` and ``emotion_balance`` draw rare ages and emotions more often, within the share
    of their set: by the frequency of their decade or emotion to minus this power. 0 draws all
    alike, 1 every decade as often as any other. ``race_weights`` draws the faces of a race label,
    or of ``SET/LABEL``, that many times as often; a label without an entry counts 1.
    With ``live_teachers`` the checkpoints that teach read every changed face at every step, in
    place of each stored crop once.
    ``drop_copies`` leaves out training images that are byte-identical to one of a later split.
    Weights of the age output learn ``age_unit`` (years) times as fast as the others, for they make
    numbers that much larger; ``start_at_mean_age`` begins with weights that large, at the mean age.
    The optimiser ``muon`` moves the kernels of convolutions by Muon and everything else by AdamW.
    With the ``cosine`` schedule the learning rate rises over ``warmup`` (a fraction of all steps)
    and falls along a cosine; with ``plateau`` it is multiplied by ``plateau_factor`` after more
    than ``plateau_patience`` epochs without a better validation loss. ``early_stopping`` such
    epochs end the run; 0 never does.
    ``ema`` is the decay of the moving average of the weights, which is what is measured and kept; 0
    keeps the weights themselves. ``keep`` says of which epoch: the last, or the one with the best
    validation loss. ``sync_batch_norm`` takes batch statistics over all processes of a run.
    """

    model: str = "agegendernet"
    shares: dict[str, float] = field(
        default_factory=lambda: {"utkface": 1.0, "ferplus": 1.0, "fairface": 1.0}
    )
    age_balance: float = 0.0
    emotion_balance: float = 0.0
    race_weights: dict[str, float] = field(default_factory=dict)
    framing: Framing = "face"
    drop_copies: bool = True
    stages: tuple[Stage, ...] = (Stage(64, 6),)
    batch: int = 128
    optimiser: Literal["adamw", "adam", "muon"] = "adamw"
    learning_rate: float = 2e-3
    start_at_mean_age: bool = True
    age_unit: float = 20.0
    weight_decay: float = 0.02
    schedule: Literal["cosine", "plateau"] = "cosine"
    warmup: float = 0.05
    plateau_factor: float = 0.5
    plateau_patience: int = 5
    early_stopping: int = 0
    keep: Literal["last", "best"] = "last"
    clip: float = 5.0
    ema: float = 0.998
    sync_batch_norm: bool = False
    dropout_scale: float = 0.3
    weights: LossWeights = LossWeights(age=0.1, gender=1.0, emotion=1.5)
    teacher: TeacherWeights = TeacherWeights()
    live_teachers: bool = False
    augmentation: Augmentation = Augmentation()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, as saved with every run and checkpoint."""
        return asdict(self)

    @property
    def epochs(self) -> int:
        """Epochs over all stages."""
        return sum(stage.epochs for stage in self.stages)

    def size_at(self, epoch: int) -> int:
        """Input size in pixels of an epoch, counted from 0."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage.size
            epoch -= stage.epochs
        return self.stages[-1].size


_LEANING = TeacherWeights(age=0.1, gender=1.0, emotion=0.7, features=4.0)
_MILD = Augmentation(
    rotation=8,
    zoom=0.1,
    shift=0.05,
    brightness=0.25,
    contrast=0.25,
    saturation=0.25,
    grey=0.2,
    blur=0.2,
    erase=0.1,
    noise=0.1,
)
_STRONG = Augmentation(
    rotation=10,
    zoom=0.12,
    shift=0.06,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    grey=0.2,
    blur=0.2,
    erase=0.2,
    noise=0.1,
)
_RACES = {
    "Black": 1.6,
    "Asian": 1.25,
    "East Asian": 1.25,
    "Indian": 1.15,
    "Middle Eastern": 0.9,
    "Latino_Hispanic": 0.8,
}
_FOURTH = TrainConfig(
    shares={"utkface": 1.2, "ferplus": 0.5, "fairface": 1.1},
    age_balance=0.4,
    emotion_balance=0.15,
    race_weights=_RACES,
    stages=(Stage(96, 16),),
    batch=256,
    optimiser="muon",
    learning_rate=2e-3,
    age_unit=10.0,
    weight_decay=0.05,
    warmup=0.03,
    dropout_scale=0.1,
    teacher=replace(_LEANING, age=0.05),
    augmentation=replace(_STRONG, blur=0.25, erase=0.15),
)
_FIFTH = replace(
    _FOURTH,
    race_weights={
        "utkface/Asian": 1.3,
        "fairface/Black": 2.0,
        "fairface/Southeast Asian": 1.4,
        "fairface/Middle Eastern": 0.8,
        "fairface/Latino_Hispanic": 0.8,
    },
    stages=(Stage(96, 12),),
    learning_rate=1.5e-3,
    weight_decay=0.1,
    dropout_scale=0.3,
    teacher=TeacherWeights(age=0.05, gender=2.0, emotion=1.0, features=5.0),
    augmentation=Augmentation(
        rotation=12,
        zoom=0.15,
        shift=0.08,
        brightness=0.35,
        contrast=0.35,
        saturation=0.4,
        hue=0.02,
        grey=0.2,
        blur=0.25,
        erase=0.35,
        erase_size=0.4,
        noise=0.1,
    ),
)
_SIXTH = replace(
    _FIFTH,
    shares={"utkface": 1.0, "ferplus": 0.35, "fairface": 0.9},
    stages=(Stage(96, 3),),
    learning_rate=1e-3,
    weights=LossWeights(age=0.03, gender=0.3, emotion=1.0),
    teacher=TeacherWeights(age=0.15, gender=3.0, emotion=2.0, features=4.0),
    live_teachers=True,
    augmentation=replace(_FIFTH.augmentation, mix=0.6),
)
_SEVENTH = replace(
    _SIXTH,
    shares={"utkface": 1.0, "ferplus": 0.45, "fairface": 0.9},
    stages=(Stage(96, 16),),
    learning_rate=1.5e-3,
    weight_decay=0.05,
    dropout_scale=0.15,
    augmentation=replace(_FIFTH.augmentation, mix=0.5),
)
_TEACHER = replace(
    _FIFTH,
    model="facedescriptor",
    stages=(Stage(128, 5),),
    learning_rate=8e-4,
    weight_decay=0.02,
    ema=0.995,
    teacher=TeacherWeights(age=0.0, gender=1.0, emotion=0.5, features=2.0),
)

RECIPES: dict[str, TrainConfig] = {
    # The FFHQ run of the source report, to the letter. Its age loss is the mean absolute error:
    # the report says squared, but its own figures show that it was not.
    "ffhq": TrainConfig(
        shares={"ffhq": 1.0},
        framing="ffhq",
        drop_copies=False,
        stages=(Stage(224, 30),),
        batch=64,
        optimiser="adam",
        learning_rate=1e-4,
        start_at_mean_age=False,
        age_unit=1.0,
        weight_decay=1e-5,
        schedule="plateau",
        plateau_factor=0.5,
        plateau_patience=5,
        early_stopping=10,
        keep="best",
        clip=1.0,
        ema=0.0,
        dropout_scale=1.0,
        weights=LossWeights(age=1.0, gender=10.0, emotion=5.0, age_loss="l1"),
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
    ),
    # The shipped checkpoint is made in eight runs on two CPU cores. The first, of 100 minutes,
    # underfits: it starts very small, changes the faces little, and leans on the teacher.
    "first": TrainConfig(
        shares={"utkface": 1.0, "ferplus": 0.8, "fairface": 0.4},
        stages=(Stage(48, 5), Stage(64, 7)),
        age_unit=10.0,
        dropout_scale=0.1,
        teacher=_LEANING,
        augmentation=_MILD,
    ),
    # The second, of two hours, starts from its weights (train.py --weights): more of FairFace, rare
    # ages more often.
    "second": TrainConfig(
        shares={"utkface": 1.2, "ferplus": 0.5, "fairface": 0.9},
        age_balance=0.5,
        emotion_balance=0.15,
        stages=(Stage(64, 8),),
        learning_rate=1.2e-3,
        age_unit=10.0,
        dropout_scale=0.15,
        teacher=_LEANING,
        augmentation=_STRONG,
    ),
    # The third, of two hours, starts from those: larger faces, for the last map of a 64-pixel face
    # is 2×2; and more of the people whose gender is mistaken most often.
    "third": TrainConfig(
        shares={"utkface": 0.6, "ferplus": 0.27, "fairface": 0.5},
        age_balance=0.4,
        emotion_balance=0.15,
        race_weights=_RACES,
        stages=(Stage(96, 8),),
        learning_rate=8e-4,
        age_unit=10.0,
        warmup=0.03,
        dropout_scale=0.1,
        teacher=_LEANING,
        augmentation=replace(_STRONG, blur=0.15, erase=0.15),
    ),
    # The fourth, of a hundred minutes, starts from those: Muon learns more from as many faces, and
    # the teacher, less right about ages than the network by now, has less to say about them.
    "fourth": _FOURTH,
    # The fifth, of seventy minutes, starts from those, which teach beside the descriptor (they are
    # the second file of --teacher). The fourth had begun to remember its training faces, so these
    # are changed more, and soft answers count more.
    "fifth": _FIFTH,
    # The descriptor's own network, trained on from its public weights in half an hour: a teacher as
    # right as the fifth run. The probe's ages are not for it: they are too high for children.
    "teacher": _TEACHER,
    # The sixth, of twenty minutes, starts from the fifth's weights; they and that teacher read the
    # faces as they are changed, many of them mixed, and count more than the labels, which are
    # remembered.
    "sixth": _SIXTH,
    # The seventh, of a hundred minutes, does so for longer, from the mean of the fifth's and the
    # sixth's weights.
    "seventh": _SEVENTH,
    # Another teacher like the first, in a minute and a half of a GPU: at 176 pixels eyes are as far
    # apart as in the pictures that the descriptor was made for.
    "second-teacher": replace(_TEACHER, stages=(Stage(176, 6),)),
    # The eighth, of two hours on two cores, starts from the seventh's weights; they and the second
    # teacher read the faces, and speak where a face has a label too, for it may be wrong.
    "shipped": replace(
        _SEVENTH,
        weights=replace(_SEVENTH.weights, emotion=0.3),
        teacher=replace(_SEVENTH.teacher, emotion=2.5, over_labels=True),
        augmentation=replace(_SEVENTH.augmentation, mix=0.6),
        seed=4,
    ),
}


_CHOICES = {
    "framing": get_args(Framing),
    "optimiser": ("adamw", "adam", "muon"),
    "schedule": ("cosine", "plateau"),
    "keep": ("last", "best"),
    "precision": ("auto", "float32", "bfloat16"),
    "weights.age_loss": ("l1", "mse"),
}


def get_recipe(name: str) -> TrainConfig:
    """The recipe of a name; raises ValueError with the known names for another."""
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; known are {', '.join(RECIPES)}")
    return RECIPES[name]


def with_settings(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """The configuration with ``NAME=VALUE`` changes; values are JSON, or else plain text.

    Parts are named with a dot (``weights.age=0.2``); ``stages`` is a list of [size, epochs].
    Raises ValueError for an unknown name, with the known ones, and for an unfit value.
    """
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator:
            raise ValueError(f"{setting!r} is not of the form NAME=VALUE")
        if name not in (known := _names(config)):
            raise ValueError(f"unknown setting {name!r}; known are {', '.join(known)}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        part, _, inner = name.rpartition(".")
        owner = getattr(config, part) if part else config
        change: dict[str, Any] = {inner: _fitted(name, getattr(owner, inner), value)}
        if part:
            change = {part: replace(owner, **change)}
        config = replace(config, **change)
    return config


def _names(config: TrainConfig) -> list[str]:
    names = []
    for own in fields(config):
        value = getattr(config, own.name)
        if is_dataclass(value):
            names += [f"{own.name}.{inner.name}" for inner in fields(value)]
        else:
            names.append(own.name)
    return names


def _fitted(name: str, old: Any, new: Any) -> Any:
    """A value of the old one's type."""
    if name == "stages" and isinstance(new, list):
        if new and all(isinstance(s, list) and [type(v) for v in s] == [int, int] for s in new):
            return tuple(Stage(size, epochs) for size, epochs in new)
        raise ValueError(f"stages must be a list of [size, epochs], not {new!r}")
    if isinstance(old, float) and type(new) is int:
        return float(new)
    if name in _CHOICES and new not in _CHOICES[name]:
        raise ValueError(f"{name} must be one of {', '.join(_CHOICES[name])}, not {new!r}")
    if type(new) is not type(old):
        raise ValueError(f"{name} must be a {type(old).__name__}, such as {old!r}, not {new!r}")
    return new
