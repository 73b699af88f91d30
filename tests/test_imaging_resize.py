"""Both reductions against their definitions and against PyTorch's, by which everything was made."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from agegenderemo.imaging.resize import (
    area_resize,
    area_resize_boxes,
    area_resize_table,
    resize_bilinear,
    summed_area,
)
from agegenderemo.types import RGBImage


def noise(height: int, width: int, seed: int = 0) -> RGBImage:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((240, 320), (97, 129)),
        ((50, 37), (48, 48)),
        ((300, 7), (24, 24)),
        ((5, 5), (48, 48)),  # an enlargement repeats pixels and means of neighbours
        ((1, 1), (24, 24)),
        ((700, 900), (13, 12)),
        ((48, 48), (48, 48)),
    ],
)
def test_area_means_are_those_of_torch_to_the_bit(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    image = noise(*shape)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    wanted = interpolate(planes, size, mode="area")[0].numpy()
    assert np.array_equal(area_resize(image, *size), wanted)
    assert np.array_equal(area_resize_table(summed_area(image), *size), wanted)


def test_boxes_are_pictures_of_their_own() -> None:
    image = noise(90, 120)
    boxes = np.array([(0, 0, 120, 90), (5, 7, 29, 31), (100, 3, 101, 90), (60, 80, 111, 85)])
    found = area_resize_boxes(summed_area(image), boxes, 24)
    assert found.shape == (4, 3, 24, 24)
    for box, crop in zip(boxes, found, strict=True):
        x1, y1, x2, y2 = box
        assert np.array_equal(crop, area_resize(image[y1:y2, x1:x2], 24, 24))


def test_no_boxes_are_no_crops() -> None:
    none = area_resize_boxes(summed_area(noise(9, 9)), np.empty((0, 4), np.intp), 24)
    assert none.shape == (0, 3, 24, 24)


def test_sums_that_wrap_still_give_means() -> None:
    image = noise(60, 80)
    table = summed_area(image)
    late = table + np.uint32(2**32 - 300_000)  # as behind sixteen megapixels of white
    assert late.min() < 300_000 < late[0, 0, 0]
    assert np.array_equal(area_resize_table(late, 17, 23), area_resize(image, 17, 23))
    boxes = np.array([(5, 7, 69, 41)])
    assert np.array_equal(area_resize_boxes(late, boxes, 24), area_resize_boxes(table, boxes, 24))


@pytest.mark.parametrize(
    ("side", "size"), [(128, 64), (128, 112), (128, 96), (200, 37), (50, 128), (64, 64), (9, 1)]
)
def test_bilinear_is_that_of_torch(side: int, size: int) -> None:
    faces = np.random.default_rng(1).random((2, 3, side, side + 3), dtype=np.float32)
    wanted = interpolate(
        torch.from_numpy(faces), (size, size), mode="bilinear", antialias=True
    ).numpy()
    found = resize_bilinear(faces, size)
    assert found.dtype == np.float32
    assert found.shape == (2, 3, size, size)
    assert np.abs(found - wanted).max() < 3e-5
    assert resize_bilinear(faces[0, 0], size) == pytest.approx(found[0, 0])


def test_halving_stripes_gives_grey() -> None:
    stripes = np.zeros((64, 64), np.float32)
    stripes[:, ::2] = 1
    assert np.abs(resize_bilinear(stripes, 32)[:, 1:-1] - 0.5).max() < 1e-6


def test_the_input_stays_as_it_is() -> None:
    faces = np.random.default_rng(2).random((3, 16, 16), dtype=np.float32)
    before = faces.copy()
    resize_bilinear(faces, 8)
    assert np.array_equal(faces, before)
