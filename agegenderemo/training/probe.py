"""A small probe on the public face network's embeddings: it learns the tasks from the labels of the
training faces, and answers for every face, whatever labels that face has."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from tqdm import tqdm

from agegenderemo.data.targets import RegressionTarget, Targets
from agegenderemo.models.mobilenet_v1_face import MobileNetV1Face
from agegenderemo.training.losses import LossSettings, multitask_loss
from agegenderemo.training.soft_targets import SoftTargets

_COMPONENTS = 128
_HIDDEN = 384
_BATCH = 256

Start = Mapping[str, tuple[float, float]]
"""Where a regression begins, and how far it spreads, by the name of the task, in its unit."""


def probe_targets(
    embeddings: Tensor,
    targets: Targets,
    seed: int,
    epochs: int = 12,
    start: Start | None = None,
) -> SoftTargets:
    """Train the probe on N×1024 embeddings and their labels, and let it answer for all of them.

    Each half of the faces is answered by a probe trained on the other half, so that the answers
    are what the embedding shows and not remembered labels. A task that has no labels in one half is
    not answered. ``start`` is taken from the labels for a task that it does not name.
    """
    x = embeddings.sqrt()  # tames the long tail of ReLU means
    x = (x - x.mean(dim=0)) / x.std(dim=0).clamp(min=1e-3)
    half = torch.rand(len(x), generator=torch.Generator().manual_seed(seed)) < 0.5
    taught = Targets(
        {n: t for n, t in targets.items() if t.mask[half].any() and t.mask[~half].any()}
    )
    begin = {n: (start or {}).get(n) or _start_of(t) for n, t in _regressions(taught).items()}
    values: dict[str, Tensor] = {}
    for side in (half, ~half) if taught else ():
        out = _answers(x, taught, torch.nonzero(~side).flatten(), seed, epochs, begin)
        for name, value in out.items():
            values.setdefault(name, torch.empty_like(value))[side] = value[side]
    return SoftTargets(values, principal_components(x))


def _regressions(targets: Targets) -> dict[str, RegressionTarget]:
    return {n: t for n, t in targets.items() if isinstance(t, RegressionTarget)}


def _known(target: RegressionTarget) -> Tensor:
    """The numbers that are labels, and the ends of those intervals that have two."""
    ends = torch.cat([target.low[target.mask], target.high[target.mask]])
    return ends[torch.isfinite(ends)]


def _start_of(target: RegressionTarget) -> tuple[float, float]:
    known = _known(target)
    return float(known.mean()), max(float(known.std(correction=0)), 1e-3)


class _Probe(nn.Module):
    def __init__(self, targets: Targets, start: Start) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(MobileNetV1Face.num_features, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.4),
        )
        self.start = start
        self.heads = nn.ModuleDict(
            {name: nn.Linear(_HIDDEN, _outputs(targets, name)) for name in targets}
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Raw outputs by the name of the task."""
        z = self.body(x)
        raw = {name: head(z) for name, head in self.heads.items()}
        raw = {name: own if own.shape[1] > 1 else own.squeeze(1) for name, own in raw.items()}
        for name, (centre, spread) in self.start.items():
            raw[name] = centre + spread * raw[name]
        return raw


def _outputs(targets: Targets, name: str) -> int:
    first = targets[name][0]
    return first.shape[1] if first.ndim > 1 else 1


def _answers(
    x: Tensor, targets: Targets, rows: Tensor, seed: int, epochs: int, start: Start
) -> dict[str, Tensor]:
    """What a probe that was trained on ``rows`` says of all faces."""
    torch.manual_seed(seed)
    probe = _Probe(targets, start)
    steps = epochs * math.ceil(len(rows) / _BATCH)
    optimiser = torch.optim.AdamW(probe.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    # An error of half a spread counts as much as a task of classes.
    settings = LossSettings({name: 2 / spread for name, (_, spread) in start.items()})
    for _ in tqdm(range(epochs), desc="teaching the probe", unit="epoch", disable=None):
        for batch in rows[torch.randperm(len(rows))].split(_BATCH):
            loss = multitask_loss(probe(x[batch]), targets.take(batch), settings).total
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    probe.eval()
    with torch.inference_mode():
        raw = probe(x)
    return {name: _value(own, targets, name) for name, own in raw.items()}


def _value(raw: Tensor, targets: Targets, name: str) -> Tensor:
    target = targets[name]
    if isinstance(target, RegressionTarget):
        known = _known(target)
        return raw.clamp(known.min(), known.max())
    return raw.sigmoid() if raw.ndim == 1 else raw.softmax(dim=1)


def principal_components(x: Tensor) -> Tensor:
    """N×C to the first of their principal components, N×128 at most, of unit variance overall."""
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    top = values.argsort(descending=True)[:_COMPONENTS]
    projected = x @ vectors[:, top]
    scaled: Tensor = projected / projected.std()
    return scaled
