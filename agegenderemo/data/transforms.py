"""From aligned crops to network input: one path for evaluation and live use, one for training."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from agegenderemo.types import InputSpec

_GREY = (0.299, 0.587, 0.114)
_ANTIALIAS_MARGIN = 1.25  # training crops are reduced to this times the input before warping


def to_input(crops: Tensor, spec: InputSpec) -> Tensor:
    """N×S×S×3 RGB uint8 crops to N×3×size×size normalised float32."""
    return fit_input(crops.permute(0, 3, 1, 2).float().div(255), spec)


def fit_input(pictures: Tensor, spec: InputSpec) -> Tensor:
    """N×3×S×S RGB float32 pictures in [0, 1] to N×3×size×size normalised float32."""
    mean = pictures.new_tensor(spec.mean).view(1, 3, 1, 1)
    std = pictures.new_tensor(spec.std).view(1, 3, 1, 1)
    x = (_resize(pictures, spec.size) - mean) / std
    return x.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random changes for training; each number is the largest change, or a probability.

    ``shift`` and ``erase_size`` are fractions of the side, ``rotation`` degrees, ``hue`` turns of
    the colour circle, ``zoom`` and the other colour ranges factors off one. ``grey``, ``blur``,
    ``erase`` and ``noise`` are the probability that a face gets them: FER+ faces are grey and 48
    pixels wide, webcam faces neither. ``mixup`` is the probability that another face of the batch
    shows through (Zhang et al. 2018); labels mean nothing then, so it wants online distillation.
    """

    rotation: float = 10.0
    zoom: float = 0.12
    shift: float = 0.06
    brightness: float = 0.25
    contrast: float = 0.25
    saturation: float = 0.3
    hue: float = 0.0
    grey: float = 0.25
    blur: float = 0.25
    erase: float = 0.2
    erase_size: float = 0.35
    noise: float = 0.2
    mixup: float = 0.0


class AugmentationParameters(NamedTuple):
    """What is done to each of N faces. Drawn before any pixel is touched, so that a part of a batch
    is changed in the same way on whichever process it lands."""

    warp: Tensor  # (N, 2, 3) for affine_grid
    saturation: Tensor  # (N,) factors
    contrast: Tensor
    brightness: Tensor
    hue: Tensor  # (N,) radians
    reduced: Tensor  # (N,) side that the face is shrunk to and back, as a fraction; 1 leaves it
    noise: Tensor  # (N,) int64 seeds; -1 leaves it
    erased: Tensor  # (N, 5) top, left, height and width as fractions, and the grey put there
    mixup: Tensor  # (N,) how much of its neighbour (face 1 of 0, 0 of 1, 3 of 2…) shows through

    def take(self, rows: Tensor | slice) -> "AugmentationParameters":
        """The parameters of some faces."""
        return AugmentationParameters(*(value[rows] for value in self))


def sample_parameters(
    count: int, how: Augmentation, generator: Generator
) -> AugmentationParameters:
    """Random changes for ``count`` faces, a pure function of the generator's state."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    def chosen(probability: float) -> Tensor:
        return torch.rand(count, generator=generator) < probability

    angle = uniform(-1, 1) * math.radians(how.rotation)
    scale = 1 + uniform(-1, 1) * how.zoom
    flip = torch.where(chosen(0.5), -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    # affine_grid spans [-1, 1], so a shift by a fraction of the side is twice that.
    dx, dy = (2 * how.shift * uniform(-1, 1) for _ in range(2))
    warp = torch.stack([cos * flip, -sin, dx, sin * flip, cos, dy], dim=1).view(count, 2, 3)

    saturation = 1 + how.saturation * uniform(-1, 1)
    saturation[chosen(how.grey)] = 0
    # One reduced size a batch keeps the resizing a single call.
    reduced = torch.where(chosen(how.blur), float(uniform(1 / 3, 1)[0]) if count else 1.0, 1.0)
    seeds = torch.randint(0, 2**31, (count,), generator=generator)
    sides = [uniform(0.02, max(0.02, how.erase_size)) for _ in range(2)]
    sides = [torch.where(chosen(how.erase), side, 0.0) for side in sides]
    corners = [uniform(0, 1) * (1 - side) for side in sides]
    erased = torch.stack([*corners, *sides, uniform(0, 1)], dim=1)
    shares = torch.zeros(count)
    if how.mixup:
        shares = torch.where(chosen(how.mixup), uniform(0, 1), 0.0)
    return AugmentationParameters(
        warp,
        saturation,
        1 + how.contrast * uniform(-1, 1),
        1 + how.brightness * uniform(-1, 1),
        2 * math.pi * how.hue * uniform(-1, 1) if how.hue else torch.zeros(count),
        reduced,
        torch.where(chosen(how.noise), seeds, -1),
        erased,
        shares,
    )


def augment(crops: Tensor, size: int, parameters: AugmentationParameters) -> Tensor:
    """N×S×S×3 RGB uint8 crops to changed N×3×size×size float32 pictures in [0, 1], on their device.

    ``parameters`` stay on the CPU, which decides by them what is to do: a GPU would make it wait.
    """
    x = crops.permute(0, 3, 1, 2)
    if x.is_cuda:
        x = x.float()  # only CPUs resize bytes, and they do it several times as fast
    x = _resize(x, min(x.shape[-1], round(size * _ANTIALIAS_MARGIN))).float().div_(255)
    grid = F.affine_grid(_sent(parameters.warp, x), [len(x), 3, size, size], align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    x = _recolour(x, parameters)
    x = _degrade(x, parameters)
    return mixup(_erase(x.clamp_(0, 1), parameters.erased), parameters.mixup)


def _sent(values: Tensor, x: Tensor) -> Tensor:
    """The values on the device of ``x``, without waiting for what it is doing."""
    return values.to(x.device, non_blocking=True)


def _resize(x: Tensor, size: int) -> Tensor:
    if x.shape[-1] == size:
        return x
    return F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)


def _recolour(x: Tensor, parameters: AugmentationParameters) -> Tensor:
    def factor(values: Tensor) -> Tensor:
        return _sent(values, x).view(-1, 1, 1, 1)

    if parameters.hue.any():
        x = torch.einsum("nij,njhw->nihw", _sent(_turn_hue(parameters.hue), x), x)
    grey = (x * x.new_tensor(_GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    x = torch.lerp(grey, x, factor(parameters.saturation))
    mean = grey.mean(dim=(2, 3), keepdim=True)
    return torch.lerp(mean, x, factor(parameters.contrast)).mul_(factor(parameters.brightness))


def _turn_hue(angle: Tensor) -> Tensor:
    """(N, 3, 3): rotations of RGB about the grey axis, which keep grey as it is."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    along = (1 - cos) / 3
    up, down = along + sin / math.sqrt(3), along - sin / math.sqrt(3)
    on = cos + along
    return torch.stack([on, down, up, up, on, down, down, up, on], dim=1).view(-1, 3, 3)


def _degrade(x: Tensor, parameters: AugmentationParameters) -> Tensor:
    """Some faces as a small or noisy camera would show them."""
    size = x.shape[-1]
    for fraction in set(parameters.reduced[parameters.reduced < 1].tolist()):
        rows = _sent(torch.nonzero(parameters.reduced == fraction).flatten(), x)
        x[rows] = _resize(_resize(x[rows], max(1, round(size * fraction))), size)
    for row in torch.nonzero(parameters.noise >= 0).flatten().tolist():
        own = Generator(x.device).manual_seed(int(parameters.noise[row]))
        x[row] += torch.randn(x[row].shape, generator=own, device=x.device) * 0.04
    return x


def _erase(x: Tensor, erased: Tensor) -> Tensor:
    size = x.shape[-1]
    for row in torch.nonzero((erased[:, 2] > 0) & (erased[:, 3] > 0)).flatten().tolist():
        top, left, height, width = (round(size * v) for v in erased[row, :4].tolist())
        x[row, :, top : top + height, left : left + width] = erased[row, 4]
    return x


def mixup(x: Tensor, shares: Tensor) -> Tensor:
    """Let the neighbour of each face (face 1 of 0, 0 of 1, 3 of 2…) show through by its share, (N,)
    on the CPU; changes and returns ``x``, N×3×S×S."""
    rows = torch.nonzero(shares > 0).flatten()
    if not len(rows):
        return x
    neighbours = (rows ^ 1).clamp(max=len(x) - 1)  # the last of an odd number has itself
    share = _sent(shares[rows], x).view(-1, 1, 1, 1)
    rows, neighbours = _sent(rows, x), _sent(neighbours, x)
    x[rows] = torch.lerp(x[rows], x[neighbours], share)
    return x
