"""Every backbone that timm knows, untrained, as ``timm:NAME``.

Networks with one input size, as plain vision transformers are, see that size only.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Unpack, cast

import timm
import torch
from timm.models.byobnet import MobileOneBlock
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.models.heads import HeadOptions, MultiTaskNet, library_net
from agegenderemo.models.registry import ModelSpec, register_prefix
from agegenderemo.tasks import TaskSpec
from agegenderemo.types import InputSpec

PREFIX = "timm:"

_BRANCH_GAIN = 0.25  # at first, of the branches beside an identity


class ScaleConv(nn.Conv2d):
    """A depthwise 1×1 convolution as the multiplication that it is. oneDNN's own, in bfloat16 and
    with stride 2, takes forty times as long on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride[0], :: self.stride[1]]
        return x * self.weight.view(1, -1, 1, 1).to(x.dtype)


class StridedConv(nn.Conv2d):
    """A depthwise convolution with a stride in float32: its gradient in bfloat16 takes thirty times
    as long on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(x.dtype)


def timm_net(
    name: str,
    tasks: Sequence[TaskSpec],
    *,
    folded: bool = False,
    dropout: float | None = None,
    config: Mapping[str, Any] | None = None,
    **options: Unpack[HeadOptions],
) -> MultiTaskNet:
    """The network of a name that timm knows; ``folded`` is what `fold` makes of it, ``config`` what
    timm is told beside, the rest is as in `library_net`."""
    # Never fetched: this repository trains what it ships.
    net = timm.create_model(name, pretrained=False, num_classes=0, **(config or {}))
    width = getattr(net, "head_hidden_size", None) or net.num_features
    _quicken(net)
    _calm(net)
    if folded:
        net = reparameterize_model(net).requires_grad_(True)
    whole = library_net(net, cast(int, width), tasks, dropout=dropout, **options)
    # In channels last MobileOne's depthwise convolutions corrupt the heap: torch 2.14.1, at 96
    # pixels within a hundred steps.
    whole.memory_format = torch.contiguous_format
    return whole


def fold(model: MultiTaskNet) -> tuple[MultiTaskNet, dict[str, Any]]:
    """A copy in which layers of several branches are one convolution, by timm's own
    reparameterisation; where there are none, the network itself."""
    if not any(hasattr(m, "reparameterize") or hasattr(m, "fuse") for m in model.modules()):
        return model, {}
    folded = reparameterize_model(model).requires_grad_(False)
    return cast(MultiTaskNet, folded), {"folded": True}


def _calm(net: nn.Module) -> None:
    """Let MobileOne's blocks with an identity begin near it. With all branches alike, forty in a
    row are chaotic: gradients grow a hundredfold, and those in bfloat16 point elsewhere than
    float32's."""
    for block in net.modules():
        if isinstance(block, MobileOneBlock) and block.identity is not None:
            for branch in (*block.conv_kxk, block.conv_scale):
                if branch is not None:
                    nn.init.constant_(branch.bn.weight, _BRANCH_GAIN)


def _quicken(net: nn.Module) -> None:
    """Let depthwise convolutions that oneDNN is slow at be computed otherwise; weights and their
    names stay."""
    for module in list(net.modules()):
        for name, conv in list(module.named_children()):
            # Subclasses pad in ways of their own.
            if type(conv) is not nn.Conv2d or not conv.groups == conv.in_channels > 1:
                continue
            scales = conv.kernel_size == (1, 1) and conv.bias is None
            if conv.in_channels != conv.out_channels or not (scales or conv.stride != (1, 1)):
                continue
            quick = (ScaleConv if scales else StridedConv)(
                conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,  # type: ignore[arg-type]
                conv.dilation, conv.groups, conv.bias is not None,  # type: ignore[arg-type]
            )  # fmt: skip
            quick.weight, quick.bias = conv.weight, conv.bias
            setattr(module, name, quick)


@register_prefix(PREFIX, "any backbone that timm knows, untrained")
def _spec(name: str) -> ModelSpec:
    own = name.removeprefix(PREFIX)
    if not timm.is_model(own):
        near = difflib.get_close_matches(own, timm.list_models(), n=5)
        raise AgeGenderEmoError(
            f"timm {timm.__version__} knows no network {own!r}"
            + (f"; did you mean {' or '.join(near)}?" if near else ".")
        )

    def build(
        tasks: Sequence[TaskSpec], *, folded: bool = False, **options: Unpack[HeadOptions]
    ) -> MultiTaskNet:
        # Named, so that a checkpoint's options cannot name them: timm would open files by a config.
        return timm_net(own, tasks, folded=folded, dropout=None, config=None, **options)

    try:
        config = timm.get_pretrained_cfg(own)
    except RuntimeError as error:
        raise AgeGenderEmoError(
            f"timm {timm.__version__} has no {own!r}; leave out what is after the dot, for weights "
            "are never fetched."
        ) from error
    size = config.input_size[-1] if config is not None else 224
    return ModelSpec(name, build, InputSpec(size), fold=fold)
