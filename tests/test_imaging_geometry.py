"""Boxes and alignment, to the bit what PyTorch's sampling gives: it cut the training crops."""

import numpy as np
import pytest
import torch
from torch.nn.functional import grid_sample

from agegenderemo.imaging.geometry import TEMPLATES, align, iou, square_corners
from agegenderemo.types import Landmarks, RGBImage


def test_iou() -> None:
    assert iou((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 1, 1), (1, 1, 2, 2)) == 0


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
        align(np.zeros((9, 9, 3), np.uint8), ((1, 1),) * 5, 64)


def sampled_by_torch(image: RGBImage, points: Landmarks, size: int) -> RGBImage:
    """What `align` gives for a face that is not reduced."""
    corners = square_corners(points)
    steps = (np.arange(size) + 0.5) / size
    right, down = corners[1] - corners[0], corners[2] - corners[0]
    places = corners[0] + steps[None, :, None] * right + steps[:, None, None] * down
    height, width = image.shape[:2]
    grid = places / (width / 2, height / 2) - 1
    crop = grid_sample(
        torch.from_numpy(image).permute(2, 0, 1)[None].float(),
        torch.from_numpy(grid.astype(np.float32))[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    rounded: RGBImage = crop[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
    return rounded


@pytest.mark.parametrize("seed", range(12))
def test_sampling_is_that_of_torch_to_the_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(5, 700, 2)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    centre = (float(rng.uniform(-20, width + 20)), float(rng.uniform(-20, height + 20)))
    points = landmarks(float(rng.uniform(20, 127)), float(rng.uniform(-90, 90)), centre)
    assert np.array_equal(align(image, points, 128), sampled_by_torch(image, points, 128))


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_the_corners_are_those_of_the_crop(scale: float) -> None:
    points = landmarks(100 * scale, 0, (300, 200))
    corners = square_corners(points)
    assert corners == pytest.approx(
        np.array([(-50, -50), (50, -50), (-50, 50)]) * scale + (300, 200), abs=1e-6
    )


def test_templates_lie_in_the_square_and_are_symmetric() -> None:
    for template in TEMPLATES.values():
        assert ((template > 0) & (template < 1)).all()
        mirrored = template * (-1, 1) + (1, 0)
        assert mirrored[[1, 0, 2, 4, 3]] == pytest.approx(template)


def test_the_wide_template_shows_more() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[150:250, 150:250] = 255
    points = landmarks(100, centre=(200, 200))
    assert align(image, points, 64, "ffhq").mean() < align(image, points, 64).mean() / 2
