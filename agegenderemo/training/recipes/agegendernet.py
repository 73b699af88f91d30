"""The chain that made the shipped weights, and a quick run without a teacher."""

from dataclasses import replace

from agegenderemo.data.transforms import Augmentation
from agegenderemo.training.config import DistillationWeights, Stage, TrainConfig
from agegenderemo.training.recipes.steps import FACE_DESCRIPTOR, Recipe, Step

_LEANING = DistillationWeights({"age": 0.1, "gender": 1.0, "emotion": 0.7}, features=4.0)
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
STRONG = Augmentation(
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
STRONGEST = Augmentation(
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
)
RACES = {
    "Black": 1.6,
    "Asian": 1.25,
    "East Asian": 1.25,
    "Indian": 1.15,
    "Middle Eastern": 0.9,
    "Latino_Hispanic": 0.8,
}

_SMALL_FACES = TrainConfig(
    epoch_fractions={"utkface": 1.0, "ferplus": 0.8, "fairface": 0.4},
    stages=(Stage(48, 5), Stage(64, 7)),
    regression_unit=10.0,
    dropout_scale=0.1,
    loss_weights={"age": 0.1, "gender": 1.0, "emotion": 1.5},
    distillation=_LEANING,
    probe_start={"age": (35.0, 20.0)},
    augmentation=_MILD,
)
_RARE_AGES = replace(
    _SMALL_FACES,
    epoch_fractions={"utkface": 1.2, "ferplus": 0.5, "fairface": 0.9},
    balance={"age": 0.5, "emotion": 0.15},
    stages=(Stage(64, 8),),
    learning_rate=1.2e-3,
    dropout_scale=0.15,
    augmentation=STRONG,
)
_LARGER_FACES = replace(
    _SMALL_FACES,
    epoch_fractions={"utkface": 0.6, "ferplus": 0.27, "fairface": 0.5},
    balance={"age": 0.4, "emotion": 0.15},
    race_weights=RACES,
    stages=(Stage(96, 8),),
    learning_rate=8e-4,
    warmup=0.03,
    augmentation=replace(STRONG, blur=0.15, erase=0.15),
)
_MUON = replace(
    _LARGER_FACES,
    epoch_fractions={"utkface": 1.2, "ferplus": 0.5, "fairface": 1.1},
    stages=(Stage(96, 16),),
    batch=256,
    optimiser="muon",
    learning_rate=2e-3,
    weight_decay=0.05,
    distillation=replace(_LEANING, tasks={"age": 0.05, "gender": 1.0, "emotion": 0.7}),
    augmentation=replace(STRONG, blur=0.25, erase=0.15),
)
_STRONGER_AUGMENTATION = replace(
    _MUON,
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
    distillation=DistillationWeights({"age": 0.05, "gender": 2.0, "emotion": 1.0}, features=5.0),
    augmentation=STRONGEST,
)
_TEACHER = replace(
    _STRONGER_AUGMENTATION,
    model="mobilenet_v1_face",
    stages=(Stage(128, 5),),
    learning_rate=8e-4,
    weight_decay=0.02,
    ema=0.995,
    distillation=DistillationWeights({"age": 0.0, "gender": 1.0, "emotion": 0.5}, features=2.0),
)
_SHORT_MIXUP = replace(
    _STRONGER_AUGMENTATION,
    epoch_fractions={"utkface": 1.0, "ferplus": 0.35, "fairface": 0.9},
    stages=(Stage(96, 3),),
    learning_rate=1e-3,
    loss_weights={"age": 0.03, "gender": 0.3, "emotion": 1.0},
    distillation=DistillationWeights({"age": 0.15, "gender": 3.0, "emotion": 2.0}, features=4.0),
    online_distillation=True,
    augmentation=replace(STRONGEST, mixup=0.6),
)
_LONG_MIXUP = replace(
    _SHORT_MIXUP,
    epoch_fractions={"utkface": 1.0, "ferplus": 0.45, "fairface": 0.9},
    stages=(Stage(96, 16),),
    learning_rate=1.5e-3,
    weight_decay=0.05,
    dropout_scale=0.15,
    augmentation=replace(STRONGEST, mixup=0.5),
)
_SHIPPED = replace(
    _LONG_MIXUP,
    loss_weights={"age": 0.03, "gender": 0.3, "emotion": 0.3},
    distillation=replace(
        _LONG_MIXUP.distillation,
        tasks={"age": 0.15, "gender": 3.0, "emotion": 2.5},
        distil_labelled_faces=True,
    ),
    augmentation=replace(STRONGEST, mixup=0.6),
    seed=4,
)

AGEGENDERNET_V1 = Recipe(
    "agegendernet-v1",
    "the shipped network: eight runs, and two of its teachers, a day on two CPU cores",
    (
        # A hundred minutes. It underfits: it starts very small, changes the faces little, and leans
        # on the teacher. (This and the next two were run as two processes.)
        Step("small-faces", _SMALL_FACES, teachers=(FACE_DESCRIPTOR,)),
        # Two hours: more of FairFace, rare ages more often.
        Step("rare-ages", _RARE_AGES, ("small-faces",), (FACE_DESCRIPTOR,)),
        # Two hours: larger faces, for the last map of a 64-pixel face is 2×2; and more of the
        # people whose gender is mistaken most often.
        Step("larger-faces", _LARGER_FACES, ("rare-ages",), (FACE_DESCRIPTOR,)),
        # A hundred minutes: Muon learns more from as many faces, and the teacher, less right about
        # ages than the network by now, has less to say about them.
        Step("muon", _MUON, ("larger-faces",), (FACE_DESCRIPTOR,)),
        # Seventy minutes. The step before had begun to remember its training faces, so these are
        # changed more, and soft answers count more; it teaches itself.
        Step("stronger-augmentation", _STRONGER_AUGMENTATION, ("muon",), (FACE_DESCRIPTOR, "muon")),
        # Half an hour: the public network trained on, a teacher as right as the step before. The
        # probe's ages are not for it: they are too high for children.
        Step("teacher-128", _TEACHER, (FACE_DESCRIPTOR,), (FACE_DESCRIPTOR,)),
        # Twenty minutes: both read the faces as they are changed, many of them mixed, and count
        # more than the labels, which are remembered.
        Step(
            "short-mixup",
            _SHORT_MIXUP,
            ("stronger-augmentation",),
            (FACE_DESCRIPTOR, "teacher-128", "stronger-augmentation"),
        ),
        # A hundred minutes of the same, from the mean of two networks.
        Step(
            "long-mixup",
            _LONG_MIXUP,
            ("stronger-augmentation", "short-mixup"),
            (FACE_DESCRIPTOR, "teacher-128", "stronger-augmentation"),
        ),
        # A minute and a half of a GPU: at 176 pixels eyes are as far apart as in the pictures that
        # the public network was made for.
        Step(
            "teacher-176",
            replace(_TEACHER, stages=(Stage(176, 6),)),
            (FACE_DESCRIPTOR,),
            (FACE_DESCRIPTOR,),
        ),
        # Two hours: teachers speak where a face has a label too, for it may be wrong.
        Step("shipped", _SHIPPED, ("long-mixup",), (FACE_DESCRIPTOR, "teacher-176", "long-mixup")),
    ),
)

# Nobody teaches, so the labels count for all of it: the first step of the shipped chain without its
# teacher, on fewer and smaller faces.
QUICK = Recipe(
    "quick",
    "a first network without a teacher, reckoned at half an hour on two CPU cores",
    (
        Step(
            "quick",
            replace(
                _SMALL_FACES,
                epoch_fractions={"utkface": 0.5, "ferplus": 0.4, "fairface": 0.2},
                stages=(Stage(48, 4), Stage(64, 2)),
                probe_start={},
                distillation=DistillationWeights(),
            ),
        ),
    ),
)
