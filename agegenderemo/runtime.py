"""ONNX Runtime on one thread, as every network here is run on a CPU."""

import os
from collections.abc import Mapping
from typing import Any

# ONNX Runtime reads it when it is imported; without it, it would write and send usage reports.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_LARGE_INPUT = 2**20
"""Bytes of an input after which the memory of its run is given back: ONNX Runtime would keep what
the largest picture ever took, once for each run at the same time."""

_GIVE_BACK = onnxruntime.RunOptions()
_GIVE_BACK.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")


class Session:
    """A graph of one float32 input. Safe to share between threads.

    Args:
        graph: the serialised graph.
        external: content by the file name that the graph's external tensors give. A graph whose
            tensors are elsewhere must not come here: ONNX Runtime would look for the rest in the
            working directory.
    """

    def __init__(self, graph: bytes, external: Mapping[str, bytes] | None = None) -> None:
        options = onnxruntime.SessionOptions()
        # More threads would wait for each other when the browser or other viewers want the cores.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if external:
            options.add_external_initializers_from_files_in_memory(
                list(external), list(external.values()), [len(v) for v in external.values()]
            )
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        (self._input,) = [one.name for one in self._session.get_inputs()]
        self.outputs = tuple(one.name for one in self._session.get_outputs())
        """Names of the outputs, in their order."""

    def run(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """The outputs for one input."""
        options = _GIVE_BACK if x.nbytes > _LARGE_INPUT else None
        return tuple(self._session.run(None, {self._input: np.ascontiguousarray(x)}, options))


def constants(graph: bytes) -> dict[str, NDArray[Any]]:
    """The outputs by name of a graph that has no inputs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, {}), strict=True))
