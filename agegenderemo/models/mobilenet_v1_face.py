"""A public face network as a family of its own: MobileNet v1 (Howard et al. 2017) with its batch
norm folded.

Its weights are those of HSE_FaceRec_tf by A. Savchenko (Apache-2.0, trained on VGGFace2, IMDB-WIKI
and Adience): a safetensors file with ``conv.0`` to ``conv.26``, weight and bias each, which is not
part of this repository.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from agegenderemo.errors import CheckpointError
from agegenderemo.models.heads import MultiTaskNet, multitask
from agegenderemo.models.registry import register
from agegenderemo.tasks import Kind, TaskSpec
from agegenderemo.types import InputSpec

PUBLIC_INPUT = InputSpec(
    224,
    mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
)

_WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
_HALVED = (0, 3, 7, 11, 23)  # convolutions of stride 2
_NECK = (256,)
_NECK_DROPOUTS = (0.5,)
_HEAD_HIDDEN = 64
_HEAD_DROPOUTS: dict[Kind, float] = {"categorical": 0.3}


class MobileNetV1Face(nn.Module):
    """A convolution, 13 depthwise and pointwise pairs, ReLU6 after each, mean over the last map.

    N×3×S×S RGB, normalised by `PUBLIC_INPUT`, to N×1024, never negative.
    """

    num_features = _WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        convs = [nn.Conv2d(3, _WIDTHS[0], 3, stride=2)]
        for inner, outer in pairwise(_WIDTHS):
            halved = len(convs) in _HALVED
            convs += [
                nn.Conv2d(inner, inner, 3, 2 if halved else 1, 0 if halved else 1, groups=inner),
                nn.Conv2d(inner, outer, 1),
            ]
        self.conv = nn.ModuleList(convs)

    def forward(self, x: Tensor) -> Tensor:
        for index, conv in enumerate(self.conv):
            if index in _HALVED:
                # TensorFlow's SAME: on an even side, pad below and right only.
                x = F.pad(x, (0, 1, 0, 1))
            x = F.relu6(conv(x), inplace=True)
        return x.mean(dim=(2, 3))

    def load_public(self, path: Path) -> None:
        """Take the public weights; raises CheckpointError when ``path`` does not hold them."""
        try:
            weights = {
                name: value.float()
                for name, value in load_file(path).items()
                if name.startswith("conv.")
            }
            # The file wants BGR.
            weights["conv.0.weight"] = weights["conv.0.weight"].flip(1)
            self.load_state_dict(weights)
        except (OSError, LookupError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(
                f"{path} is not the public face network's safetensors file."
            ) from error


def load_public(net: MultiTaskNet, path: Path) -> None:
    """Begin with the public weights; raises CheckpointError when ``path`` does not hold them."""
    assert isinstance(net.backbone, MobileNetV1Face)
    net.backbone.load_public(path)


@register("mobilenet_v1_face", PUBLIC_INPUT, load_public)
def mobilenet_v1_face(tasks: Sequence[TaskSpec], *, dropout_scale: float = 1.0) -> MultiTaskNet:
    """The public backbone with a neck and heads of its own, 3.5 million parameters."""
    return multitask(
        MobileNetV1Face(),
        tasks,
        neck=_NECK,
        neck_dropouts=_NECK_DROPOUTS,
        hidden=_HEAD_HIDDEN,
        head_dropouts=_HEAD_DROPOUTS,
        dropout_scale=dropout_scale,
    )
