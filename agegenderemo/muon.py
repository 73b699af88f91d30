"""Muon (Jordan et al. 2024) for the kernels of convolutions."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def kernels_of(model: nn.Module) -> list[Tensor]:
    """The kernels that Muon suits: of convolutions over more channels than a picture has, so
    neither the first of a network nor depthwise ones."""
    return [
        module.weight
        for module in model.modules()
        if isinstance(module, nn.Conv2d) and module.weight.shape[1] > 3
    ]


class KernelMuon(torch.optim.Muon):
    """PyTorch's Muon, which knows matrices only: a kernel is one with a row an output channel.

    Its steps are as long as AdamW's, so that both share a learning rate. Kernels must be in the
    channels-last format, and must not be moved afterwards.
    """

    def __init__(self, kernels: list[Tensor], lr: float, weight_decay: float) -> None:
        self.kernels = kernels
        self.matrices = [nn.Parameter(_matrix(kernel.detach())) for kernel in kernels]
        for kernel, matrix in zip(kernels, self.matrices, strict=True):
            assert matrix.data_ptr() == kernel.data_ptr(), "the kernel is not channels-last"
        super().__init__(
            self.matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step on the gradients that the kernels have."""
        for kernel, matrix in zip(self.kernels, self.matrices, strict=True):
            matrix.grad = None if kernel.grad is None else _matrix(kernel.grad)
        return super().step(closure)  # type: ignore[no-untyped-call]


def _matrix(kernel: Tensor) -> Tensor:
    """O×I×H×W to O×HWI, in the order of memory."""
    return kernel.permute(0, 2, 3, 1).reshape(len(kernel), -1)
