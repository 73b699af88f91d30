"""The whole path, picture to answer, measured beside the prepared crops that networks learn on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.prepare import main_face
from agegenderemo.data.readers.source import read_bytes
from agegenderemo.evaluation.evaluate import measure
from agegenderemo.imaging.load import load_image
from agegenderemo.tasks import Prediction, TaskSpec
from agegenderemo.types import Face, RGBImage

_KEYS = ("mae", "band_accuracy", "accuracy", "accuracy_majority", "accuracy_argmax", "intervals")


def compare(
    analyze: Callable[[RGBImage], Sequence[Face]],
    specs: Sequence[TaskSpec],
    prepared: PreparedSet,
    rows: NDArray[np.int64],
    of_crops: Sequence[Mapping[str, Prediction]],
    progress: bool = True,
) -> dict[str, Any]:
    """Figures of whole pictures (``pictures``), as ``analyze`` reads them, and of the prepared
    crops of the same faces (``crops``), and in how many pictures no face was found (``missed``).

    ``of_crops`` is what a network with the tasks ``specs`` said of the crops, a row each.

    The pictures are read again from where the samples say they are. Raises OSError if they are
    gone.
    """
    answers: list[Mapping[str, Prediction]] = []
    crops: list[Mapping[str, Prediction]] = []
    found = []
    for row, of_crop in tqdm(
        list(zip(rows.tolist(), of_crops, strict=True)),
        desc=f"{prepared.name}: whole pictures",
        unit="picture",
        disable=not progress,
    ):
        image = load_image(read_bytes(prepared.samples[row].image))
        height, width = image.shape[:2]
        faces = analyze(image)
        if faces:
            chosen = main_face([face.detection for face in faces], width, height)
            answers += [face.predictions for face in faces if face.detection is chosen]
            crops.append(of_crop)
            found.append(row)
    samples = [prepared.samples[row] for row in found]
    return {
        "n": len(rows),
        "missed": len(rows) - len(found),
        **{
            side: {"tasks": _short(measure(samples, prepared.tasks, given, specs))}
            for side, given in (("pictures", answers), ("crops", crops))
        },
    }


def _short(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {key: own[key] for key in _KEYS if key in own}
        for name, own in figures["tasks"].items()
    }
