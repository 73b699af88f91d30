"""Quantisation-aware training (Jacob et al. 2018): a network learns to answer with rounded
convolutions as it did before.

Kernels are rounded a channel at a time, as the int8 graph has them: the batch norm that is folded
in there scales whole channels, and so moves no rounding. Inputs of convolutions are rounded to 256
steps of the range that they were seen to have. Gradients pass through the rounding. The network is
its own teacher, so that no labels are needed; batch norms stay as they are.
"""

import contextlib
import copy
import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from agegenderemo.models.heads import MultiTaskNet
from agegenderemo.tasks import TaskSpec

_MOMENTUM = 0.1  # of a new batch in the range of inputs
_TINY = 1e-8
_STEPS = 64  # from 0 to the largest weight


@contextlib.contextmanager
def rounded(model: nn.Module) -> Iterator[None]:
    """Within it, every convolution of a network computes with rounded weights and inputs, and its
    own weights stay what is learnt."""
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    hooks = []
    for conv in convs:
        parametrize.register_parametrization(conv, "weight", _RoundedKernel(), unsafe=True)
        hooks.append(conv.register_forward_pre_hook(_RoundedInput()))
    try:
        yield
    finally:
        for conv in convs:
            parametrize.remove_parametrizations(conv, "weight", leave_parametrized=False)
        for hook in hooks:
            hook.remove()


def quantization_aware(
    model: MultiTaskNet, batches: Iterable[Tensor], learning_rate: float, steps: int
) -> Iterator[float]:
    """Train a network in place, a step for each batch of N×3×S×S normalised faces.

    The learning rate falls to zero in ``steps``, along a cosine: weights that still move at the end
    are rounded now one way, now the other. Yields how far rounded answers are from those of the
    network as it was given, before each step.
    """
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    model.eval().requires_grad_(True)
    with rounded(model):
        optimiser = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=0.0)
        for step, faces in enumerate(batches):
            now = learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
            optimiser.param_groups[0]["lr"] = now
            with torch.no_grad():
                wanted = teacher(faces).predictions
            given = model(faces).predictions
            parts = [_apart(spec, given[spec.name], wanted[spec.name]) for spec in model.tasks]
            loss = torch.stack(parts).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            yield loss.item()
    model.requires_grad_(False)


def _apart(spec: TaskSpec, given: Tensor, wanted: Tensor) -> Tensor:
    """A regression's error in shares of its spread, other tasks' divergence: 0 for the same."""
    if spec.kind == "regression":
        return F.l1_loss(given, wanted) / wanted.std(correction=0).clamp(min=_TINY)
    if spec.kind == "binary":
        given, wanted = (torch.stack([torch.zeros_like(x), x], dim=1) for x in (given, wanted))
    logs = [F.log_softmax(x, dim=1) for x in (given, wanted)]
    return F.kl_div(logs[0], logs[1], reduction="batchmean", log_target=True)


class _RoundedKernel(nn.Module):
    """A kernel at 129 steps, for weights have 7 bits there; symmetric, by the largest weight of
    each of its channels."""

    def forward(self, weight: Tensor) -> Tensor:
        scale = weight.detach().abs().amax(dim=(1, 2, 3)).clamp(min=_TINY) / _STEPS
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -_STEPS, _STEPS)


class _RoundedInput:
    """The input of a convolution at 256 steps from the least to the largest value of late."""

    def __init__(self) -> None:
        self.low, self.high = 0.0, 0.0

    def __call__(self, module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        (x,) = inputs
        seen = x.detach()
        low, high = min(float(seen.min()), 0.0), max(float(seen.max()), _TINY)
        if self.high:
            low = self.low + _MOMENTUM * (low - self.low)
            high = self.high + _MOMENTUM * (high - self.high)
        self.low, self.high = low, high
        scale = (high - low) / 255
        return (torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, 255),)
