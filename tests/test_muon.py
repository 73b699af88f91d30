"""Muon for kernels: PyTorch's own steps, on the kernels that it suits, and state that is kept."""

import pytest
import torch
from torch import Tensor, nn

from agegenderemo.models import create_model
from agegenderemo.muon import KernelMuon, kernels_of, orthogonalise


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (48, 4, 1, 1)])
def test_steps_are_those_of_pytorch_on_matrices(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    kernel = nn.Parameter(torch.randn(shape).contiguous(memory_format=torch.channels_last))
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    ours = KernelMuon([kernel], 0.05, 0.1, precision=torch.bfloat16)
    theirs = torch.optim.Muon([matrix], 0.05, 0.1, adjust_lr_fn="match_rms_adamw")
    start = matrix.detach().clone()
    for _ in range(4):
        kernel.grad = torch.randn(shape)
        matrix.grad = kernel.grad.flatten(1).clone()
        ours.step()
        theirs.step()
    moved, apart = (float((a - matrix).detach().abs().max()) for a in (start, kernel.flatten(1)))
    assert apart < 0.005 * moved


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(2)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_a_saved_state_goes_on_as_if_it_had_not_stopped() -> None:
    def steps(optimiser: KernelMuon, kernel: Tensor, seeds: range) -> None:
        for seed in seeds:
            torch.manual_seed(seed)
            kernel.grad = torch.randn(kernel.shape)
            optimiser.step()

    whole, part = (nn.Parameter(torch.ones(4, 5, 3, 3)) for _ in range(2))
    steps(KernelMuon([whole], 0.1, 0.0), whole, range(4))
    first = KernelMuon([part], 0.1, 0.0)
    steps(first, part, range(2))
    second = KernelMuon([part], 0.1, 0.0)
    second.load_state_dict(first.state_dict())
    steps(second, part, range(2, 4))
    assert torch.equal(whole, part)


def test_kernels_are_those_of_convolutions_over_features() -> None:
    model = create_model("agegendernet")
    kernels = kernels_of(model)
    first, *_ = (m for m in model.modules() if isinstance(m, nn.Conv2d))
    assert all(kernel.ndim == 4 and kernel.shape[1] >= 64 for kernel in kernels)
    assert not any(kernel is first.weight for kernel in kernels)
    # All of the backbone but the first convolution and the gates of attention.
    assert sum(k.numel() for k in kernels) > 0.95 * sum(
        p.numel() for p in model.backbone.parameters()
    )
