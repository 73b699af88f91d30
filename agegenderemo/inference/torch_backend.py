"""The training wing, where inference asks for it: other devices, and graphs that are missing.

torch is imported inside functions only, so that this file costs nothing where nobody calls it.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agegenderemo.errors import CheckpointError, MissingExtraError
from agegenderemo.model_info import ModelInfo


class TorchBackend:
    """A checkpoint's network in PyTorch, in float32, on any of its devices. Safe to share between
    threads: it only reads weights.

    Raises CheckpointError when the checkpoint is missing or damaged, MissingExtraError where there
    is no torch.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        try:
            from agegenderemo.models.checkpoint import load_checkpoint
        except ImportError as error:
            raise MissingExtraError("The torch engine", "train") from error
        checkpoint = load_checkpoint(path)
        try:
            model = checkpoint.model.placed(device)
        except (RuntimeError, AssertionError) as error:
            raise CheckpointError(f"PyTorch has no device {device!r} here.") from error
        self.info: ModelInfo = checkpoint.info
        self._run = _runner(model, device)

    def __call__(self, faces: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Raw outputs of N×3×S×S normalised faces by the name of the task."""
        return self._run(faces)


def _runner(
    model: object, device: str
) -> Callable[[NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    import torch

    def run(faces: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        with torch.inference_mode():
            x = torch.from_numpy(faces).to(device, memory_format=torch.channels_last)
            raw = model(x).predictions  # type: ignore[operator]
            return {name: value.float().cpu().numpy() for name, value in raw.items()}

    return run


def export_graph_on_the_fly(path: Path) -> bytes:
    """The linked graph of a checkpoint that lies without one; nothing is written.

    Raises CheckpointError where torch is not at hand or the checkpoint cannot be used, ParityError
    when the graph does not answer like the network.
    """
    try:
        from agegenderemo.export.onnx import graph_of
    except ImportError as error:
        raise CheckpointError(
            f"{path.with_suffix('.onnx')} is missing, and there is no torch here to make it; make "
            f"it where there is, with: agegenderemo export --checkpoint {path}."
        ) from error
    return graph_of(path)
