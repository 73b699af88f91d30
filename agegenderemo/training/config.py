"""The configuration of one training run, checked against its own types."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from agegenderemo.data.transforms import Augmentation
from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.tasks import DEFAULT_TASKS, VOCABULARY, TaskSpec, by_name, task
from agegenderemo.training.ranges import check_ranges
from agegenderemo.training.values import built, fitted, hints, set_value
from agegenderemo.types import Template

RegressionLoss = Literal["l1", "mse"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Some epochs at one input size in pixels."""

    size: int
    epochs: int


@dataclass(frozen=True, slots=True)
class DistillationWeights:
    """Weight of each thing that teachers say: ``tasks`` by their names, 1 for one that is not
    there, and the ``features`` of the public face network.

    Where a face has a label, a teacher's number is moved into it, and its classes are not heard;
    with ``distil_labelled_faces`` it says what it sees there too, for labels are noisy. With
    ``skip_unweighted`` nothing is said of a task whose loss weight is 0.
    """

    tasks: dict[str, float] = field(default_factory=dict)
    features: float = 1.0
    distil_labelled_faces: bool = False
    skip_unweighted: bool = False


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run over several prepared sets at once.

    ``tasks`` are names of `agegenderemo.tasks.VOCABULARY`, or whole specs as `TaskSpec.to_dict`
    gives them; ``model_options`` are those of the family of networks.
    ``epoch_fractions`` is the part of each set's training faces that an epoch draws, without
    replacement; 2 draws each face twice. With ``match_largest`` it is that part of the largest set,
    from each: small ones are drawn again until they match.
    ``balance`` draws rare numbers and classes of a task more often, within the fraction of their
    set: by their frequency to minus this power. 0 draws all alike, 1 every class as often as any
    other. ``race_weights`` draws the faces of a race label, or of ``SET/LABEL``, that many times as
    often; a label without an entry counts 1.
    ``drop_copies`` leaves out training images that are byte-identical to one of a later split.
    ``begin_part`` is what is taken of the weights that a run begins with: ``network``, all that
    both have, or ``backbone``, where neck and heads are fresh. ``freeze_backbone`` trains these
    alone; the statistics of the backbone's batch norm stand still too.
    Weights of the output of a regression learn ``regression_unit`` (in the unit of the task) times
    as fast as the others, for they make numbers that much larger; ``start_at_mean`` begins with
    weights that large, at the mean of the labels.
    The optimiser ``muon`` moves the kernels of convolutions by Muon and everything else by AdamW;
    ``momentum`` is that of ``sgd``, and the others do not heed it.
    With the ``cosine`` schedule the learning rate rises over ``warmup`` (a fraction of all steps)
    and falls along a cosine; with ``plateau`` it is multiplied by ``plateau_factor`` after more
    than ``plateau_patience`` epochs without a better validation loss. ``early_stopping`` such
    epochs end the run; 0 never does.
    ``clip`` is the largest norm of all gradients together.
    ``ema`` is the decay of the moving average of the weights, which is what is measured and kept; 0
    keeps the weights themselves. ``keep`` says of which epoch: the last, or the one with the best
    validation loss. ``sync_batch_norm`` takes batch statistics over all processes of a run.
    ``loss_weights`` multiply the loss of a task, 1 for one that is not there, and 0 leaves it out;
    ``regression_loss`` is the mean absolute error unless it says otherwise.
    With ``online_distillation`` the checkpoints that teach read every changed face at every step,
    in place of each stored crop once. ``probe_start`` is where the regressions of the probe of
    `agegenderemo.training.probe` begin and how far they spread, by the name of the task; one that
    is not there takes both from its labels.

    Raises AgeGenderEmoError, one sentence, for a value of another type or out of its range.
    """

    model: str = "agegendernet"
    model_options: dict[str, Any] = field(default_factory=dict)
    tasks: tuple[str | dict[str, Any], ...] = tuple(spec.name for spec in DEFAULT_TASKS)
    epoch_fractions: dict[str, float] = field(
        default_factory=lambda: {"utkface": 1.0, "ferplus": 1.0, "fairface": 1.0}
    )
    match_largest: bool = False
    balance: dict[str, float] = field(default_factory=dict)
    race_weights: dict[str, float] = field(default_factory=dict)
    template: Template = "face"
    drop_copies: bool = True
    stages: tuple[Stage, ...] = (Stage(64, 6),)
    batch: int = 128
    begin_part: Literal["network", "backbone"] = "network"
    freeze_backbone: bool = False
    optimiser: Literal["adamw", "adam", "muon", "sgd"] = "adamw"
    momentum: float = 0.9
    learning_rate: float = 2e-3
    start_at_mean: bool = True
    regression_unit: float = 20.0
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
    loss_weights: dict[str, float] = field(default_factory=dict)
    regression_loss: dict[str, RegressionLoss] = field(default_factory=dict)
    distillation: DistillationWeights = DistillationWeights()
    online_distillation: bool = False
    probe_start: dict[str, tuple[float, float]] = field(default_factory=dict)
    augmentation: Augmentation = Augmentation()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = 1

    def __post_init__(self) -> None:
        for name, hint in hints(type(self)).items():
            object.__setattr__(self, name, fitted(name, hint, getattr(self, name)))
        check_ranges(self)
        _check_together(self)
        _check_task_names(self)

    @property
    def specs(self) -> tuple[TaskSpec, ...]:
        """The tasks of the network that is trained."""
        return tuple(
            task(entry) if isinstance(entry, str) else TaskSpec.from_dict(entry)
            for entry in self.tasks
        )

    @property
    def epochs(self) -> int:
        """Epochs over all stages."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def distilled_weights(self) -> dict[str, float]:
        """Weight of what teachers say of a task, by its name; 1 for one that is not there."""
        own = dict(self.distillation.tasks)
        if self.distillation.skip_unweighted:
            own |= {name: 0.0 for name, weight in self.loss_weights.items() if not weight}
        return own

    def size_at(self, epoch: int) -> int:
        """Input size in pixels of an epoch, counted from 0."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage.size
            epoch -= stage.epochs
        return self.stages[-1].size

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, as saved with every run and checkpoint."""
        return dict(json.loads(json.dumps(asdict(self))))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """What `to_dict` gave, or a part of it: the rest is as it is by itself.

        Raises AgeGenderEmoError for an unknown name, with the known ones, and for an unfit value.
        """
        return built("", cls, values)


def with_settings(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """The configuration with ``NAME=VALUE`` changes; values are JSON, or else plain text.

    Parts are named with a dot (``augmentation.blur=0.2``, ``loss_weights.age=2``); ``stages`` is
    a list of [size, epochs]. Raises AgeGenderEmoError for an unknown name, with the known ones, and
    for an unfit value.
    """
    values = config.to_dict()
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator:
            raise AgeGenderEmoError(f"{setting!r} is not of the form NAME=VALUE.")
        try:
            value = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            value = text
        set_value(values, TrainConfig, name, value)
    return TrainConfig.from_dict(values)


def _check_together(config: TrainConfig) -> None:
    """What the range of one setting cannot say."""
    if not any(config.epoch_fractions.values()):
        raise AgeGenderEmoError("epoch_fractions must draw faces of one set at least.")
    for name, (_, spread) in config.probe_start.items():
        if not (0 < spread < math.inf):
            raise AgeGenderEmoError(
                f"probe_start.{name} must be a number and a spread above 0, not {spread}."
            )
    if config.augmentation.mixup and not config.online_distillation:
        raise AgeGenderEmoError(
            "augmentation.mixup wants online_distillation: no label says what a mixed face looks "
            "like."
        )


def _check_task_names(config: TrainConfig) -> None:
    """Every mapping by task must name tasks that this run, or some other, could have."""
    own = by_name(config.specs)
    known = set(own) | {spec.name for spec in VOCABULARY.values()}
    mappings: dict[str, Mapping[str, Any]] = {
        "balance": config.balance,
        "loss_weights": config.loss_weights,
        "regression_loss": config.regression_loss,
        "distillation.tasks": config.distillation.tasks,
        "probe_start": config.probe_start,
    }
    for mapping, entries in mappings.items():
        for name in entries:
            if name not in known:
                raise AgeGenderEmoError(
                    f"{mapping} names {name!r}, but the tasks are {', '.join(own)}."
                )
