"""A PyTorch module as an ONNX graph, and ONNX Runtime on one thread to run it."""

import io
import os
import warnings
from collections.abc import Iterator, Sequence

# ONNX Runtime reads it when it is imported; without it, it would write and send usage reports.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

INPUT = "faces"
_OPSET = 18


def to_graph(
    module: nn.Module, example: Tensor, outputs: Sequence[str], free: Sequence[int] = (0,)
) -> bytes:
    """A module of one input, named `INPUT`, as a serialised graph.

    ``free`` are the axes of the input and of each output that may have any length.
    """
    stream = io.BytesIO()
    names = (INPUT, *outputs)
    with warnings.catch_warnings():
        # The tracing exporter is the old one, but takes one second where the new one takes
        # fifteen, and the graph is no slower.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (example,),
            stream,  # type: ignore[arg-type]
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_axes={name: {axis: f"{name}_{axis}" for axis in free} for name in names},
            opset_version=_OPSET,
            dynamo=False,
        )
    return stream.getvalue()


class OnnxModule:
    """A graph that is called like the module that it was made from. Safe to share between
    threads."""

    def __init__(self, graph: bytes) -> None:
        options = onnxruntime.SessionOptions()
        # More threads would wait for each other when the browser or other viewers want the cores.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the graph for one float32 input on the CPU."""
        out = self._session.run(None, {INPUT: np.ascontiguousarray(x.numpy())})
        return tuple(torch.from_numpy(value) for value in out)

    def parameters(self) -> Iterator[Tensor]:
        """One number of the type that the graph takes, for callers who look for it there."""
        return iter([torch.zeros(1)])
