"""The public face network's safetensors file, out of the one that its publisher ships:
``python -m agegenderemo.training.public_network faceres.json face_descriptor.safetensors``.

HSE_FaceRec_tf by A. Savchenko (Apache-2.0) comes with the Human library as a TensorFlow.js graph
model: ``faceres.json`` names every array and its shape in the order in which ``faceres.bin`` holds
them, in half precision. Kernels are height, width, inputs, outputs; those of depthwise convolutions
come without the scale of their batch norm, which stands beside.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.files import write_atomically

_BLOCKS = 13
_HIDDEN, _HEAD = "feats", "_pred"  # dense layers are feats, and NAME_pred for what it answers

Arrays = dict[str, NDArray[np.float32]]


def convert(published: Path, out: Path) -> None:
    """Write the weights of ``published``, the .json file with its .bin beside it, to ``out``.

    Raises AgeGenderEmoError for files that do not hold this network.
    """
    try:
        weights = from_published(_arrays(published))
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise AgeGenderEmoError(
            f"{published} is not the published face network; it is faceres.json of the Human "
            "library, with faceres.bin beside it."
        ) from error
    half = {name: np.ascontiguousarray(own.astype(np.float16)) for name, own in weights.items()}
    write_atomically(out, save(half))


def from_published(arrays: Arrays) -> Arrays:
    """Names and shapes as `agegenderemo.models.mobilenet_v1_face` has them; raises KeyError
    for an array that is missing."""
    found = {
        "conv.0.weight": arrays["conv1/convolution/merged_input"].transpose(3, 2, 0, 1),
        "conv.0.bias": arrays["conv1_bn/batchnorm_1/sub"],
    }
    for block in range(1, _BLOCKS + 1):
        wise, point = f"conv.{2 * block - 1}", f"conv.{2 * block}"
        scale = arrays[f"conv_dw_{block}_bn/batchnorm_1/mul"]
        kernel = arrays[f"conv_dw_{block}/depthwise_kernel"].transpose(2, 3, 0, 1)
        found[f"{wise}.weight"] = kernel * scale.reshape(-1, 1, 1, 1)
        found[f"{wise}.bias"] = arrays[f"conv_dw_{block}_bn/batchnorm_1/sub"]
        kernel = arrays[f"conv_pw_{block}/convolution/merged_input"]
        found[f"{point}.weight"] = kernel.transpose(3, 2, 0, 1)
        found[f"{point}.bias"] = arrays[f"conv_pw_{block}_bn/batchnorm_1/sub"]
    heads = [name.partition("/")[0] for name in arrays if name.endswith(f"{_HEAD}/kernel")]
    for theirs in (_HIDDEN, *heads):
        name = "hidden" if theirs == _HIDDEN else theirs.removesuffix(_HEAD)
        found[f"{name}.weight"] = arrays[f"{theirs}/kernel"].T
        found[f"{name}.bias"] = arrays[f"{theirs}/bias"]
    return found


def _arrays(published: Path) -> Arrays:
    """Every array of half precision that a graph model's files hold, by its name."""
    found: Arrays = {}
    for group in json.loads(published.read_text(encoding="utf-8"))["weightsManifest"]:
        data = b"".join((published.parent / path).read_bytes() for path in group["paths"])
        start = 0
        for entry in group["weights"]:
            dtype = _stored_as(entry)
            count = math.prod(entry["shape"])
            values = np.frombuffer(data, dtype, count, start)
            start += count * dtype.itemsize
            found[entry["name"]] = values.reshape(entry["shape"]).astype(np.float32)
        if start != len(data):
            raise ValueError("the arrays do not fill their file")
    return found


def _stored_as(entry: Mapping[str, Any]) -> np.dtype[Any]:
    """How numbers of an array lie in the file; raises ValueError for a way that is not this
    network's."""
    name = entry.get("quantization", {}).get("dtype", entry["dtype"])
    if name not in ("float16", "float32", "int32"):
        raise ValueError(f"arrays of {name} are not known here")
    stored: np.dtype[Any] = np.dtype(name).newbyteorder("<")
    return stored


def main(argv: Sequence[str]) -> int:
    """Convert, and return the exit status."""
    if len(argv) != 2:
        print("usage: python -m agegenderemo.training.public_network IN.json OUT.safetensors")
        return 2
    try:
        convert(Path(argv[0]), Path(argv[1]))
    except AgeGenderEmoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
