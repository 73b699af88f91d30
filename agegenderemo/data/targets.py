"""Labels of samples as tensors with masks, in the vocabulary of the network that learns them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from agegenderemo.data.samples import Label, Sample, interval
from agegenderemo.errors import TaskError
from agegenderemo.tasks import TaskSpec, by_name

_ENOUGH = 0.5  # of a distribution must lie on classes that the network knows


class RegressionTarget(NamedTuple):
    """Closed intervals in the unit of the task, ``low == high`` where the number is known; ``high``
    is infinite where the interval is open. ``deviation`` is that of the guesses where the number is
    the mean of some, else 0. Where the mask is False they mean nothing."""

    low: Tensor  # (N,) float32
    high: Tensor  # (N,) float32
    mask: Tensor  # (N,) bool
    deviation: Tensor  # (N,) float32


class BinaryTarget(NamedTuple):
    """1 for the second class, 0 for the first; where the mask is False the value means nothing."""

    value: Tensor  # (N,) float32
    mask: Tensor  # (N,) bool


class CategoricalTarget(NamedTuple):
    """Rows that sum to one, in the order of the network's classes; where the mask is False they
    are zero."""

    probabilities: Tensor  # (N, K) float32
    mask: Tensor  # (N,) bool


Target = RegressionTarget | BinaryTarget | CategoricalTarget


class Targets(dict[str, Target]):
    """Labels of N faces by the name of the task, in the order of the network's tasks."""

    def take(self, rows: Tensor | slice) -> "Targets":
        """The labels of some faces."""
        return Targets({n: _mapped(t, lambda v: v[rows]) for n, t in self.items()})

    def without(self, faces: Tensor) -> "Targets":
        """The same with no labels where ``faces``, (N,) bool, is True."""
        return Targets({n: t._replace(mask=t.mask & ~faces) for n, t in self.items()})

    def to(self, device: torch.device | str) -> "Targets":
        """The same on a device, without waiting for what it is doing."""
        return Targets(
            {n: _mapped(t, lambda v: v.to(device, non_blocking=True)) for n, t in self.items()}
        )


def _mapped(target: Target, change: Callable[[Tensor], Tensor]) -> Target:
    return type(target)(*map(change, target))


def concatenate(parts: Sequence[Targets]) -> Targets:
    """The labels of several data sets, one after the other; each must have the same tasks."""
    return Targets(
        {
            name: type(first)(*map(torch.cat, zip(*(part[name] for part in parts), strict=True)))
            for name, first in parts[0].items()
        }
    )


def make_targets(
    samples: Sequence[Sample], set_tasks: Sequence[TaskSpec], tasks: Sequence[TaskSpec]
) -> Targets:
    """Labels of the samples of one set as targets for a network with ``tasks``.

    ``set_tasks`` say in which vocabulary the samples are labelled. Classes are matched by name:
    probability on classes that the network does not know is shared out over the others, and a face
    with less than half of it on known classes has no label.

    Raises TaskError where the set and the network mean different things by a name.
    """
    own = by_name(set_tasks)
    return Targets(
        {
            spec.name: _target([s.labels.get(spec.name) for s in samples], own.get(spec.name), spec)
            for spec in tasks
        }
    )


def _target(labels: Sequence[Label | None], own: TaskSpec | None, spec: TaskSpec) -> Target:
    if own is None:
        labels, own = [None] * len(labels), spec
    if own.kind != spec.kind:
        raise TaskError(
            f"The task {spec.name!r} is {own.kind} in the data set and {spec.kind} in the network."
        )
    if spec.kind == "regression":
        return _regression(labels)
    if spec.kind == "binary":
        return _binary(labels, own, spec)
    return _categorical(labels, own, spec)


def _regression(labels: Sequence[Label | None]) -> RegressionTarget:
    ends = [(0.0, 0.0) if label is None else interval(label) for label in labels]
    return RegressionTarget(
        torch.tensor([low for low, _ in ends], dtype=torch.float32),
        torch.tensor([high for _, high in ends], dtype=torch.float32),
        _mask(labels),
        torch.tensor([getattr(label, "deviation", 0.0) for label in labels], dtype=torch.float32),
    )


def _binary(labels: Sequence[Label | None], own: TaskSpec, spec: TaskSpec) -> BinaryTarget:
    if set(own.classes) != set(spec.classes):
        raise _no_common(own, spec)
    values = [0.0 if label is None else float(_number(label)) for label in labels]
    if own.classes != spec.classes:  # the other way round
        values = [1 - value for value in values]
    return BinaryTarget(torch.tensor(values, dtype=torch.float32), _mask(labels))


def _categorical(
    labels: Sequence[Label | None], own: TaskSpec, spec: TaskSpec
) -> CategoricalTarget:
    if not set(own.classes) & set(spec.classes):
        raise _no_common(own, spec)
    rows = [None if label is None else _remapped(label, own, spec) for label in labels]
    none = (0.0,) * len(spec.classes)
    values = torch.tensor([none if row is None else row for row in rows], dtype=torch.float32)
    return CategoricalTarget(values.reshape(-1, len(spec.classes)), _mask(rows))


def _remapped(label: Label, own: TaskSpec, spec: TaskSpec) -> tuple[float, ...] | None:
    assert isinstance(label, tuple)
    if own.classes == spec.classes:
        return label
    by_class = dict(zip(own.classes, label, strict=True))
    kept = [by_class.get(name, 0.0) for name in spec.classes]
    mass = sum(kept)
    return tuple(value / mass for value in kept) if mass >= _ENOUGH else None


def _mask(labels: Sequence[Label | None]) -> Tensor:
    return torch.tensor([label is not None for label in labels], dtype=torch.bool)


def _number(label: Label) -> float:
    assert not isinstance(label, tuple)
    return label


def _no_common(own: TaskSpec, spec: TaskSpec) -> TaskError:
    return TaskError(
        f"The classes of {spec.name!r} are {', '.join(own.classes)} in the data set and "
        f"{', '.join(spec.classes)} in the network."
    )
