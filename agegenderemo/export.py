"""A network as an ONNX graph, and ONNX Runtime as the engine that reads it.

The graph has one input, ``faces`` (N×3×S×S float32, normalised as the checkpoint's input says),
and three outputs: ``age`` (N, years), ``gender`` (N, logit of male) and ``emotion`` (N×8, logits).
"""

import io
import os
import warnings
from typing import cast

# ONNX Runtime reads it when it is imported; without it, it would write and send usage reports.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agegenderemo.models import MultiTaskNet
from agegenderemo.predictor import Answers
from agegenderemo.records import InputSpec

OUTPUTS = ("age", "gender", "emotion")
TOLERANCE = 1e-3
"""Of the range of each output: how far two engines may be apart."""

_OPSET = 18
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
    stream = io.BytesIO()
    example = torch.zeros(2, 3, spec.size, spec.size)
    with warnings.catch_warnings():
        # The tracing exporter is the old one, but takes one second where the new one takes
        # fifteen, and the graph is no slower.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Plain(model).eval(),
            (example,),
            stream,  # type: ignore[arg-type]
            input_names=["faces"],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "count"} for name in ("faces", *OUTPUTS)},
            opset_version=_OPSET,
            dynamo=False,
        )
    return stream.getvalue()


class OnnxEngine:
    """ONNX Runtime on one thread, for `Predictor`. Safe to share between threads."""

    def __init__(self, graph: bytes) -> None:
        options = onnxruntime.SessionOptions()
        # More threads would wait for each other when the browser or other viewers want the cores.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, faces: Tensor) -> Answers:
        """Ages, gender logits and emotion logits of N×3×S×S normalised faces."""
        out = self._session.run(OUTPUTS, {"faces": np.ascontiguousarray(faces.numpy())})
        return cast(Answers, tuple(torch.from_numpy(value) for value in out))


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
