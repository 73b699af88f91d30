"""MobileOne (Vasu et al. 2022) by timm: several branches while it learns, one convolution a layer
afterwards."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack, cast

from timm.models.byobnet import ByoBlockCfg, model_cfgs
from torch import nn

from agegenderemo.models.heads import HeadOptions, MultiTaskNet
from agegenderemo.models.registry import register
from agegenderemo.models.timm_nets import fold, timm_net
from agegenderemo.tasks import TaskSpec
from agegenderemo.types import InputSpec

_DROPOUT = 0.3  # of the retail report
_INPUT = InputSpec(224)


@register("mobileone_s2", _INPUT, fold=fold)
def mobileone_s2(
    tasks: Sequence[TaskSpec], *, folded: bool = False, **options: Unpack[HeadOptions]
) -> MultiTaskNet:
    """MobileOne-S2, 5.76 million parameters when ``folded``; the rest as in `library_net`."""
    return timm_net("mobileone_s2", tasks, folded=folded, dropout=_DROPOUT, config=None, **options)


@register("mobileone_s0", _INPUT, fold=fold)
def mobileone_s0(
    tasks: Sequence[TaskSpec],
    *,
    folded: bool = False,
    branches: int = 4,
    ceiling: float | None = None,
    **options: Unpack[HeadOptions],
) -> MultiTaskNet:
    """MobileOne-S0, 1.05 million parameters when ``folded``; the rest as in `library_net`.

    ``branches`` is how many k×k convolutions a layer has beside its 1×1 one while it learns, 4 in
    the paper; with 1 it learns two to three times as many faces in the same time. Folded it is the
    same network. ``ceiling`` is the most that an activation gives, as 6 is in a ReLU6: without one,
    a rare picture may drive a channel to a thousand times what it usually is. Raises ValueError for
    branches beyond 1 to 8, or a ceiling beyond 0.1 to 1000.
    """
    # A checkpoint of a stranger may say anything here.
    if isinstance(branches, bool) or branches not in range(1, 9):
        raise ValueError(f"branches must be 1 to 8, not {branches}")
    if isinstance(ceiling, bool) or (ceiling is not None and not 0.1 <= ceiling <= 1000):
        raise ValueError(f"ceiling must be a number from 0.1 to 1000, not {ceiling}")
    net = timm_net(
        "mobileone_s0",
        tasks,
        folded=folded,
        dropout=_DROPOUT,
        config={"blocks": _blocks("mobileone_s0", branches)},
        **options,
    )
    if ceiling is not None:
        for module in list(net.backbone.modules()):
            for name, activation in list(module.named_children()):
                if isinstance(activation, nn.ReLU):
                    setattr(module, name, nn.Hardtanh(0.0, ceiling, inplace=True))
    return net


def _blocks(name: str, branches: int) -> list[list[ByoBlockCfg]]:
    """timm's own blocks of a MobileOne, with another number of branches."""
    stages = cast(list[list[ByoBlockCfg]], model_cfgs[name].blocks)
    more = {"num_conv_branches": branches}
    return [
        [replace(one, block_kwargs={**(one.block_kwargs or {}), **more}) for one in stage]
        for stage in stages
    ]
