"""What frozen networks say of stored faces, computed once and kept beside the crops.

A cache is written as it grows: a killed run goes on where it was. Numbers are kept in half
precision, three digits. Its name holds the digest of the weights and that of what they read, so
that neither other weights nor a set prepared anew are given the old answers.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from agegenderemo.data.arrays import make_array
from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.readers.source import read_bytes
from agegenderemo.data.samples import ImageRef
from agegenderemo.data.transforms import to_input
from agegenderemo.errors import DatasetError
from agegenderemo.evaluation.predict import TorchPredictor
from agegenderemo.files import sha256
from agegenderemo.imaging.load import load_image
from agegenderemo.models.checkpoint import Checkpoint
from agegenderemo.models.mobilenet_v1_face import PUBLIC_INPUT, MobileNetV1Face
from agegenderemo.tasks import value_of
from agegenderemo.training.distributed import DistributedContext, has_bfloat16
from agegenderemo.training.settings import crops_digest
from agegenderemo.types import RGBImage

_BORDER = 0.08  # of the side, added on every side
_BATCH = 32
_DIGITS = 12  # of a digest, in the name of a file

Compute = Callable[[NDArray[np.int64]], Tensor]
"""Rows of a prepared set to numbers, len(rows)×K."""

ALONE = DistributedContext()


def cached_embeddings(
    prepared: PreparedSet,
    folder: Path,
    rows: NDArray[np.int64],
    path: Path,
    context: DistributedContext = ALONE,
) -> Tensor:
    """Embeddings of the rows by the public face network at ``path``, len(rows)×1024, from the cache
    in ``folder`` or computed now.

    It sees whole pictures at the size and in the frame that it was made for, and so is right more
    often than on our crops; these sets have one picture a face.
    """

    def start() -> Compute:
        network = MobileNetV1Face()
        network.load_public(path)
        network.to(memory_format=torch.channels_last).eval()
        low = has_bfloat16(torch.device("cpu"))
        readers = ThreadPoolExecutor(2)

        def embed(rows: NDArray[np.int64]) -> Tensor:
            pictures = readers.map(_picture, (prepared.samples[row].image for row in rows))
            x = to_input(torch.from_numpy(np.stack(list(pictures))), PUBLIC_INPUT)
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                embedded: Tensor = network(x)
            return embedded.float()

        return embed

    # Pictures, whatever crops were cut of them.
    name = f"embeddings-{_digits(path.read_bytes())}-{_digits(prepared.digest.tobytes())}"
    return _cached(name, MobileNetV1Face.num_features, start, prepared, folder, rows, context)


def _picture(ref: ImageRef) -> RGBImage:
    """A whole picture as the public network likes it."""
    return pad_and_resize(load_image(read_bytes(ref)), PUBLIC_INPUT.size)


def pad_and_resize(image: RGBImage, side: int) -> RGBImage:
    """An H×W picture with a little more border, as a square of ``side`` pixels."""
    border = round(_BORDER * min(image.shape[:2]))
    padded = np.pad(image, ((border, border), (border, border), (0, 0)), mode="edge")
    return np.asarray(Image.fromarray(padded).resize((side, side), Image.Resampling.BILINEAR))


def cached_predictions(
    prepared: PreparedSet,
    folder: Path,
    rows: NDArray[np.int64],
    path: Path,
    checkpoint: Checkpoint,
    context: DistributedContext = ALONE,
) -> dict[str, Tensor]:
    """What the checkpoint, read from ``path``, says of the crops of the rows and their mirror
    images, by the name of its tasks, from the cache in ``folder`` or computed now: (N,) numbers, or
    probabilities of the second class, or (N, K) probabilities."""
    specs = checkpoint.info.tasks

    def start() -> Compute:
        predictor = TorchPredictor(checkpoint.model, checkpoint.info.input)

        def predict(rows: NDArray[np.int64]) -> Tensor:
            faces = predictor.predict(prepared.crops[rows])
            values = ([value_of(face[spec.name]) for spec in specs] for face in faces)
            return torch.tensor([np.hstack(row).tolist() for row in values])

        return predict

    read = prepared.digest.tobytes() + crops_digest(prepared).encode()
    name = f"predictions-{_digits(path.read_bytes())}-{_digits(read)}"
    widths = [spec.outputs for spec in specs]
    whole = _cached(name, sum(widths), start, prepared, folder, rows, context)
    columns = whole.split(widths, dim=1)
    return {
        spec.name: own if spec.outputs > 1 else own.squeeze(1)
        for spec, own in zip(specs, columns, strict=True)
    }


def _digits(data: bytes) -> str:
    return sha256(data)[:_DIGITS]


def _cached(
    name: str,
    width: int,
    start: Callable[[], Compute],
    prepared: PreparedSet,
    folder: Path,
    rows: NDArray[np.int64],
    context: DistributedContext,
) -> Tensor:
    """Numbers of the rows, len(rows)×width; the processes of a machine share the work."""
    cache = folder / f"{name}.npy"
    count = len(prepared.samples)
    if context.local_rank == 0 and not _is_whole(cache, (count, width)):
        fresh = cache.with_suffix(".tmp")
        try:
            store = make_array(fresh, np.float16, (count, width))
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise DatasetError(
                f"What a teacher says could not be kept in {folder} ({error.strerror}); it takes "
                f"{2 * count * width / 1e6:,.0f} MB there."
            ) from error
        store[:, 0] = np.nan  # this row is still to do
        fresh.replace(cache)
    context.barrier()
    store = np.load(cache, "r+")
    todo = rows[np.isnan(store[rows, 0])]
    context.barrier()  # until every process has made its list of what is to do
    todo = todo[context.local_rank :: context.local_size]
    if len(todo):
        compute = start()
        for begin in tqdm(
            range(0, len(todo), _BATCH),
            desc=f"{prepared.name}: asking the teacher",
            unit="batch",
            disable=None if context.is_main else True,
        ):
            batch = todo[begin : begin + _BATCH]
            with torch.inference_mode():
                found = compute(batch).half().numpy()
            # The first number last: it says that the row is done.
            store[batch, 1:] = found[:, 1:]
            store[batch, 0] = found[:, 0]
    context.barrier()
    return torch.from_numpy(store[rows].astype(np.float32))


def _is_whole(cache: Path, shape: tuple[int, int]) -> bool:
    """Whether the cache is there, and not damaged."""
    try:
        return bool(np.load(cache, "r").shape == shape)
    except (OSError, EOFError, ValueError):
        return False
