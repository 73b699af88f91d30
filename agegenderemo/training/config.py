"""The configuration of one training run, checked against its own types."""

import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

from agegenderemo.data.transforms import Augmentation
from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.tasks import DEFAULT_TASKS, VOCABULARY, TaskSpec, by_name, task
from agegenderemo.types import Template

RegressionLoss = Literal["l1", "mse"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stage:
    """Some epochs at one input size in pixels."""

    size: int
    epochs: int

    def __post_init__(self) -> None:
        if not (32 <= self.size <= 1024 and self.epochs >= 1):
            raise AgeGenderEmoError(
                f"stages must have 32 to 1024 pixels and an epoch or more, not {self}."
            )


@dataclass(frozen=True, slots=True)
class DistillationWeights:
    """Weight of each thing that teachers say: ``tasks`` by their names, 1 for one that is not
    there, and the ``features`` of the public face network.

    Where a face has a label, a teacher's number is moved into it, and its classes are not heard;
    with ``distil_labelled_faces`` it says what it sees there too, for labels are noisy.
    """

    tasks: dict[str, float] = field(default_factory=dict)
    features: float = 1.0
    distil_labelled_faces: bool = False


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run over several prepared sets at once.

    ``tasks`` are names of `agegenderemo.tasks.VOCABULARY`, or whole specs as `TaskSpec.to_dict`
    gives them; ``model_options`` are those of the family of networks.
    ``epoch_fractions`` is the part of each set's training faces that an epoch draws, without
    replacement; 2 draws each face twice.
    ``balance`` draws rare numbers and classes of a task more often, within the fraction of their
    set: by their frequency to minus this power. 0 draws all alike, 1 every class as often as any
    other. ``race_weights`` draws the faces of a race label, or of ``SET/LABEL``, that many times as
    often; a label without an entry counts 1.
    ``drop_copies`` leaves out training images that are byte-identical to one of a later split.
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
    balance: dict[str, float] = field(default_factory=dict)
    race_weights: dict[str, float] = field(default_factory=dict)
    template: Template = "face"
    drop_copies: bool = True
    stages: tuple[Stage, ...] = (Stage(64, 6),)
    batch: int = 128
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
        for name, hint in _hints(type(self)).items():
            object.__setattr__(self, name, _fitted(name, hint, getattr(self, name)))
        _check_ranges(self)
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
        return _built("", cls, values)


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
        except json.JSONDecodeError:
            value = text
        _set(values, TrainConfig, name, value)
    return TrainConfig.from_dict(values)


def _set(values: dict[str, Any], kind: Any, name: str, value: Any) -> None:
    """Put a value where a dotted name says, into a record of this kind as a dict."""
    own, rest = kind, name
    while True:
        if not is_dataclass(own):  # a mapping: whatever is left is a key, dots and all
            if get_origin(own) is not dict:
                raise _unknown(name, kind)
            values[rest] = value
            return
        first, dot, rest = rest.partition(".")
        hints = _hints(cast(type, own))
        if first not in hints:
            raise _unknown(name, kind)
        if not dot:
            values[first] = value
            return
        own, values = hints[first], values[first]


def _unknown(name: str, kind: type) -> AgeGenderEmoError:
    return AgeGenderEmoError(f"Unknown setting {name!r}; known are {', '.join(_names(kind))}.")


def _names(kind: type, before: str = "") -> list[str]:
    """Every name that a record knows, parts with a dot."""
    names = []
    for name, hint in _hints(kind).items():
        if is_dataclass(hint):
            names += _names(cast(type, hint), f"{before}{name}.")
        else:
            names.append(f"{before}{name}" + ".NAME" * (get_origin(hint) is dict))
    return names


def _hints(kind: type) -> dict[str, Any]:
    """The types of a record's fields, in their order: they are what values are checked against."""
    found = typing.get_type_hints(kind)
    return {own.name: found[own.name] for own in fields(kind)}


def _built(name: str, kind: type[T], values: Any) -> T:
    """A record from a mapping of its fields, or a list of all of them."""
    hints = _hints(kind)
    if isinstance(values, list | tuple) and len(values) == len(hints):
        values = dict(zip(hints, values, strict=True))
    if not isinstance(values, Mapping):
        raise AgeGenderEmoError(
            f"{name} must be a mapping of {', '.join(hints)}, or a list of them, not {values!r}."
        )
    before = f"{name}." if name else ""
    for key in values:
        if key not in hints:
            known = ", ".join(f"{before}{own}" for own in hints)
            raise AgeGenderEmoError(f"Unknown setting {f'{before}{key}'!r}; known are {known}.")
    return kind(**{k: _fitted(f"{before}{k}", hints[k], value) for k, value in values.items()})


def _fitted(name: str, hint: Any, value: Any) -> Any:
    """A value of the type that a hint names, whole numbers as floats where those are wanted.

    Raises AgeGenderEmoError for another.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if is_dataclass(hint):
        kind = cast(type, hint)
        if isinstance(value, kind):
            value = {own: getattr(value, own) for own in _hints(kind)}
        return _built(name, kind, value)
    if origin is Literal:
        if value not in arguments:
            choices = ", ".join(map(str, arguments))
            raise AgeGenderEmoError(f"{name} must be one of {choices}, not {value!r}.")
        return value
    if origin is types.UnionType:
        kinds = tuple(get_origin(one) or one for one in arguments)
        if isinstance(value, kinds):
            return value
        raise _unfit(name, " or ".join(map(_word, kinds)), value)
    if origin is dict:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise _unfit(name, _word(dict), value)
        return {key: _fitted(f"{name}.{key}", arguments[1], own) for key, own in value.items()}
    if origin is tuple:
        return _fitted_tuple(name, arguments, value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise _unfit(name, _word(hint), value)
    return value


def _fitted_tuple(name: str, arguments: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    kinds: Sequence[Any] = arguments
    if arguments[-1] is Ellipsis:
        kinds = arguments[:1] * len(value) if isinstance(value, list | tuple) else ()
    if not isinstance(value, list | tuple) or len(value) != len(kinds) or not kinds:
        wanted = "a list, and not empty" if arguments[-1] is Ellipsis else f"a list of {len(kinds)}"
        raise _unfit(name, wanted, value)
    return tuple(_fitted(name, kind, own) for kind, own in zip(kinds, value, strict=True))


def _word(kind: type) -> str:
    """What people call values of a type."""
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return words.get(kind, "a mapping from names")


def _unfit(name: str, kind: str, value: Any) -> AgeGenderEmoError:
    return AgeGenderEmoError(f"{name} must be {kind}, not {value!r}.")


def _check_ranges(config: TrainConfig) -> None:
    """What types cannot say."""
    never_negative = (
        "learning_rate", "weight_decay", "warmup", "plateau_patience", "early_stopping", "ema",
        "dropout_scale", "epoch_fractions", "race_weights", "loss_weights",
    )  # fmt: skip
    for name in never_negative:
        value = getattr(config, name)
        numbers = value.values() if isinstance(value, dict) else (value,)
        if not all(0 <= number < float("inf") for number in numbers):
            raise AgeGenderEmoError(f"{name} cannot be below zero, but it is {value!r}.")
    for name in ("batch", "clip", "regression_unit", "plateau_factor"):
        if not getattr(config, name) > 0:
            raise AgeGenderEmoError(f"{name} must be above zero, not {getattr(config, name)}.")
    if not 0 <= config.momentum < 1:
        raise AgeGenderEmoError(f"momentum must be from 0 to below 1, not {config.momentum}.")
    if config.ema >= 1:
        raise AgeGenderEmoError(f"ema must be below 1, not {config.ema}: nothing would be learnt.")
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
