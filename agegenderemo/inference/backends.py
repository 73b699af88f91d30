"""What turns normalised faces into raw outputs: ONNX Runtime here, PyTorch in `torch_backend`."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from agegenderemo.errors import CheckpointError
from agegenderemo.inference.graph import location
from agegenderemo.inference.protobuf import external_tensors
from agegenderemo.model_info import ModelInfo
from agegenderemo.runtime import Session

Backend = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]
"""N×3×S×S normalised float32 faces to raw outputs by the name of the task: (N,) or (N, K)."""


class OnnxBackend:
    """ONNX Runtime on one thread. Safe to share between threads.

    Args:
        graph: whole, or linked to ``weights``.
        info: names the tasks, which are the graph's outputs.
        weights: the safetensors file that a linked graph points into.

    Raises CheckpointError for a graph that does not load or has other outputs.
    """

    def __init__(self, graph: bytes, info: ModelInfo, weights: bytes | None = None) -> None:
        try:
            name = location(external_tensors(graph))
            files = {} if name is None or weights is None else {name: weights}
            if len(files) != (name is not None):  # ONNX Runtime would look where we are working
                raise ValueError("its weights are not given")
            self._session = Session(graph, files)
        except Exception as error:  # ONNX Runtime's own errors have no base but this
            raise CheckpointError(
                f"The graph of {info.model} is damaged: ONNX Runtime cannot load it."
            ) from error
        wanted = {spec.name for spec in info.tasks}
        if set(self._session.outputs) != wanted:
            raise CheckpointError(
                f"The graph of {info.model} answers {', '.join(self._session.outputs)}, but its "
                f"tasks are {', '.join(sorted(wanted))}."
            )

    def __call__(self, faces: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Raw outputs of N×3×S×S normalised faces by the name of the task."""
        return dict(zip(self._session.outputs, self._session.run(faces), strict=True))
