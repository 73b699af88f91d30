"""What every network shares: a backbone, a neck, one head a task, and one type of output."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from agegenderemo.errors import TaskError
from agegenderemo.tasks import Kind, TaskSpec, by_name


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


class TaskHead(nn.Sequential):
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

    @property
    def output(self) -> nn.Linear:
        """The last layer, which makes the raw outputs."""
        return cast(nn.Linear, self[-1])


class MultiTaskNet(nn.Module):
    """Backbone, neck and a head for each task, all passed in.

    ``backbone`` maps N×3×H×W to pooled N×``num_features``, which it declares as an attribute;
    ``neck`` those to N×D, and each head N×D to the outputs of its task.

    Raises ValueError for a backbone that does not say how many features it has, TaskError for heads
    that are not those of the tasks.
    """

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        tasks: Iterable[TaskSpec],
        heads: Mapping[str, TaskHead],
    ) -> None:
        super().__init__()
        self.tasks = tuple(by_name(tasks).values())
        wanted = {spec.name: spec.outputs for spec in self.tasks}
        if not wanted or {name: h.output.out_features for name, h in heads.items()} != wanted:
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
        features = self.backbone(x)
        z = self.neck(features)
        raw = {spec.name: (spec, self.heads[spec.name](z)) for spec in self.tasks}
        return Outputs(
            {
                n: value if spec.outputs > 1 else value.squeeze(1)
                for n, (spec, value) in raw.items()
            },
            features,
        )

    def head_output(self, task: str) -> nn.Linear:
        """The layer that makes the raw outputs of a task; raises TaskError for one it lacks."""
        if task not in self.heads:
            raise TaskError(
                f"This network has no task {task!r}; its tasks are: {', '.join(self.heads)}."
            )
        return cast(TaskHead, self.heads[task]).output


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
) -> MultiTaskNet:
    """The network that a backbone makes with an `mlp_neck` of these widths, from its own, and a
    head of ``hidden`` units a task.

    ``head_dropouts`` are rates before the last layer by the kind of task; a kind that is absent has
    no such layer. Every rate is multiplied by ``dropout_scale``.
    """
    rates = {kind: rate * dropout_scale for kind, rate in head_dropouts.items()}
    return MultiTaskNet(
        backbone,
        mlp_neck((num_features(backbone), *neck), [r * dropout_scale for r in neck_dropouts]),
        tasks,
        {s.name: TaskHead(neck[-1], hidden, s.outputs, rates.get(s.kind)) for s in tasks},
    )


def linear_heads(
    backbone: nn.Module, tasks: Sequence[TaskSpec], dropout: float = 0.0
) -> MultiTaskNet:
    """The network that a backbone makes with one last layer a task, and dropout before it."""
    width = num_features(backbone)
    return MultiTaskNet(
        backbone,
        nn.Identity(),
        tasks,
        {s.name: TaskHead(width, None, s.outputs, dropout) for s in tasks},
    )


@torch.no_grad()
def set_regression_start(net: MultiTaskNet, task: str, mean: float | None, unit: float) -> None:
    """Let an untrained regression begin at ``mean``, where one is known, and its weights ``unit``
    times as large, so that its outputs spread as the labels do, both in the unit of the task."""
    output = net.head_output(task)
    output.weight.mul_(unit)
    if mean is not None:
        output.bias.fill_(mean)
