"""SSR-Net (Yang et al. 2018): two narrow streams of three stages, and a regression that each stage
makes finer by a digit."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from agegenderemo.models.heads import Head, MultiTaskNet, TaskHead, flattest
from agegenderemo.models.layers import AveragePool
from agegenderemo.models.registry import register
from agegenderemo.tasks import TaskSpec
from agegenderemo.types import InputSpec

_WIDTHS = (32, 16)  # channels of the two streams
_REDUCED = 10  # channels of what a stage gives
_GRIDS = (4, 3, 3)  # sides of the last, the second and the first stage, as 64 pixels give them
_BINS = 3  # a stage divides what the one before it leaves into so many
_DROPOUT = 0.2
_SPAN = 101.0  # answers lie between 0 and this, in the unit of the task
_CALM = 0.1  # of the first weights of a stage, so that they hardly move where it starts
_SHIFT = 0.25  # how far a bin, and the width of all bins, may move: lambda of the published code


class _Stream(nn.Module):
    """Four 3×3 convolutions with a pool after each but the last; N×3×H×W to a grid for each stage,
    the last one first, as N×(10·side²).

    Rectified and averaged, or where ``narrow`` between −1 and 1 and the largest: that two streams
    differ is what makes their product say something.
    """

    def __init__(self, width: int, narrow: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inner, outer, 3, bias=False),
                nn.BatchNorm2d(outer),
                nn.Tanh() if narrow else nn.ReLU(),
            )
            for inner, outer in pairwise((3, *[width] * 4))
        )
        self.halve = nn.MaxPool2d(2) if narrow else nn.AvgPool2d(2)
        self.grids = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, _REDUCED, 1), nn.ReLU(), AveragePool(side), nn.Flatten())
            for side in _GRIDS
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        first, second, third, fourth = self.blocks
        one = self.halve(first(x))
        two = self.halve(second(one))
        last = fourth(self.halve(third(two)))
        return [grid(y) for grid, y in zip(self.grids, (last, two, one), strict=True)]


class SSRNetBackbone(nn.Module):
    """N×3×H×W, from 38 pixels, to N×``num_features``: for each stage, the last one first, a grid of
    each stream. Below 62 pixels parts of a grid overlap."""

    num_features = 2 * _REDUCED * sum(side**2 for side in _GRIDS)

    def __init__(self) -> None:
        super().__init__()
        self.wide = _Stream(_WIDTHS[0], narrow=False)
        self.narrow = _Stream(_WIDTHS[1], narrow=True)

    def forward(self, x: Tensor) -> Tensor:
        pairs = zip(self.wide(x), self.narrow(x), strict=True)
        return torch.cat([grid for pair in pairs for grid in pair], dim=1)


class _Stage(nn.Module):
    """One digit from the grids of two streams, N×``inner`` each: N×`_BINS` shares, as far as each
    bin is moved, and N×1, how much wider all bins are; both between −1 and 1.

    Softplus stands where the published code rectifies: of three units none may die.
    """

    def __init__(self, inner: int, dropout: float) -> None:
        super().__init__()
        self.mixes = nn.ModuleList(
            nn.Sequential(nn.Dropout(dropout), nn.Linear(inner, _BINS), nn.Softplus())
            for _ in _WIDTHS
        )
        self.hidden = nn.Sequential(nn.Linear(_BINS, 2 * _BINS), nn.Softplus())
        self.shares = nn.Linear(2 * _BINS, _BINS)
        self.shift = nn.Linear(2 * _BINS, _BINS)
        self.width = nn.Linear(inner, 1)

    def forward(self, wide: Tensor, narrow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.hidden(self.mixes[0](wide) * self.mixes[1](narrow))
        # Shares, as the paper's equations have them; its code rectifies instead.
        shares = self.shares(hidden).float().softmax(dim=1)
        return shares, torch.tanh(self.shift(hidden)), torch.tanh(self.width(wide * narrow))


class StagewiseHead(Head):
    """Soft stagewise regression: N×`SSRNetBackbone.num_features` to N×1 in 0 to about 101."""

    outputs = 1

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.stages = nn.ModuleList(_Stage(_REDUCED * side**2, dropout) for side in _GRIDS)

    def forward(self, x: Tensor) -> Tensor:
        sizes = [_REDUCED * side**2 for side in _GRIDS for _ in _WIDTHS]
        grids = torch.split(x, sizes, dim=1)
        bins = torch.arange(float(_BINS), device=x.device)
        divisor: Tensor | float = 1.0
        digits = []
        for stage, wide, narrow in zip(self.stages, grids[::2], grids[1::2], strict=True):
            shares, shift, width = stage(wide, narrow)
            divisor = divisor * _BINS * (1 + _SHIFT * width)
            digit = (shares * (bins + _SHIFT * shift)).sum(dim=1, keepdim=True)
            digits.append(digit / divisor)
        return _SPAN * torch.cat(digits, dim=1).sum(dim=1, keepdim=True)

    @torch.no_grad()
    def start_at(self, mean: float | None, unit: float) -> None:
        """Every digit begins with the same mean, which together make the one that is wanted;
        ``unit`` is not needed, for shares have none."""
        if mean is None:
            return
        ones = sum(_BINS ** -(1.0 + stage) for stage in range(len(_GRIDS)))
        for stage in self.stages:
            assert isinstance(stage, _Stage)
            stage.shares.bias.copy_(flattest(_BINS, mean / _SPAN / ones))
            for layer in (stage.shares, stage.shift, stage.width):
                layer.weight.mul_(_CALM)
            stage.shift.bias.zero_()
            stage.width.bias.zero_()

    def unit_parameters(self) -> list[nn.Parameter]:
        """None: shares have no unit."""
        return []


@register("ssrnet", InputSpec(64))
def ssrnet(tasks: Sequence[TaskSpec], *, dropout_scale: float = 1.0) -> MultiTaskNet:
    """SSR-Net, 38 thousand parameters and 3 thousand a regression; other tasks have one last layer
    on its grids."""
    backbone = SSRNetBackbone()
    rate = _DROPOUT * dropout_scale
    heads: dict[str, Head] = {
        s.name: StagewiseHead(rate)
        if s.kind == "regression"
        else TaskHead(backbone.num_features, None, s.outputs, rate)
        for s in tasks
    }
    return MultiTaskNet(backbone, nn.Identity(), tasks, heads)
