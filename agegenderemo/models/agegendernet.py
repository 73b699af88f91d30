"""AgeGenderNet: a ResNet-style network with CBAM attention, after the AgeGenderEmo reports.

With the three tasks of the reports it has 9,365,552 parameters.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from agegenderemo.models.heads import MLP, MultiTaskNet, multitask
from agegenderemo.models.layers import CBAM
from agegenderemo.models.registry import register
from agegenderemo.tasks import TaskSpec
from agegenderemo.types import InputSpec

# (channels, blocks, stride of the first, CBAM in the last)
_STAGES = ((64, 2, 1, False), (128, 2, 2, False), (256, 3, 2, True), (384, 2, 2, True))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch norm, optional CBAM on their result, and a shortcut."""

    def __init__(self, inner: int, outer: int, stride: int, attention: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.attention = CBAM(outer) if attention else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inner != outer:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.attention(self.bn2(self.conv2(y)))
        return F.relu(y + self.shortcut(x), inplace=True)


class AgeGenderNetBackbone(nn.Sequential):
    """N×3×H×W RGB to N×384; any H and W from 32 pixels."""

    num_features = _STAGES[-1][0]

    def __init__(self) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        ]
        inner = 64
        for channels, blocks, stride, attention in _STAGES:
            for block in range(blocks):
                last = block == blocks - 1
                layers.append(
                    ResidualBlock(inner, channels, 1 if block else stride, attention and last)
                )
                inner = channels
        super().__init__(*layers, CBAM(inner), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@register("agegendernet", InputSpec(224))
def agegendernet(
    tasks: Sequence[TaskSpec], *, dropout_scale: float = 1.0, regression: str = "number"
) -> MultiTaskNet:
    """The network of the reports with a head for each of ``tasks``."""
    net = multitask(
        AgeGenderNetBackbone(), tasks, dropout_scale=dropout_scale, regression=regression, **MLP
    )
    return net.apply(_initialise)
