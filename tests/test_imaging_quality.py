"""Reasons to distrust: each is named for a face made that way, and none for a face seen well."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from agegenderemo.detection import MtcnnDetector
from agegenderemo.imaging.geometry import align
from agegenderemo.imaging.load import load_image
from agegenderemo.imaging.quality import (
    DISTRUSTED_FLAGS,
    LIMITS,
    Quality,
    measure_quality,
    quality_flags,
)
from agegenderemo.types import QUALITY_FLAGS, Detection, Landmarks

GOOD = Quality(size=120, sharpness=0.3, brightness=0.5, yaw=0.05, out_of_frame=0.0)


@pytest.fixture(scope="module")
def astronaut(examples: Path) -> Image.Image:
    return Image.fromarray(load_image(examples / "astronaut.jpg"))


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector()


def largest(detector: MtcnnDetector, picture: Image.Image) -> Detection:
    return detector.detect(np.asarray(picture))[0]


def flags_of(detector: MtcnnDetector, picture: Image.Image) -> tuple[str, ...]:
    points = largest(detector, picture).landmarks
    crop = align(np.asarray(picture), points, 128)
    return quality_flags(measure_quality(crop, points, *picture.size))


def test_a_good_portrait_gives_no_reason(detector: MtcnnDetector, astronaut: Image.Image) -> None:
    assert flags_of(detector, astronaut) == ()


def test_a_small_face_is_small_and_not_also_blurred(
    detector: MtcnnDetector, astronaut: Image.Image
) -> None:
    assert flags_of(detector, astronaut.resize((128, 128))) == ("small",)


def test_a_blurred_face_is_blurred(detector: MtcnnDetector, astronaut: Image.Image) -> None:
    assert flags_of(detector, astronaut.filter(ImageFilter.GaussianBlur(5))) == ("blurred",)


def test_a_dark_face_is_dark(detector: MtcnnDetector, astronaut: Image.Image) -> None:
    dark = Image.fromarray((np.asarray(astronaut) * 0.15).astype(np.uint8))
    assert "dark" in flags_of(detector, dark)


def test_a_face_at_the_edge_is_cut_off(detector: MtcnnDetector, astronaut: Image.Image) -> None:
    face = largest(detector, astronaut)
    x = (face.landmarks[0][0] + face.landmarks[2][0]) / 2
    assert flags_of(detector, astronaut.crop((round(x) - 12, 0, 512, 512))) in (
        ("cut off",),
        ("turned", "cut off"),
    )


def test_a_turned_face_is_turned() -> None:
    frontal: Landmarks = ((40, 40), (80, 40), (60, 65), (45, 90), (75, 90))
    turned: Landmarks = ((40, 40), (80, 40), (78, 65), (45, 90), (75, 90))
    crop = np.zeros((128, 128, 3), np.uint8)
    assert measure_quality(crop, frontal, 128, 128).yaw == 0
    assert measure_quality(crop, turned, 128, 128).yaw == pytest.approx(18 / 40)


def test_tilting_the_head_is_not_turning_it() -> None:
    points = np.array([(40, 40), (80, 40), (60, 65), (45, 90), (75, 90)], dtype=float)
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    tilted: Landmarks = tuple(map(tuple, points @ turn.T + 60))  # type: ignore[assignment]
    assert measure_quality(np.zeros((9, 9, 3), np.uint8), tilted, 300, 300).yaw < 1e-9


def test_the_size_is_that_of_the_square_in_the_picture(astronaut: Image.Image) -> None:
    points: Landmarks = ((128.5, 126), (171.5, 126), (150, 149.5), (132, 173.5), (168, 173.5))
    crop = align(np.asarray(astronaut), points, 128)
    assert measure_quality(crop, points, 512, 512).size == pytest.approx(100, abs=0.5)
    assert measure_quality(crop, points, 512, 512).out_of_frame == 0
    shifted: Landmarks = tuple((x - 150, y) for x, y in points)  # type: ignore[assignment]
    assert measure_quality(crop, shifted, 512, 512).out_of_frame == pytest.approx(0.5, abs=0.04)


def test_every_reason_has_a_limit_that_it_is_named_past() -> None:
    assert (*LIMITS, "perhaps no face") == QUALITY_FLAGS  # the last one is of the answers
    assert quality_flags(GOOD) == ()
    for reason, (field, limit, above) in LIMITS.items():
        assert quality_flags(GOOD._replace(**{field: limit + (0.01 if above else -0.01)})) == (
            reason,
        )
        assert quality_flags(GOOD._replace(**{field: limit})) == ()


def test_flags_come_in_their_order_and_a_small_face_is_not_blurred_too() -> None:
    worst = Quality(size=10, sharpness=0.0, brightness=0.0, yaw=1.0, out_of_frame=1.0)
    assert quality_flags(worst) == ("small", "dark", "turned", "cut off")
    assert quality_flags(worst._replace(size=100)) == ("blurred", "dark", "turned", "cut off")


def test_only_flags_with_larger_errors_are_distrusted() -> None:
    assert set(QUALITY_FLAGS) > DISTRUSTED_FLAGS
    assert "turned" not in DISTRUSTED_FLAGS
