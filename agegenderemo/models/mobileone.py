"""MobileOne (Vasu et al. 2022) by timm: several branches while it learns, one convolution a layer
afterwards."""

from collections.abc import Sequence
from typing import Unpack

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
    return timm_net("mobileone_s2", tasks, folded=folded, dropout=_DROPOUT, **options)


@register("mobileone_s0", _INPUT, fold=fold)
def mobileone_s0(
    tasks: Sequence[TaskSpec], *, folded: bool = False, **options: Unpack[HeadOptions]
) -> MultiTaskNet:
    """MobileOne-S0, 1.05 million parameters when ``folded``; the rest as in `library_net`."""
    return timm_net("mobileone_s0", tasks, folded=folded, dropout=_DROPOUT, **options)
