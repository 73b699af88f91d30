"""The whole path, picture to answer, measured beside the prepared crops that networks learn on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agegenderemo.analyzer import Analyzer
from agegenderemo.dataset import PreparedSet
from agegenderemo.detection.mtcnn import main_face
from agegenderemo.evaluation import answer, measure
from agegenderemo.images import load_image
from agegenderemo.readers.source import read_bytes
from agegenderemo.records import Attributes

_KEYS = (
    "age_mae",
    "age_band_accuracy",
    "gender_accuracy",
    "emotion_accuracy_majority",
    "emotion_accuracy_argmax",
)


def compare(analyzer: Analyzer, prepared: PreparedSet, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Figures of whole pictures (``pictures``) and of the prepared crops of the same faces
    (``crops``), and of how many pictures no face was found in (``missed``).

    The pictures are read again from where the samples say they are. Raises OSError if they are
    gone.
    """
    answers: list[Attributes] = []
    found = []
    for row in tqdm(rows.tolist(), desc=f"{prepared.name}: whole pictures", unit="picture"):
        image = load_image(read_bytes(prepared.samples[row].image))
        height, width = image.shape[:2]
        faces = analyzer.analyze(image)
        if faces:
            chosen = main_face([face.detection for face in faces], width, height)
            answers += [face.attributes for face in faces if face.detection is chosen]
            found.append(row)
    samples = [prepared.samples[row] for row in found]
    whole = measure(samples, answers)
    crops = measure(samples, answer(analyzer.predictor, prepared, np.array(found, dtype=np.int64)))
    return {
        "n": len(rows),
        "missed": len(rows) - len(found),
        "pictures": {key: whole[key] for key in _KEYS if whole[key] is not None},
        "crops": {key: crops[key] for key in _KEYS if crops[key] is not None},
    }
