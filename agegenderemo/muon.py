"""Muon (Jordan et al. 2024) for the kernels of convolutions.

PyTorch's own takes matrices only, and works in bfloat16, which processors without it emulate at a
small part of the speed of float32; a test holds this one to its steps.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_ADAMW_LENGTH = 0.2  # root mean square of a typical step of AdamW at rate 1 (Liu et al. 2025)


def kernels_of(model: nn.Module) -> list[Tensor]:
    """The kernels that Muon suits: of convolutions over more channels than a picture has, so
    neither the first of a network nor depthwise ones."""
    return [
        module.weight
        for module in model.modules()
        if isinstance(module, nn.Conv2d) and module.weight.shape[1] > 3
    ]


class KernelMuon(torch.optim.Optimizer):
    """Moves each kernel along its smoothed gradient made orthogonal, a row an output channel.

    Steps are as long as AdamW's, so that both can share a learning rate. ``precision`` is that of
    the orthogonalisation.
    """

    def __init__(
        self,
        kernels: list[Tensor],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(kernels, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.precision = precision

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step on the gradients that the kernels have; ``closure`` is not called."""
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is None:
                    continue
                state = self.state[kernel]
                if not state:
                    state["mean"] = torch.zeros_like(kernel)
                mean = state["mean"].lerp_(kernel.grad, 1 - group["momentum"])
                ahead = kernel.grad.lerp(mean, group["momentum"])
                matrix = orthogonalise(ahead.flatten(1).to(self.precision)).to(kernel.dtype)
                length = _ADAMW_LENGTH * max(matrix.shape) ** 0.5
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                kernel.sub_(matrix.view_as(kernel), alpha=group["lr"] * length)


def orthogonalise(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors and all singular values near one."""
    a, b, c = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
