"""A network as an ONNX graph, and ONNX Runtime as the engine that reads it.

The graph has one input, ``faces`` (N×3×S×S float32, normalised as the checkpoint's input says),
and three outputs: ``age`` (N, years), ``gender`` (N, logit of male) and ``emotion`` (N×8, logits).
"""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agegenderemo.models import MultiTaskNet
from agegenderemo.predictor import Answers
from agegenderemo.records import InputSpec
from agegenderemo.runtime import OnnxModule, to_graph

OUTPUTS = ("age", "gender", "emotion")
TOLERANCE = 1e-3
"""Of the range of each output: how far two engines may be apart."""

_CHECKED = 16  # random faces that every new engine is checked on


class ParityError(ValueError):
    """Two engines give different answers for the same faces."""


class _Plain(nn.Module):
    """Outputs as a tuple, which is what the exporter traces."""

    def __init__(self, model: MultiTaskNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self.model(faces)
        return out.age, out.gender, out.emotion


def to_onnx(model: MultiTaskNet, spec: InputSpec) -> bytes:
    """The network as a serialised ONNX graph for any number of faces."""
    return to_graph(_Plain(model), torch.zeros(2, 3, spec.size, spec.size), OUTPUTS)


class OnnxEngine:
    """ONNX Runtime on one thread, for `Predictor`. Safe to share between threads."""

    def __init__(self, graph: bytes) -> None:
        self._run = OnnxModule(graph)

    def __call__(self, faces: Tensor) -> Answers:
        """Ages, gender logits and emotion logits of N×3×S×S normalised faces."""
        return cast(Answers, self._run(faces))


def onnx_engine(model: MultiTaskNet, spec: InputSpec) -> OnnxEngine:
    """Export a network, load it, and check it on random faces.

    Raises ParityError when its answers are not those of the network.
    """
    engine = OnnxEngine(to_onnx(model, spec))
    noise = torch.Generator().manual_seed(0)
    check_parity(model, engine, torch.randn(_CHECKED, 3, spec.size, spec.size, generator=noise))
    return engine


@torch.inference_mode()
def check_parity(model: MultiTaskNet, engine: OnnxEngine, faces: Tensor) -> dict[str, float]:
    """Largest distance between network and engine over N normalised faces, as a share of the range
    of each output over them.

    Raises ParityError when one is above `TOLERANCE`.
    """
    ours, theirs = _Plain(model).eval()(faces), engine(faces)
    apart: dict[str, float] = {}
    for name, a, b in zip(OUTPUTS, ours, theirs, strict=True):
        apart[name] = _share(a.numpy(), b.numpy())
    if not max(apart.values()) <= TOLERANCE:  # a NaN fails too
        raise ParityError(
            "ONNX Runtime does not answer like the network: "
            + ", ".join(f"{name} differs by {share:.2%}" for name, share in apart.items())
            + " of its range. Use the torch engine."
        )
    return apart


def _share(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.abs(a - b).max() / max(1e-6, float(np.ptp(a))))
