"""The whole path, picture to answer, measured beside the prepared crops that networks learn on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.prepare import main_face
from agegenderemo.data.readers.source import read_bytes
from agegenderemo.evaluation.evaluate import answer, measure
from agegenderemo.evaluation.predict import Predicts
from agegenderemo.imaging.load import load_image
from agegenderemo.tasks import Prediction
from agegenderemo.types import Face, RGBImage

_KEYS = ("mae", "band_accuracy", "accuracy", "accuracy_majority", "accuracy_argmax", "intervals")


def compare(
    analyze: Callable[[RGBImage], Sequence[Face]],
    predictor: Predicts,
    prepared: PreparedSet,
    rows: NDArray[np.int64],
    progress: bool = True,
) -> dict[str, Any]:
    """Figures of whole pictures (``pictures``), as ``analyze`` reads them, and of the prepared
    crops of the same faces (``crops``), and in how many pictures no face was found (``missed``).

    The pictures are read again from where the samples say they are. Raises OSError if they are
    gone.
    """
    answers: list[Mapping[str, Prediction]] = []
    found = []
    for row in tqdm(
        rows.tolist(),
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
            found.append(row)
    crops = answer(predictor, prepared, np.array(found, dtype=np.int64), progress=progress)
    samples = [prepared.samples[row] for row in found]
    return {
        "n": len(rows),
        "missed": len(rows) - len(found),
        **{
            side: {"tasks": _short(measure(samples, prepared.tasks, given, predictor.tasks))}
            for side, given in (("pictures", answers), ("crops", crops))
        },
    }


def _short(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {key: own[key] for key in _KEYS if key in own}
        for name, own in figures["tasks"].items()
    }
