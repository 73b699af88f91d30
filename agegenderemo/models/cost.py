"""What a network costs: parameters, and multiplications for one face."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@torch.no_grad()
def multiply_adds(model: nn.Module, size: int) -> int:
    """Multiplications with their addition for one face of ``size`` × ``size`` pixels, in evaluation
    mode: those of convolutions and matrix products, as PyTorch's own counter has them. Norms,
    activations and pools are not counted, nor products of an element with an element."""
    counter = FlopCounterMode(display=False)
    device = next(model.parameters()).device
    with counter:
        model.eval()(torch.zeros(1, 3, size, size, device=device))
    return int(counter.get_total_flops()) // 2
