from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agegenderemo.detection.align import TEMPLATES, align
from agegenderemo.detection.mtcnn import FaceDetector
from agegenderemo.images import RGBImage, iou, load_image
from agegenderemo.records import Landmarks


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(scope="module")
def astronaut(examples: Path) -> RGBImage:
    return load_image(examples / "astronaut.jpg")


def test_all_of_solvay_is_found_largest_first(detector: FaceDetector, examples: Path) -> None:
    image = load_image(examples / "solvay-1927.jpg")
    faces = detector.detect(image)
    assert len(faces) == 29
    areas = [face.area for face in faces]
    assert areas == sorted(areas, reverse=True)
    height, width = image.shape[:2]
    for face in faces:
        x1, y1, x2, y2 = face.box
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert 0.9 <= face.score <= 1
        eyes_y = (face.landmarks[0][1] + face.landmarks[1][1]) / 2
        mouth_y = (face.landmarks[3][1] + face.landmarks[4][1]) / 2
        assert y1 < eyes_y < mouth_y < y2 + 5
        assert face.landmarks[0][0] < face.landmarks[1][0]


def test_boxes_come_back_in_pixels_of_the_original(
    detector: FaceDetector, astronaut: RGBImage
) -> None:
    small = detector.detect(astronaut)[0]
    large = np.asarray(Image.fromarray(astronaut).resize((2048, 2048), Image.Resampling.BICUBIC))
    found = detector.detect(large, max_side=512)
    assert len(found) == 1
    assert iou(tuple(v / 4 for v in found[0].box), small.box) > 0.85  # type: ignore[arg-type]
    shift = np.asarray(found[0].landmarks) / 4 - np.asarray(small.landmarks)
    assert np.abs(shift).max() < 4


def test_both_engines_find_the_same_faces(detector: FaceDetector, examples: Path) -> None:
    theirs = FaceDetector(engine="torch")
    for name in ("solvay-1927.jpg", "astronaut.jpg"):
        image = load_image(examples / name)
        found, expected = detector.detect(image), theirs.detect(image)
        for a, b in zip(found, expected, strict=True):
            assert a.box == pytest.approx(b.box, abs=0.01)
            assert np.asarray(a.landmarks) == pytest.approx(np.asarray(b.landmarks), abs=0.01)
            assert a.score == pytest.approx(b.score, abs=1e-4)
        boxes = [face.box for face in found]
        followed = zip(detector.refine(image, boxes), theirs.refine(image, boxes), strict=True)
        for c, d in followed:
            assert (c is None) == (d is None)
            if c and d:
                assert c.box == pytest.approx(d.box, abs=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (19, 19), (2, 20000), (20000, 2), (20, 20), (64, 64)])
def test_pictures_without_faces_give_an_empty_list(
    detector: FaceDetector, shape: tuple[int, int]
) -> None:
    assert detector.detect(np.full((*shape, 3), 120, np.uint8)) == []


def test_noise_is_no_face_and_no_error(detector: FaceDetector) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    assert detector.detect(noise) == []


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.7])
def test_faces_cut_by_the_border_raise_nothing(
    detector: FaceDetector, astronaut: RGBImage, keep: float
) -> None:
    x1, y1, x2, y2 = (int(v) for v in detector.detect(astronaut)[0].box)
    cut = int(x1 + keep * (x2 - x1))
    for image in (astronaut[y1:y2, :cut], astronaut[y1:y2, cut:], astronaut[: (y1 + y2) // 2]):
        for face in detector.detect(np.ascontiguousarray(image)):
            assert face.box[2] <= image.shape[1]


def test_no_face_is_found_in_nothing(detector: FaceDetector, astronaut: RGBImage) -> None:
    assert detector.detect(np.zeros_like(astronaut)) == []
    assert len(detector.detect(np.ascontiguousarray(astronaut[:, ::-1]))) == 1


def test_threads_may_share_a_detector(detector: FaceDetector, astronaut: RGBImage) -> None:
    sizes = [20, 40, 60, 80] * 2
    expected = [detector.detect(astronaut, min_face_size=size) for size in sizes]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda s: detector.detect(astronaut, min_face_size=s), sizes))
    assert [[f.box for f in faces] for faces in found] == [[f.box for f in e] for e in expected]


# --- alignment -------------------------------------------------------------------------------


def landmarks(size: float, angle: float = 0, centre: tuple[float, float] = (0, 0)) -> Landmarks:
    """The template as landmarks: scaled, turned by degrees about its middle, and moved."""
    turn = np.exp(1j * np.deg2rad(angle))
    z = ((TEMPLATES["face"] - 0.5) @ (1, 1j)) * turn * size
    return tuple((float(v.real + centre[0]), float(v.imag + centre[1])) for v in z)  # type: ignore[return-value]


@pytest.mark.parametrize("angle", [0, 20, -45, 90, 180])
@pytest.mark.parametrize("scale", [0.5, 1, 3.7])
def test_alignment_undoes_rotation_scale_and_shift(angle: float, scale: float) -> None:
    size = 64
    centre = (150.0, 140.0)
    # A disc at each landmark: after alignment it stands where the template says.
    points = landmarks(size * scale, angle, centre)
    y, x = np.mgrid[0:300, 0:300] + 0.5
    image = np.zeros((300, 300, 3), np.uint8)
    for channel, (px, py) in enumerate((points[0], points[1], points[3])):
        image[..., channel] = np.where(np.hypot(x - px, y - py) < 5 * scale, 255, 0)
    crop = align(image, points, size).astype(float)
    assert crop.shape == (size, size, 3)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1) + 0.5
    for channel, index in enumerate((0, 1, 3)):
        weight = crop[..., channel]
        found = (grid * weight[..., None]).sum(axis=(0, 1)) / weight.sum()
        assert np.abs(found - TEMPLATES["face"][index] * size).max() < 0.6


def test_the_border_is_repeated_outside_the_picture() -> None:
    image = np.full((60, 60, 3), 200, np.uint8)
    assert align(image, landmarks(60, centre=(0, 0)), 64).min() >= 199
    assert align(image, landmarks(600, centre=(5000, -900)), 64).min() >= 199


def test_large_faces_are_reduced_without_aliasing() -> None:
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = align(stripes, landmarks(1000, centre=(600, 600)), 64)
    # One-pixel stripes must become even grey, not a moiré pattern.
    assert crop.std() < 8
    assert abs(crop.mean() - 127.5) < 5


def test_landmarks_on_one_spot_are_refused() -> None:
    with pytest.raises(ValueError, match="do not span a face"):
        align(np.zeros((9, 9, 3), np.uint8), ((1, 1),) * 5, 64)  # type: ignore[arg-type]


def test_the_real_face_comes_out_upright(detector: FaceDetector, astronaut: RGBImage) -> None:
    straight = align(astronaut, detector.detect(astronaut)[0].landmarks, 128)
    turned = np.asarray(Image.fromarray(astronaut).rotate(25, Image.Resampling.BICUBIC))
    again = align(turned, detector.detect(turned)[0].landmarks, 128)
    middle = np.s_[32:112, 24:104]
    difference = straight[middle].astype(float) - again[middle].astype(float)
    correlation = np.corrcoef(straight[middle].ravel(), again[middle].ravel())[0, 1]
    assert correlation > 0.8, np.abs(difference).mean()
