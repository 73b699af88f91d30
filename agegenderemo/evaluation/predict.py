"""A network in PyTorch as a predictor, for validation and evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agegenderemo.data.transforms import to_input
from agegenderemo.model_info import ModelInfo
from agegenderemo.models.heads import MultiTaskNet
from agegenderemo.tasks import Calibration, Prediction, TaskSpec, activate, predict
from agegenderemo.types import InputSpec


class Answers(Protocol):
    """Whatever engine it runs on."""

    def predict(
        self, crops: NDArray[np.uint8], *, mirror: bool = True
    ) -> Sequence[Mapping[str, Prediction]]:
        """Predictions for N aligned faces, N×S×S×3 RGB uint8."""
        ...


class Predicts(Answers, Protocol):
    """One that says what it predicts."""

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """What it predicts."""
        ...


class TorchPredictor:
    """A network with its preprocessing and calibration. Safe to share between threads: it only
    reads weights.

    ``info`` is the record of a checkpoint, whose calibration is used, or only what the network
    wants to see; ``calibration`` stands in its place.
    """

    def __init__(
        self,
        model: MultiTaskNet,
        info: ModelInfo | InputSpec,
        calibration: Calibration | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if isinstance(info, ModelInfo):
            calibration = info.calibration if calibration is None else calibration
            info = info.input
        self.model = model.eval().placed(device)
        self.input = info
        self.calibration: Calibration = calibration or {}

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """Those of the network."""
        tasks: tuple[TaskSpec, ...] = self.model.tasks
        return tasks

    def predict(
        self, crops: NDArray[np.uint8], *, mirror: bool = True
    ) -> list[dict[str, Prediction]]:
        """What each of N aligned faces, N×S×S×3 RGB uint8, looks like; empty in, empty out.

        With ``mirror`` the answer is the mean over the face and its mirror image: steadier, and
        twice the work.
        """
        if not len(crops):
            return []
        return self.decode([self.raw(crops), *([self.raw(crops, flip=True)] if mirror else [])])

    @torch.inference_mode()
    def raw(self, crops: NDArray[np.uint8], *, flip: bool = False) -> dict[str, Tensor]:
        """Raw outputs, float32 on the CPU, of the faces as they are or mirrored: the loss of a
        validation needs no answers turned back into logits."""
        x = to_input(torch.from_numpy(crops), self.input)
        x = x.to(next(self.model.parameters()).device)
        outputs = self.model(x.flip(3) if flip else x).predictions
        return {name: value.float().cpu() for name, value in outputs.items()}

    def decode(self, views: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Prediction]]:
        """The predictions that `raw` outputs of one or more views of the same faces stand for: the
        mean of their values, calibrated."""
        columns = []
        for spec in self.tasks:
            values: Any = np.mean(
                [activate(spec, view[spec.name].numpy()) for view in views], axis=0
            )
            own = self.calibration.get(spec.name)
            columns.append([predict(spec, value, own) for value in values.tolist()])
        names = [spec.name for spec in self.tasks]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
