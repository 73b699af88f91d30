"""Muon (Jordan et al. 2024) for the kernels of convolutions, and which weights are moved how.

PyTorch's own Muon takes matrices only, and works in bfloat16, which processors without it emulate
at a small part of the speed of float32; a test holds this one to its steps.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from agegenderemo.models.heads import MultiTaskNet
from agegenderemo.training.config import TrainConfig

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_ADAMW_LENGTH = 0.2  # root mean square of a typical step of AdamW at rate 1 (Liu et al. 2025)


def kernels_of(model: nn.Module) -> list[Tensor]:
    """The kernels that Muon suits: of convolutions over more channels than a picture has, so
    neither the first of a network nor depthwise ones; and not those that are frozen."""
    kernels = (module.weight for module in model.modules() if isinstance(module, nn.Conv2d))
    return [kernel for kernel in kernels if kernel.shape[1] > 3 and kernel.requires_grad]


class Muon(torch.optim.Optimizer):
    """Moves each kernel along its smoothed gradient made orthogonal, a row an output channel.

    Steps are as long as AdamW's, so that both can share a learning rate. ``precision`` is that of
    the orthogonalisation.
    """

    def __init__(
        self,
        kernels: Sequence[Tensor],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(
            list(kernels), {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        )
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
                matrix = newton_schulz(ahead.flatten(1).to(self.precision)).to(kernel.dtype)
                length = _ADAMW_LENGTH * max(matrix.shape) ** 0.5
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                kernel.sub_(matrix.view_as(kernel), alpha=group["lr"] * length)


def newton_schulz(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors and all singular values near one."""
    a, b, c = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def parameter_groups(
    net: MultiTaskNet, parameters: Sequence[Tensor], config: TrainConfig
) -> list[dict[str, Any]]:
    """Groups for all but Muon: matrices and kernels, norms and biases, outputs of regressions.

    ``parameters`` are those of the net and of whatever is trained beside it. ``scale`` is what the
    learning rate of a group is multiplied by.
    """
    outputs = [
        parameter
        for spec in net.tasks
        if spec.kind == "regression"
        for parameter in net.head(spec.name).unit_parameters()
    ]
    rest = _without(parameters, outputs)
    # Norms and biases are not decayed: pulling them to zero regularises nothing.
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim > 1], "scale": 1.0},
        {"params": [p for p in rest if p.ndim <= 1], "scale": 1.0, "weight_decay": 0.0},
        {"params": outputs, "scale": config.regression_unit, "weight_decay": 0.0},
    ]
    for group in groups:
        group["lr"] = config.learning_rate * group["scale"]
        if config.optimiser in ("adam", "sgd"):
            # Decay is part of their gradient, and that of the source reports was on every weight.
            group["weight_decay"] = config.weight_decay
    return groups


def build_optimisers(
    net: MultiTaskNet, parameters: Sequence[Tensor], config: TrainConfig, bfloat16: bool
) -> list[torch.optim.Optimizer]:
    """What moves the weights of a run: Adam, AdamW or SGD, and with ``muon`` that beside AdamW."""
    groups = parameter_groups(net, parameters, config)
    kernels = kernels_of(net) if config.optimiser == "muon" else []
    groups[0]["params"] = _without(groups[0]["params"], kernels)
    optimisers = [_first([group for group in groups if group["params"]], config)]
    if kernels:
        precision = torch.bfloat16 if bfloat16 else torch.float32
        muon = Muon(kernels, config.learning_rate, config.weight_decay, precision=precision)
        muon.param_groups[0]["scale"] = 1.0
        optimisers.append(muon)
    return optimisers


def _first(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
    decay = config.weight_decay
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum, weight_decay=decay, fused=True)
    if config.optimiser == "adam":
        return torch.optim.Adam(groups, weight_decay=decay, fused=True)
    return torch.optim.AdamW(groups, weight_decay=decay, fused=True)


def _without(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    own = {id(tensor) for tensor in others}
    return [tensor for tensor in tensors if id(tensor) not in own]
