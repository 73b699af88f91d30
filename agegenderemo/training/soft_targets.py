"""What teachers say of faces, in the vocabulary of the network that learns from them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from agegenderemo.tasks import TaskSpec

Values = Mapping[str, Tensor]
"""Of N faces by the name of the task: (N,) numbers in its unit, or probabilities of its second
class, or (N, K) probabilities. A task of which nothing is said is absent."""

_TINY = 1e-6  # of probability on the classes that both know


class SoftTargets(NamedTuple):
    """What the teachers say of N training faces."""

    values: dict[str, Tensor]
    features: Tensor | None
    """(N, C) principal components of the public network's embeddings, unit variance overall."""

    def take(self, rows: Tensor) -> "SoftTargets":
        """Those of some faces."""
        features = None if self.features is None else self.features[rows]
        return SoftTargets({name: own[rows] for name, own in self.values.items()}, features)

    def to(self, device: torch.device) -> "SoftTargets":
        """The same on a device, without waiting for what it is doing."""
        features = self.features
        return SoftTargets(
            {name: own.to(device, non_blocking=True) for name, own in self.values.items()},
            None if features is None else features.to(device, non_blocking=True),
        )


def shared_tasks(
    theirs: Sequence[TaskSpec], ours: Sequence[TaskSpec]
) -> list[tuple[TaskSpec, TaskSpec]]:
    """Pairs of a teacher's task and ours that it can teach: of one name, kind and unit, and every
    class of ours is one of its own."""
    by_name = {spec.name: spec for spec in theirs}
    pairs = []
    for own in ours:
        other = by_name.get(own.name)
        if other is None or (other.kind, other.unit) != (own.kind, own.unit):
            continue
        if set(own.classes) <= set(other.classes):
            pairs.append((other, own))
    return pairs


def in_vocabulary(
    values: Values, theirs: Sequence[TaskSpec], ours: Sequence[TaskSpec]
) -> dict[str, Tensor]:
    """A teacher's values of the tasks that it shares with us, in the order of our classes.

    Probability on classes that we do not have is shared out over the others.
    """
    found = {}
    for other, own in shared_tasks(theirs, ours):
        value = values[own.name]
        if other.classes != own.classes and own.kind == "binary":  # the other way round
            value = 1 - value
        elif other.classes != own.classes:
            kept = value[:, [other.classes.index(name) for name in own.classes]]
            value = (kept + _TINY) / (kept + _TINY).sum(dim=1, keepdim=True)
        found[own.name] = value
    return found


def ensemble(
    probe: Values,
    others: Sequence[Values],
    specs: Sequence[TaskSpec],
    unseen: Tensor | None = None,
) -> dict[str, Tensor]:
    """The mean, task by task, of what the probe of the public network and the ``others`` say.

    Numbers of a regression are those of the others alone: the probe takes children for older. So is
    everything about the ``unseen`` faces, (N,) bool, which the probe never saw.
    """
    found = {}
    for spec in specs:
        own = probe.get(spec.name)
        given = [values[spec.name] for values in others if spec.name in values]
        if not given:
            if own is not None:
                found[spec.name] = own
            continue
        alone = torch.stack(given).mean(dim=0)
        if own is None or spec.kind == "regression":
            found[spec.name] = alone
            continue
        value = torch.stack([own, *given]).mean(dim=0)
        if unseen is not None:
            mask = unseen.view(-1, *[1] * (value.ndim - 1))
            value = torch.where(mask, alone, value)
        found[spec.name] = value
    return found
