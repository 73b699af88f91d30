"""What every network shares: a backbone, a neck, one head a task, and one type of output."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self, TypedDict, cast

import torch
from torch import Tensor, nn

from agegenderemo.errors import AgeGenderEmoError, TaskError
from agegenderemo.tasks import Kind, TaskSpec, by_name


class HeadOptions(TypedDict, total=False):
    """Options that every family with a library's backbone has; see `library_net`."""

    dropout_scale: float
    neck: str
    regression: str


class MlpNeck(TypedDict):
    """What `multitask` wants to know of a neck and its heads."""

    neck: Sequence[int]
    neck_dropouts: Sequence[float]
    hidden: int
    head_dropouts: Mapping[Kind, float]


MLP: MlpNeck = {
    "neck": (512, 256, 128),
    "neck_dropouts": (0.5, 0.4, 0.3),
    "hidden": 64,
    "head_dropouts": {"categorical": 0.3},
}
"""Neck and heads of AgeGenderNet, which other backbones may have too."""


class Outputs(NamedTuple):
    """Raw outputs for N faces by the name of the task, and the pooled features behind them.

    A regression gives (N,) numbers in its unit, a binary task (N,) logits of its second class, a
    categorical one (N, K) logits in the order of its classes. Features are (N, num_features).
    """

    predictions: dict[str, Tensor]
    features: Tensor

    def float(self) -> "Outputs":
        """The same in float32, whatever precision the network ran in."""
        predictions = {name: value.float() for name, value in self.predictions.items()}
        return Outputs(predictions, self.features.float())


class Head(nn.Module):
    """From N×D features to N×``outputs`` raw numbers of one task, whatever its layers are."""

    outputs: int

    def start_at(self, mean: float | None, unit: float) -> None:
        """Let an untrained regression begin at ``mean``, where one is known, and its answers spread
        as the labels do, about ``unit``; both in the unit of the task."""
        raise NotImplementedError

    def unit_parameters(self) -> list[nn.Parameter]:
        """Parameters of a regression that are in its unit, and so must learn as much faster as the
        unit is larger; none where the answer is made of shares."""
        raise NotImplementedError


class TaskHead(nn.Sequential, Head):
    """Linear layers from N×``inner`` to N×``outputs``: two with ``hidden`` units between them, or
    one where that is None, with dropout before the last one where a rate is given."""

    def __init__(
        self, inner: int, hidden: int | None, outputs: int, dropout: float | None = None
    ) -> None:
        layers: list[nn.Module] = []
        if hidden is not None:
            layers = [nn.Linear(inner, hidden), nn.ReLU(inplace=True)]
        if dropout is not None:  # a rate of 0 too: names of weights must not depend on the rate
            layers.append(nn.Dropout(dropout))
        super().__init__(*layers, nn.Linear(hidden or inner, outputs))
        self.outputs = outputs

    @property
    def output(self) -> nn.Linear:
        """The last layer, which makes the raw outputs."""
        return cast(nn.Linear, self[-1])

    @torch.no_grad()
    def start_at(self, mean: float | None, unit: float) -> None:
        """Its weights become ``unit`` times as large, its bias the mean."""
        self.output.weight.mul_(unit)
        if mean is not None:
            self.output.bias.fill_(mean)

    def unit_parameters(self) -> list[nn.Parameter]:
        """Those of the last layer."""
        return list(self.output.parameters())


class ExpectedHead(TaskHead):
    """A regression as the expected value of a distribution over the whole numbers from 0 to
    `LARGEST`, as DEX has it (Rothe et al. 2015); N×``inner`` to N×1."""

    LARGEST = 100
    values: Tensor

    def __init__(self, inner: int, hidden: int | None, dropout: float | None = None) -> None:
        super().__init__(inner, hidden, self.LARGEST + 1, dropout)
        self.outputs = 1
        self.register_buffer("values", torch.arange(self.LARGEST + 1.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        # In float32 whatever the rest runs in: bfloat16 knows no numbers between 64 and 64.5.
        for layer in self:
            x = layer(x)
        return (x.float().softmax(dim=1) * self.values).sum(dim=1, keepdim=True)

    @torch.no_grad()
    def start_at(self, mean: float | None, unit: float) -> None:
        """The bias becomes the flattest distribution with this mean; the weights stay, for shares
        have no unit."""
        if mean is not None:
            self.output.bias.copy_(flattest(self.LARGEST + 1, mean))

    def unit_parameters(self) -> list[nn.Parameter]:
        """None: logits have no unit."""
        return []


class BoundedHead(TaskHead):
    """A regression between 0 and `LARGEST`, as a share of it by one sigmoid; N×``inner`` to N×1.

    Meant for ages in years. No face has an answer outside, as a number may, and no answer is stuck
    between two others, as an expected value may be where shares between them are nearly 0.
    """

    LARGEST = 120

    def forward(self, x: Tensor) -> Tensor:
        # In float32 whatever the rest runs in: bfloat16 knows no numbers between 64 and 64.5.
        for layer in self:
            x = layer(x)
        return self.LARGEST * x.float().sigmoid()

    @torch.no_grad()
    def start_at(self, mean: float | None, unit: float) -> None:
        """The bias becomes what gives the mean; the weights stay, for a share has no unit."""
        if mean is not None:
            share = min(max(mean / self.LARGEST, 0.01), 0.99)
            self.output.bias.fill_(math.log(share / (1 - share)))

    def unit_parameters(self) -> list[nn.Parameter]:
        """None: a share has no unit."""
        return []


def flattest(count: int, mean: float) -> Tensor:
    """Logits over 0 to ``count`` − 1 whose softmax has this mean, as near to uniform as that can
    be; a mean outside is taken for the next one inside."""
    values = torch.arange(count, dtype=torch.float64)
    mean = min(max(mean, 0.01 * (count - 1)), 0.99 * (count - 1))
    low, high = -100.0, 100.0  # the mean grows with the slope of the logits
    for _ in range(60):
        slope = (low + high) / 2
        if float((torch.softmax(slope * values, 0) * values).sum()) < mean:
            low = slope
        else:
            high = slope
    logits = slope * values
    return (logits - logits.mean()).float()


class MultiTaskNet(nn.Module):
    """Backbone, neck and a head for each task, all passed in.

    ``backbone`` maps N×3×H×W to pooled N×``num_features``, which it declares as an attribute;
    ``neck`` those to N×D, and each head N×D to the outputs of its task.

    Raises ValueError for a backbone that does not say how many features it has, TaskError for heads
    that are not those of the tasks.
    """

    memory_format = torch.channels_last
    """What its 4-D weights and inputs lie in; the quickest on a CPU, where a family stands it."""

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        tasks: Iterable[TaskSpec],
        heads: Mapping[str, Head],
    ) -> None:
        super().__init__()
        self.tasks = tuple(by_name(tasks).values())
        wanted = {spec.name: spec.outputs for spec in self.tasks}
        if not wanted or {name: head.outputs for name, head in heads.items()} != wanted:
            raise TaskError(
                f"A network for {', '.join(wanted) or 'no task'} cannot have heads for "
                f"{', '.join(heads) or 'none'}."
            )
        self.backbone = backbone
        self.neck = neck
        self.heads = nn.ModuleDict({name: heads[name] for name in wanted})
        self.num_features = num_features(backbone)

    def forward(self, x: Tensor) -> Outputs:
        """N×3×H×W normalised RGB to `Outputs`."""
        # Pictures come in channels last.
        features = self.backbone(x if self.memory_format is torch.channels_last else x.contiguous())
        z = self.neck(features)
        raw = {spec.name: (spec, self.heads[spec.name](z)) for spec in self.tasks}
        return Outputs(
            {
                n: value if spec.outputs > 1 else value.squeeze(1)
                for n, (spec, value) in raw.items()
            },
            features,
        )

    def placed(self, device: torch.device | str | None = None) -> Self:
        """Itself, on a device and in its own memory format."""
        return self.to(device=device, memory_format=self.memory_format)  # type: ignore[call-overload, no-any-return]

    def head(self, task: str) -> Head:
        """The head of a task; raises TaskError for one that the network lacks."""
        if task not in self.heads:
            raise TaskError(
                f"This network has no task {task!r}; its tasks are: {', '.join(self.heads)}."
            )
        return cast(Head, self.heads[task])

    def head_output(self, task: str) -> nn.Linear:
        """The layer that makes the raw outputs of a task; raises TaskError for one it lacks."""
        return cast(TaskHead, self.head(task)).output


class Backbone(nn.Module):
    """A network of a library as a backbone: N×3×H×W to pooled N×``num_features``."""

    def __init__(self, net: nn.Module, num_features: int) -> None:
        super().__init__()
        self.net = net
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.net(x)
        return features


def num_features(backbone: nn.Module) -> int:
    """How many features a backbone declares; raises ValueError where it declares none."""
    declared = getattr(backbone, "num_features", None)
    if not isinstance(declared, int) or declared < 1:
        raise ValueError(f"{type(backbone).__name__} must declare num_features, a positive int")
    return declared


def mlp_neck(widths: Sequence[int], dropouts: Sequence[float]) -> nn.Sequential:
    """Linear, batch norm, ReLU and dropout for each step from one width to the next."""
    layers: list[nn.Module] = []
    for inner, outer, rate in zip(widths[:-1], widths[1:], dropouts, strict=True):
        layers += [
            nn.Linear(inner, outer),
            nn.BatchNorm1d(outer),
            nn.ReLU(inplace=True),
            nn.Dropout(rate),
        ]
    return nn.Sequential(*layers)


def multitask(
    backbone: nn.Module,
    tasks: Sequence[TaskSpec],
    *,
    neck: Sequence[int],
    neck_dropouts: Sequence[float],
    hidden: int,
    head_dropouts: Mapping[Kind, float],
    dropout_scale: float = 1.0,
    regression: str = "number",
) -> MultiTaskNet:
    """The network that a backbone makes with an `mlp_neck` of these widths, from its own, and a
    head of ``hidden`` units a task.

    ``head_dropouts`` are rates before the last layer by the kind of task; a kind that is absent has
    no such layer. Every rate is multiplied by ``dropout_scale``. ``regression`` is that of
    `library_net`.
    """
    rates = {kind: rate * dropout_scale for kind, rate in head_dropouts.items()}
    return MultiTaskNet(
        backbone,
        mlp_neck((num_features(backbone), *neck), [r * dropout_scale for r in neck_dropouts]),
        tasks,
        {s.name: head_of(s, neck[-1], hidden, rates.get(s.kind), regression) for s in tasks},
    )


def linear_heads(
    backbone: nn.Module,
    tasks: Sequence[TaskSpec],
    dropout: float | None = None,
    regression: str = "number",
) -> MultiTaskNet:
    """The network that a backbone makes with one last layer a task, and dropout before it where a
    rate is given."""
    width = num_features(backbone)
    return MultiTaskNet(
        backbone,
        nn.Identity(),
        tasks,
        {s.name: head_of(s, width, None, dropout, regression) for s in tasks},
    )


def head_of(
    spec: TaskSpec, inner: int, hidden: int | None, dropout: float | None, regression: str
) -> TaskHead:
    """The head of a task; ``regression`` says of which kind that of a regression is.

    Raises AgeGenderEmoError for a kind that is not known.
    """
    _one_of("regression", regression, ("number", "expected", "bounded"))
    if spec.kind == "regression" and regression == "expected":
        return ExpectedHead(inner, hidden, dropout)
    if spec.kind == "regression" and regression == "bounded":
        return BoundedHead(inner, hidden, spec.outputs, dropout)
    return TaskHead(inner, hidden, spec.outputs, dropout)


def library_net(
    net: nn.Module,
    width: int,
    tasks: Sequence[TaskSpec],
    *,
    dropout: float | None = None,
    dropout_scale: float = 1.0,
    neck: str = "linear",
    regression: str = "number",
) -> MultiTaskNet:
    """A network of a library, which gives N×``width`` features, as a backbone.

    ``neck`` is ``"linear"``, one last layer a task with dropout before it where a rate is given, or
    ``"mlp"``, neck and heads of AgeGenderNet. ``regression`` is ``"number"``, ``"expected"`` for an
    `ExpectedHead`, or ``"bounded"`` for a `BoundedHead`.

    Raises AgeGenderEmoError for another word.
    """
    _one_of("neck", neck, ("linear", "mlp"))
    backbone = Backbone(net, width)
    if neck == "mlp":
        return multitask(backbone, tasks, dropout_scale=dropout_scale, regression=regression, **MLP)
    rate = None if dropout is None else dropout * dropout_scale
    return linear_heads(backbone, tasks, rate, regression)


def _one_of(option: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise AgeGenderEmoError(
            f"The option {option!r} of a network is {' or '.join(known)}, not {given!r}."
        )


def set_regression_start(net: MultiTaskNet, task: str, mean: float | None, unit: float) -> None:
    """Let an untrained regression begin at ``mean``, where one is known, and its answers spread as
    the labels do, about ``unit``; both in the unit of the task."""
    net.head(task).start_at(mean, unit)
