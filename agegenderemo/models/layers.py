"""Layers that families share. Convolutional block attention is that of Woo et al. 2018."""

import torch
from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """Weights each channel by a gate in (0, 1) computed from its mean; N×C×H×W in and out.

    The paper adds a second path over the maxima; this one has the mean alone.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.gate(x.mean(dim=(2, 3)))
        return x * gate[:, :, None, None]


class SpatialAttention(nn.Module):
    """Weights each position by a gate in (0, 1) from the mean and maximum over the channels."""

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        summary = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.conv(summary))


class CBAM(nn.Sequential):
    """Channel attention, then spatial attention."""

    def __init__(self, channels: int) -> None:
        super().__init__(ChannelAttention(channels), SpatialAttention())


class AveragePool(nn.Module):
    """Means over a grid of ``side`` × ``side`` parts, whatever the size: PyTorch's adaptive pool as
    two products of matrices, which alone can be exported for sizes that the side does not divide.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        height, width = (self._means(int(n)).to(x) for n in x.shape[2:])
        return height @ x @ width.T

    def _means(self, length: int) -> Tensor:
        """``side`` × ``length``: a row has the weights of one part."""
        rows = torch.zeros(self.side, length)
        for row in range(self.side):
            start = row * length // self.side
            end = -(-(row + 1) * length // self.side)
            rows[row, start:end] = 1 / (end - start)
        return rows
