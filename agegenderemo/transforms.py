"""From aligned crops to network input: one path for evaluation and live use, one for training."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from agegenderemo.records import InputSpec

_GREY = (0.299, 0.587, 0.114)
_ANTIALIAS_MARGIN = 1.25  # training crops are reduced to this times the input before warping


def to_input(crops: Tensor, spec: InputSpec) -> Tensor:
    """N×S×S×3 RGB uint8 crops to N×3×size×size normalised float32."""
    return _normalise(_resize(_planes(crops), spec.size), spec)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random changes for training; each number is the largest change, or a probability.

    ``shift`` and ``erase_size`` are fractions of the side, ``rotation`` degrees, ``zoom`` and the
    colour ranges factors off one. ``grey``, ``blur``, ``erase`` and ``noise`` are the probability
    that a face gets them: FER+ faces are grey and 48 pixels wide, webcam faces neither.
    """

    rotation: float = 10.0
    zoom: float = 0.12
    shift: float = 0.06
    brightness: float = 0.25
    contrast: float = 0.25
    saturation: float = 0.3
    grey: float = 0.25
    blur: float = 0.25
    erase: float = 0.2
    erase_size: float = 0.35
    noise: float = 0.2


def augment(crops: Tensor, spec: InputSpec, how: Augmentation, generator: Generator) -> Tensor:
    """N×S×S×3 RGB uint8 crops to randomly changed N×3×size×size normalised float32."""
    x = _planes(crops)
    x = _resize(x, min(x.shape[-1], round(spec.size * _ANTIALIAS_MARGIN)))
    x = _warp(x, spec.size, how, generator)
    x = _recolour(x, how, generator)
    x = _degrade(x, how, generator)
    return _normalise(_erase(x.clamp(0, 1), how, generator), spec)


def _planes(crops: Tensor) -> Tensor:
    return crops.permute(0, 3, 1, 2).float().div(255)


def _resize(x: Tensor, size: int) -> Tensor:
    if x.shape[-1] == size:
        return x
    return F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)


def _normalise(x: Tensor, spec: InputSpec) -> Tensor:
    mean = x.new_tensor(spec.mean).view(1, 3, 1, 1)
    std = x.new_tensor(spec.std).view(1, 3, 1, 1)
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def _spread(count: int, reach: float, generator: Generator) -> Tensor:
    """Uniform in [-reach, reach], one a face."""
    return (torch.rand(count, generator=generator) * 2 - 1) * reach


def _chosen(count: int, probability: float, generator: Generator) -> Tensor:
    return torch.nonzero(torch.rand(count, generator=generator) < probability).flatten()


def _warp(x: Tensor, size: int, how: Augmentation, generator: Generator) -> Tensor:
    n = len(x)
    angle = _spread(n, math.radians(how.rotation), generator)
    scale = 1 + _spread(n, how.zoom, generator)
    flip = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    # affine_grid spans [-1, 1], so a shift by a fraction of the side is twice that.
    dx, dy = (2 * _spread(n, how.shift, generator) for _ in range(2))
    matrix = torch.stack([cos * flip, -sin, dx, sin * flip, cos, dy], dim=1).view(n, 2, 3)
    grid = F.affine_grid(matrix, [n, 3, size, size], align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _recolour(x: Tensor, how: Augmentation, generator: Generator) -> Tensor:
    n = len(x)

    def factor(reach: float) -> Tensor:
        return (1 + _spread(n, reach, generator)).view(n, 1, 1, 1)

    grey = (x * x.new_tensor(_GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    saturation = factor(how.saturation)
    saturation[_chosen(n, how.grey, generator)] = 0
    x = torch.lerp(grey, x, saturation)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    return torch.lerp(mean, x, factor(how.contrast)) * factor(how.brightness)


def _degrade(x: Tensor, how: Augmentation, generator: Generator) -> Tensor:
    """Some faces as a small or noisy camera would show them."""
    n, size = len(x), x.shape[-1]
    rows = _chosen(n, how.blur, generator)
    if len(rows):
        # One reduced size a batch keeps this a single call.
        small = int(torch.randint(size // 3, size, (1,), generator=generator))
        x[rows] = _resize(_resize(x[rows], small), size)
    rows = _chosen(n, how.noise, generator)
    if len(rows):
        x[rows] += torch.randn(x[rows].shape, generator=generator) * 0.04
    return x


def _erase(x: Tensor, how: Augmentation, generator: Generator) -> Tensor:
    size = x.shape[-1]
    largest = max(2, round(size * how.erase_size))
    for row in _chosen(len(x), how.erase, generator).tolist():
        h, w = torch.randint(2, largest + 1, (2,), generator=generator).tolist()
        top = int(torch.randint(0, size - h + 1, (1,), generator=generator))
        left = int(torch.randint(0, size - w + 1, (1,), generator=generator))
        x[row, :, top : top + h, left : left + w] = float(torch.rand(1, generator=generator))
    return x
