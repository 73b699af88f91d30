"""An int8 graph that is linked to its safetensors file, as the float one is.

It holds the scales and the whole-number biases. Its kernels are made, when a session begins, from
the float ones of the file: multiplied by what the batch norm behind them multiplies by, and
quantised, by nodes of the graph that are constant and that ONNX Runtime computes once. So both
precisions of a network are one file of weights, and that of int8 takes a few hundred kilobytes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper
from torch import Tensor

from agegenderemo.errors import CheckpointError
from agegenderemo.export.onnx import PREFIX, entry_of, link_tensor
from agegenderemo.files import safetensors_header


class _Kernel(NamedTuple):
    """A convolution's tensors by their names in the safetensors file."""

    weight: str
    norm: str | None
    """What the names of its batch norm begin with; None without one."""
    epsilon: float


def link_int8(
    quantized: bytes,
    linked: bytes,
    state: Mapping[str, Tensor],
    weights: bytes,
    name: str,
) -> bytes:
    """The graph ``quantized`` without kernels of its own.

    ``linked`` is the linked float graph of the same network, of this ``state``; ``weights`` the
    safetensors file that will lie beside both under ``name``.

    Raises CheckpointError where the two graphs are not of one network.
    """
    graph = onnx.load_from_string(quantized)
    kernels = _kernels(onnx.load_from_string(linked))
    initializers = {tensor.name: tensor for tensor in graph.graph.initializer}
    made_by = {output: node for node in graph.graph.node for output in node.output}
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    # The exporter names a node by its module; a folded graph has them in another order.
    if {node.name for node in convolutions} != set(kernels):
        raise CheckpointError("The int8 graph has other convolutions than the float one.")
    linker = _Linker(graph, state, weights, name)
    for node in convolutions:
        kernel = kernels[node.name]
        dequantize = made_by[node.input[1]]
        values, scale, zero = (initializers[one] for one in dequantize.input)
        if list(values.dims) != list(state[kernel.weight].shape):
            raise CheckpointError(f"The int8 graph has another {kernel.weight}.")
        graph.graph.initializer.remove(values)
        linker.quantise(kernel, scale.name, zero.name, values.name)
    for used_as, tensor in initializers.items():
        key = used_as.removeprefix(f"{PREFIX}.")
        if key != used_as and key in state:
            linker.link_in_place(tensor, key)
    linker.finish()
    return bytes(graph.SerializeToString())


class _Linker:
    """Adds to a graph the nodes that make its tensors from the file."""

    def __init__(
        self, graph: onnx.ModelProto, state: Mapping[str, Tensor], weights: bytes, name: str
    ) -> None:
        header, start = safetensors_header(weights)
        self._graph = graph
        self._header = header
        self._state = state
        self._place = (name, start)
        self._nodes: list[onnx.NodeProto] = []

    def quantise(self, kernel: _Kernel, scale: str, zero: str, output: str) -> None:
        """Make ``output``, the kernel in int8."""
        floats = self._float(kernel.weight)
        if kernel.norm is not None:
            gain = self._gain(kernel)
            self._add("Mul", [floats, gain], f"{output}.folded")
            floats = f"{output}.folded"
        self._add("QuantizeLinear", [floats, scale, zero], output, axis=0)

    def link_in_place(self, tensor: onnx.TensorProto, key: str) -> None:
        """Let a float tensor of the graph come from the file."""
        self._nodes.append(
            link_tensor(tensor, key, entry_of(self._header, key, self._state[key]), self._place)
        )

    def finish(self) -> None:
        """Put the nodes before all others."""
        rest = list(self._graph.graph.node)
        del self._graph.graph.node[:]
        self._graph.graph.node.extend([*self._nodes, *rest])

    def _gain(self, kernel: _Kernel) -> str:
        """What the batch norm multiplies each output channel by, C×1×1×1."""
        norm = kernel.norm
        gamma, variance = self._float(f"{norm}.weight"), self._float(f"{norm}.running_var")
        self._constant(f"{norm}.epsilon", np.array(kernel.epsilon, np.float32))
        self._constant(f"{norm}.shape", np.array([-1, 1, 1, 1], np.int64))
        self._add("Add", [variance, f"{norm}.epsilon"], f"{norm}.positive")
        self._add("Sqrt", [f"{norm}.positive"], f"{norm}.deviation")
        self._add("Div", [gamma, f"{norm}.deviation"], f"{norm}.gain")
        self._add("Reshape", [f"{norm}.gain", f"{norm}.shape"], f"{norm}.gains")
        return f"{norm}.gains"

    def _float(self, key: str) -> str:
        """The name under which a tensor of the file is there in float32."""
        tensor = self._graph.graph.initializer.add()
        tensor.name = f"{key}.float"
        self.link_in_place(tensor, key)
        return f"{key}.float"

    def _constant(
        self, name: str, value: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"
    ) -> None:
        self._graph.graph.initializer.append(numpy_helper.from_array(value, name))

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: int) -> None:
        node = helper.make_node(kind, inputs, [output], **attributes)  # type: ignore[arg-type]
        self._nodes.append(node)


def _kernels(linked: onnx.ModelProto) -> dict[str, _Kernel]:
    """The convolutions of a float graph, by the names of their nodes."""
    norms = {
        node.input[0]: node for node in linked.graph.node if node.op_type == "BatchNormalization"
    }
    found = {}
    for node in linked.graph.node:
        if node.op_type != "Conv":
            continue
        norm = norms.get(node.output[0])
        name, epsilon = None, 0.0
        if norm is not None:
            name = norm.input[1].removeprefix(f"{PREFIX}.").removesuffix(".weight")
            epsilon = next(one.f for one in norm.attribute if one.name == "epsilon")
        found[node.name] = _Kernel(node.input[1].removeprefix(f"{PREFIX}."), name, epsilon)
    return found
