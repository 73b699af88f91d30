"""From aligned crops to what the network says of them."""

from collections.abc import Callable

import torch
from torch import Tensor

from agegenderemo.calibration import Calibration
from agegenderemo.models import MultiTaskNet
from agegenderemo.records import Attributes, InputSpec
from agegenderemo.transforms import to_input

Answers = tuple[Tensor, Tensor, Tensor]
"""Ages in years (N), logits of male (N) and of the emotions (N×8)."""

Engine = Callable[[Tensor], Answers]
"""What reads N×3×S×S normalised float32 faces on the CPU."""


class Predictor:
    """A network with its preprocessing. Safe to share between threads: it only reads weights."""

    def __init__(
        self,
        model: MultiTaskNet,
        input: InputSpec,
        calibration: Calibration | None = None,
        engine: Engine | None = None,
    ) -> None:
        """``engine`` reads faces in place of the network, which then only says what it is.

        Raises ValueError for a network without an emotion head.
        """
        if model.emotion is None:
            raise ValueError("a network without an emotion head cannot be shown")
        self.model = model.eval().to(memory_format=torch.channels_last)
        self.input = input
        self.calibration = calibration
        self._engine = engine

    @torch.inference_mode()
    def predict(self, crops: Tensor, *, mirror: bool = True) -> list[Attributes]:
        """What each of N aligned faces, N×S×S×3 RGB uint8, looks like; empty in, empty out.

        With ``mirror`` the answer is the mean over the face and its mirror image: steadier, and
        twice the work.
        """
        if not len(crops):
            return []
        device = next(self.model.parameters()).device
        x = to_input(crops, self.input)
        if self._engine is None:
            x = x.to(device)
        views = [self._read(view) for view in ((x, x.flip(3)) if mirror else (x,))]
        ages, male, emotions = (
            torch.stack(v).mean(dim=0).tolist() for v in zip(*views, strict=True)
        )
        return [
            _attributes(max(0.0, a), m, tuple(e), self.calibration)
            for a, m, e in zip(ages, male, emotions, strict=True)
        ]

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Ages, probabilities of male and of the emotions for N normalised faces."""
        if self._engine is not None:
            age, gender, emotion = self._engine(x)
        else:
            out = self.model(x)
            assert out.emotion is not None
            age, gender, emotion = out.age, out.gender, out.emotion
        # float64, so that eight rounded probabilities still sum to one
        return age.double(), gender.double().sigmoid(), emotion.double().softmax(dim=1)


def _attributes(
    age: float, male: float, emotions: tuple[float, ...], calibration: Calibration | None
) -> Attributes:
    if calibration is None:
        return Attributes(age, male, emotions)
    return calibration.attributes(age, calibration.male(male), calibration.emotions(emotions))
