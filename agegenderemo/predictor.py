"""From aligned crops to what the network says of them."""

import torch
from torch import Tensor

from agegenderemo.calibration import Calibration
from agegenderemo.models import MultiTaskNet
from agegenderemo.records import Attributes, InputSpec
from agegenderemo.transforms import to_input


class Predictor:
    """A network with its preprocessing. Safe to share between threads: it only reads weights."""

    def __init__(
        self, model: MultiTaskNet, input: InputSpec, calibration: Calibration | None = None
    ) -> None:
        """Raises ValueError for a network without an emotion head."""
        if model.emotion is None:
            raise ValueError("a network without an emotion head cannot be shown")
        self.model = model.eval().to(memory_format=torch.channels_last)
        self.input = input
        self.calibration = calibration

    @torch.inference_mode()
    def predict(self, crops: Tensor, *, mirror: bool = True) -> list[Attributes]:
        """What each of N aligned faces, N×S×S×3 RGB uint8, looks like; empty in, empty out.

        With ``mirror`` the answer is the mean over the face and its mirror image: steadier, and
        twice the work.
        """
        if not len(crops):
            return []
        device = next(self.model.parameters()).device
        x = to_input(crops, self.input).to(device)
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
        out = self.model(x)
        assert out.emotion is not None
        # float64, so that eight rounded probabilities still sum to one
        return out.age.double(), out.gender.double().sigmoid(), out.emotion.double().softmax(dim=1)


def _attributes(
    age: float, male: float, emotions: tuple[float, ...], calibration: Calibration | None
) -> Attributes:
    if calibration is None:
        return Attributes(age, male, emotions)
    return calibration.attributes(age, calibration.male(male), calibration.emotions(emotions))
