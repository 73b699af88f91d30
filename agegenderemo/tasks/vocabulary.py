"""The tasks that readers, recipes and shipped networks know by name.

Ages are years. Gender: index 1 is male, as FFHQ-Features has it.
"""

from agegenderemo.errors import TaskError
from agegenderemo.tasks.spec import TaskSpec

AGE = TaskSpec("age", "regression", unit="years", minimum=0.0)

GENDER = TaskSpec("gender", "binary", ("female", "male"))

EMOTION = TaskSpec(
    "emotion",
    "categorical",
    ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
    plural="emotions",
)
"""The eight of FER+ and of FFHQ-Features."""

EMOTION7 = TaskSpec(
    "emotion",
    "categorical",
    ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
    plural="emotions",
)
"""The seven of FER2013."""

EMOTION6 = TaskSpec(
    "emotion",
    "categorical",
    ("anger", "fear", "happiness", "neutral", "sadness", "surprise"),
    plural="emotions",
)
"""The six of the retail edge report."""

SMILE = TaskSpec("smile", "binary", ("no smile", "smile"))

VOCABULARY: dict[str, TaskSpec] = {
    "age": AGE,
    "gender": GENDER,
    "emotion": EMOTION,
    "emotion7": EMOTION7,
    "emotion6": EMOTION6,
    "smile": SMILE,
}
"""Specs by the name that a recipe calls them; two of them may bear one task name."""

DEFAULT_TASKS = (AGE, GENDER, EMOTION)
"""Of AgeGenderNet, and of every checkpoint that was written before tasks were data."""


def task(name: str) -> TaskSpec:
    """The spec that ``name`` stands for in a recipe; raises TaskError with the known names."""
    if name not in VOCABULARY:
        raise TaskError(f"Unknown task {name!r}; known are {', '.join(VOCABULARY)}.")
    return VOCABULARY[name]


def speaks_alone(spec: TaskSpec) -> bool:
    """Whether an answer needs no name beside it: everyone knows what the tasks of the vocabulary
    are about, but not what "without" or "12 cm" are the answers to."""
    return any(spec.name == known.name for known in VOCABULARY.values())
