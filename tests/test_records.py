from pathlib import Path
from typing import Any

import pytest

from agegenderemo.labels import EMOTIONS
from agegenderemo.records import Attributes, Detection, Face, ImageRef, InputSpec, Sample

POINTS: Any = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (35.0, 80.0), (65.0, 80.0))
HAPPY = (0.0, 0.0, 0.0, 0.0, 0.75, 0.25, 0.0, 0.0)


def face(male: float = 0.2, emotions: tuple[float, ...] = HAPPY) -> Face:
    return Face(Detection((10, 20, 90, 110), 0.99, POINTS), Attributes(31.25, male, emotions))


def test_to_dict_is_the_documented_shape() -> None:
    assert face().to_dict() == {
        "box": [10, 20, 90, 110],
        "score": 0.99,
        "landmarks": [[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]],
        "age": 31.25,
        "age_interval": None,
        "age_error": None,
        "gender": "female",
        "gender_probability": 0.8,
        "gender_sure": True,
        "emotion": "happiness",
        "emotions": dict(zip(EMOTIONS, HAPPY, strict=True)),
        "emotion_sure": True,
        "doubts": [],
    }


def test_to_dict_tells_how_sure_it_is() -> None:
    attributes = Attributes(31.25, 0.4, HAPPY, (24.04, 40.06), 5.04, False, False)
    given = Face(face().detection, attributes, ("dark", "turned")).to_dict()
    assert given["age_interval"] == [24.0, 40.1]
    assert given["age_error"] == 5.0
    assert (given["gender_sure"], given["emotion_sure"]) == (False, False)
    assert given["doubts"] == ["dark", "turned"]


@pytest.mark.parametrize(("male", "gender"), [(0.49, "female"), (0.5, "male"), (1.0, "male")])
def test_gender_goes_with_its_probability(male: float, gender: str) -> None:
    assert face(male).gender == gender
    assert 0.5 <= face(male).gender_probability <= 1


@pytest.mark.parametrize(
    "build",
    [
        lambda: InputSpec(16),
        lambda: InputSpec(64, std=(0.2, 0.0, 0.2)),
        lambda: Detection((10, 10, 10, 20), 1, POINTS),
        lambda: Detection((0, 0, 1, 1), 1, POINTS[:4]),
        lambda: Attributes(float("nan"), 0.5, HAPPY),
        lambda: Attributes(30, 1.5, HAPPY),
        lambda: Attributes(30, 0.5, HAPPY, (31.0, 40.0)),
        lambda: Face(face().detection, face().attributes, ("ugly",)),
        lambda: Attributes(30, 0.5, (1.0,)),
        lambda: Attributes(30, 0.5, (0.5,) * 8),
        lambda: Sample(ImageRef(Path(), "a"), "train", age=-1),
        lambda: Sample(ImageRef(Path(), "a"), "train", age_range=(9, 3)),
        lambda: Sample(ImageRef(Path(), "a"), "train", gender=2),
        lambda: Sample(ImageRef(Path(), "a"), "train", votes=(1, 2)),
    ],
)
def test_impossible_records_are_not_built(build: Any) -> None:
    with pytest.raises(ValueError, match=r"must|wanted"):
        build()
