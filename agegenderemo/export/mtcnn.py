"""MTCNN's three networks of facenet-pytorch as the graphs that the detector runs."""

from pathlib import Path

from agegenderemo.files import write_atomically

OUTPUTS = {
    "pnet": ("boxes", "scores"),
    "rnet": ("boxes", "scores"),
    "onet": ("boxes", "points", "scores"),
}
"""Names of what each network gives, by its own name."""


def write_mtcnn(folder: Path) -> tuple[Path, ...]:
    """Write ``mtcnn-pnet.onnx``, ``mtcnn-rnet.onnx`` and ``mtcnn-onet.onnx`` into a folder.

    The weights are those that come with facenet-pytorch. Returns the paths; raises
    CheckpointError when they cannot be written.
    """
    # Loaded here, so that whoever only names the function needs neither.
    import torch
    from facenet_pytorch import MTCNN

    from agegenderemo.export.onnx import to_graph

    nets = MTCNN(keep_all=True).eval()
    written = []
    for name, outputs in OUTPUTS.items():
        # The first network sees pictures of any size, the others squares of their own.
        side = 48 if name == "onet" else 24
        free = (0, 2, 3) if name == "pnet" else (0,)
        graph = to_graph(getattr(nets, name), torch.zeros(2, 3, side, side), outputs, free)
        path = folder / f"mtcnn-{name}.onnx"
        write_atomically(path, graph)
        written.append(path)
    return tuple(written)
