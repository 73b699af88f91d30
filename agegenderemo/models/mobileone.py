"""MobileOne (Vasu et al. 2022) by timm: several branches while it learns, one convolution a layer
afterwards."""

from collections.abc import Sequence
from typing import Any, Unpack, cast

import timm
import torch
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from agegenderemo.models.heads import HeadOptions, MultiTaskNet, library_net
from agegenderemo.models.registry import register
from agegenderemo.tasks import TaskSpec
from agegenderemo.types import InputSpec

_DROPOUT = 0.3  # of the retail report
_INPUT = InputSpec(224)


class _ScaleConv(nn.Conv2d):
    """A depthwise 1×1 convolution as the multiplication that it is. oneDNN's own, in bfloat16 and
    with stride 2, takes forty times as long on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride[0], :: self.stride[1]]
        return x * self.weight.view(1, -1, 1, 1).to(x.dtype)


class _StridedConv(nn.Conv2d):
    """A depthwise convolution of stride 2 in float32: its gradient in bfloat16 takes thirty times
    as long on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(x.dtype)


def _quicken(net: nn.Module) -> None:
    """Let depthwise convolutions that oneDNN is slow at be computed otherwise; weights and their
    names stay."""
    for module in list(net.modules()):
        for name, conv in list(module.named_children()):
            if not isinstance(conv, nn.Conv2d) or conv.groups == 1:
                continue
            scales, strided = conv.kernel_size == (1, 1), conv.stride != (1, 1)
            if not (scales or strided):
                continue
            quick = (_ScaleConv if scales else _StridedConv)(
                conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,  # type: ignore[arg-type]
                groups=conv.groups, bias=conv.bias is not None,
            )  # fmt: skip
            quick.weight, quick.bias = conv.weight, conv.bias
            setattr(module, name, quick)


def fold(model: MultiTaskNet) -> tuple[MultiTaskNet, dict[str, Any]]:
    """A copy with one convolution a layer, by timm's own reparameterisation."""
    folded = reparameterize_model(model).requires_grad_(False)
    return cast(MultiTaskNet, folded), {"folded": True}


@register("mobileone_s2", _INPUT, fold=fold)
def mobileone_s2(
    tasks: Sequence[TaskSpec], *, folded: bool = False, **options: Unpack[HeadOptions]
) -> MultiTaskNet:
    """MobileOne-S2, 5.76 million parameters when ``folded``; the rest as in `library_net`."""
    return _build("mobileone_s2", tasks, folded, options)


@register("mobileone_s0", _INPUT, fold=fold)
def mobileone_s0(
    tasks: Sequence[TaskSpec], *, folded: bool = False, **options: Unpack[HeadOptions]
) -> MultiTaskNet:
    """MobileOne-S0, 1.05 million parameters when ``folded``; the rest as in `library_net`."""
    return _build("mobileone_s0", tasks, folded, options)


def _build(
    name: str, tasks: Sequence[TaskSpec], folded: bool, options: HeadOptions
) -> MultiTaskNet:
    # Never fetched: this repository trains what it ships.
    net = timm.create_model(name, pretrained=False, num_classes=0)
    width = cast(int, net.num_features)
    _quicken(net)
    if folded:
        net = reparameterize_model(net).requires_grad_(True)
    return library_net(net, width, tasks, dropout=_DROPOUT, **options)
