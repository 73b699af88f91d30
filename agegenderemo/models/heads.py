"""What every network shares: a neck, three task heads, and one type of output."""

from typing import NamedTuple

from torch import Tensor, nn

from agegenderemo.labels import EMOTIONS


class Outputs(NamedTuple):
    """Raw outputs for N faces, and the pooled features that they came from."""

    age: Tensor  # (N,) years
    gender: Tensor  # (N,) logit of male
    emotion: Tensor | None  # (N, 8) logits in the order of EMOTIONS
    features: Tensor  # (N, C)

    def float(self) -> "Outputs":
        """The same in float32, whatever precision the network ran in."""
        emotion = None if self.emotion is None else self.emotion.float()
        return Outputs(self.age.float(), self.gender.float(), emotion, self.features.float())


class MultiTaskNet(nn.Module):
    """Backbone, neck and heads, all passed in.

    ``backbone`` maps N×3×H×W to pooled N×C features, ``neck`` those to N×D, and each head N×D to
    its task's outputs.
    """

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        age: nn.Module,
        gender: nn.Module,
        emotion: nn.Module | None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.age = age
        self.gender = gender
        self.emotion = emotion

    def forward(self, x: Tensor) -> Outputs:
        """N×3×H×W normalised RGB to `Outputs`."""
        features = self.backbone(x)
        z = self.neck(features)
        return Outputs(
            age=self.age(z).squeeze(1),
            gender=self.gender(z).squeeze(1),
            emotion=None if self.emotion is None else self.emotion(z),
            features=features,
        )


def mlp_neck(widths: tuple[int, ...], dropouts: tuple[float, ...]) -> nn.Sequential:
    """Linear, batch norm, ReLU and dropout for each step from one width to the next."""
    layers: list[nn.Module] = []
    for inner, outer, rate in zip(widths[:-1], widths[1:], dropouts, strict=True):
        layers += [
            nn.Linear(inner, outer),
            nn.BatchNorm1d(outer),
            nn.ReLU(inplace=True),
            nn.Dropout(rate),
        ]
    return nn.Sequential(*layers)


def head(inner: int, hidden: int, outputs: int, dropout: float | None = None) -> nn.Sequential:
    """Two linear layers, with dropout before the last one where a rate is given."""
    layers: list[nn.Module] = [nn.Linear(inner, hidden), nn.ReLU(inplace=True)]
    if dropout is not None:  # a rate of 0 too: names of weights must not depend on the rate
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


def multitask(
    backbone: nn.Module,
    neck: tuple[int, ...],
    neck_dropouts: tuple[float, ...],
    hidden: int,
    emotion_dropout: float,
    *,
    emotion: bool,
    dropout_scale: float,
) -> MultiTaskNet:
    """The network that a backbone makes with an `mlp_neck` of these widths and a head of
    ``hidden`` units a task; every dropout rate is multiplied by ``dropout_scale``."""
    width = neck[-1]
    return MultiTaskNet(
        backbone=backbone,
        neck=mlp_neck(neck, tuple(rate * dropout_scale for rate in neck_dropouts)),
        age=head(width, hidden, 1),
        gender=head(width, hidden, 1),
        emotion=head(width, hidden, len(EMOTIONS), emotion_dropout * dropout_scale)
        if emotion
        else None,
    )
