"""Each step from a crop to the input of a network, one by one: none can be left out unseen."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from agegenderemo.data.transforms import (
    Augmentation,
    AugmentationParameters,
    augment,
    fit_input,
    mixup,
    sample_parameters,
    to_input,
)
from agegenderemo.types import InputSpec

OFF = Augmentation(*[0.0] * len(dataclasses.fields(Augmentation)))
GREY = torch.tensor([0.299, 0.587, 0.114])


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def nothing(count: int, **changed: Any) -> AugmentationParameters:
    """Parameters that leave every face as it is, but for what is given."""
    plain = sample_parameters(count, OFF, seeded())
    straight = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(count, 2, 3)
    values = {name: torch.as_tensor(value) for name, value in changed.items()}
    return plain._replace(**{"warp": straight} | values)


def noise_faces(count: int = 2, side: int = 32) -> Tensor:
    return torch.from_numpy(
        np.random.default_rng(0).integers(60, 180, (count, side, side, 3)).astype(np.uint8)
    )


def pictures(crops: Tensor) -> Tensor:
    return crops.permute(0, 3, 1, 2).float() / 255


def test_nothing_is_the_evaluation_path() -> None:
    crops = noise_faces()
    assert torch.allclose(augment(crops, 32, nothing(2)), pictures(crops), atol=1e-6)


def test_input_is_normalised_and_resized() -> None:
    spec = InputSpec(32, mean=(0.5, 0.0, 0.0), std=(0.5, 1.0, 2.0))
    x = to_input(torch.full((2, 128, 128, 3), 255, dtype=torch.uint8), spec)
    assert x.shape == (2, 3, 32, 32)
    assert torch.allclose(x[0, :, 5, 5], torch.tensor([1.0, 1.0, 0.5]), atol=1e-5)
    stripes = torch.zeros(1, 128, 128, 3, dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    # Antialiased: stripes finer than the input's pixels become grey.
    assert to_input(stripes, InputSpec(32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))).std() < 0.02


def test_no_augmentation_is_the_evaluation_path_or_its_mirror() -> None:
    crops, spec = noise_faces(8, 48), InputSpec(48)
    x = fit_input(augment(crops, 48, sample_parameters(8, OFF, seeded())), spec)
    plain = to_input(crops, spec)
    mirrored = [torch.allclose(a, b.flip(2), atol=1e-3) for a, b in zip(x, plain, strict=True)]
    straight = [torch.allclose(a, b, atol=1e-3) for a, b in zip(x, plain, strict=True)]
    assert all(m or s for m, s in zip(mirrored, straight, strict=True))
    assert any(mirrored)
    assert any(straight)


# --- what is done to the pixels --------------------------------------------------------------


def test_warp_moves_the_face() -> None:
    crops = noise_faces(3)
    x = pictures(crops)
    quarter = 0.5  # affine_grid spans [-1, 1]
    warp = torch.tensor(
        [
            [[1.0, 0, quarter], [0, 1, 0]],  # looks a quarter of the side to the right
            [[-1.0, 0, 0], [0, 1, 0]],  # mirrored
            [[0.0, -1, 0], [1, 0, 0]],  # a quarter turn
        ]
    )
    out = augment(crops, 32, nothing(3, warp=warp))
    assert torch.allclose(out[0, :, :, :24], x[0, :, :, 8:], atol=1e-4)
    assert torch.allclose(out[1], x[1].flip(2), atol=1e-4)
    assert torch.allclose(out[2], x[2].rot90(1, (1, 2)), atol=1e-4)


def test_detail_finer_than_the_input_becomes_grey() -> None:
    crops = noise_faces(1, 128)
    # The mean of some sixteen pixels, where sampling alone would take that of four.
    assert augment(crops, 32, nothing(1)).std() < 0.4 * pictures(crops).std()


def test_what_lies_outside_repeats_the_border() -> None:
    crops = noise_faces(1)
    warp = torch.tensor([[[1.0, 0, 1.0], [0, 1, 0]]])
    out = augment(crops, 32, nothing(1, warp=warp))
    assert torch.allclose(out[0, :, :, -1], pictures(crops)[0, :, :, -1], atol=1e-4)


def test_saturation_of_zero_is_grey() -> None:
    crops = noise_faces(2)
    out = augment(crops, 32, nothing(2, saturation=[0.0, 0.5]))
    x = pictures(crops)
    grey = (x * GREY.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    assert torch.allclose(out[0], grey[0].expand(3, -1, -1), atol=1e-5)
    assert torch.allclose(out[1], (x[1] + grey[1]) / 2, atol=1e-5)


def test_contrast_is_about_the_mean_grey_of_the_face() -> None:
    crops = noise_faces(1)
    x = pictures(crops)
    mean = (x * GREY.view(1, 3, 1, 1)).sum(dim=1).mean()
    out = augment(crops, 32, nothing(1, contrast=[0.5]))
    assert torch.allclose(out, mean + (x - mean) / 2, atol=1e-5)


def test_brightness_multiplies() -> None:
    crops = noise_faces(1)
    out = augment(crops, 32, nothing(1, brightness=[0.5]))
    assert torch.allclose(out, pictures(crops) / 2, atol=1e-5)


def test_hue_turns_colours_and_leaves_grey() -> None:
    crops = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    crops[0, :, :, 0], crops[1] = 200, 100
    out = augment(crops, 32, nothing(2, hue=[2 * math.pi / 3] * 2))
    assert torch.allclose(out[0].mean(dim=(1, 2)), torch.tensor([0, 200 / 255, 0]), atol=1e-5)
    assert torch.allclose(out[1], torch.tensor(100 / 255), atol=1e-5)
    back = augment(crops, 32, nothing(2, hue=[0.0, 0.5]))
    assert torch.allclose(back[0], pictures(crops)[0], atol=1e-5)


def test_blur_takes_the_detail_and_keeps_the_light() -> None:
    crops = noise_faces(2)
    out = augment(crops, 32, nothing(2, reduced=[1 / 3, 1.0]))
    x = pictures(crops)
    assert out[0].std() < 0.5 * x[0].std()
    assert out[0].mean().item() == pytest.approx(x[0].mean().item(), abs=0.01)
    assert torch.allclose(out[1], x[1], atol=1e-6)


def test_noise_is_of_its_seed() -> None:
    crops = torch.full((3, 64, 64, 3), 128, dtype=torch.uint8)
    out = augment(crops, 64, nothing(3, noise=[-1, 7, 7]))
    assert torch.allclose(out[0], torch.tensor(128 / 255), atol=1e-6)
    assert out[1].std().item() == pytest.approx(0.04, rel=0.05)
    assert torch.equal(out[1], out[2])
    other = augment(crops, 64, nothing(3, noise=[-1, 8, 7]))
    assert not torch.equal(other[1], out[1])


def test_erased_is_one_grey_where_it_was_said() -> None:
    crops = noise_faces(2)
    box = [0.25, 0.5, 0.25, 0.125, 0.875]  # top, left, height, width, and the grey put there
    out = augment(crops, 32, nothing(2, erased=[box, [0.0, 0.0, 0.0, 0.5, 0.5]]))
    x = pictures(crops)
    changed = (out - x).abs().amax(dim=1) > 1e-3
    expected = torch.zeros(32, 32, dtype=torch.bool)
    expected[8:16, 16:20] = True
    assert torch.equal(changed[0], expected)
    assert (out[0, :, 8:16, 16:20] == 0.875).all()
    assert not changed[1].any()  # no height, no box


def test_a_mixed_face_lies_between_two_neighbours() -> None:
    shades = torch.tensor([0.0, 0.2, 0.4, 0.8, 1.0])
    crops = (shades * 255).round().byte().view(5, 1, 1, 1).expand(5, 16, 16, 3)
    parameters = nothing(5, mixup=[0.25, 0.0, 0.75, 0.5, 0.5])
    means = augment(crops, 16, parameters).mean(dim=(1, 2, 3))
    # Each takes its share of what the other was before; the fifth has no neighbour.
    expected = torch.tensor([0.05, 0.2, 0.7, 0.6, 1.0])
    assert torch.allclose(means, expected, atol=1e-5)
    x = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, 4, 4).clone()
    assert mixup(x, torch.tensor([0.5, 0.0]))[:, 0, 0, 0].tolist() == [0.5, 1.0]


def test_pictures_stay_in_range() -> None:
    crops = torch.tensor([0, 255], dtype=torch.uint8).repeat(2 * 32 * 16 * 3).view(2, 32, 32, 3)
    out = augment(crops, 32, nothing(2, brightness=[2.0, 2.0], contrast=[2.0, 2.0], noise=[1, 2]))
    assert out.min() == 0
    assert out.max() == 1


# --- what is drawn ---------------------------------------------------------------------------


def test_augmentation_repeats_with_its_seed_and_on_any_process() -> None:
    crops = noise_faces(6, 64)
    strong = Augmentation(grey=0.5, blur=0.9, erase=0.9, noise=0.9, hue=0.1, mixup=0.5)

    def run(seed: int) -> Tensor:
        return augment(crops, 48, sample_parameters(len(crops), strong, seeded(seed)))

    assert run(1).shape == (6, 3, 48, 48)
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    parameters = sample_parameters(len(crops), strong, seeded(1))
    part = augment(crops[2:6], 48, parameters.take(slice(2, 6)))
    assert torch.allclose(part, run(1)[2:], atol=1e-5)  # a share of a batch, on another process


COUNT = 4000


def draw(**how: float) -> AugmentationParameters:
    return sample_parameters(COUNT, dataclasses.replace(OFF, **how), seeded())


def range_of(values: Tensor) -> tuple[float, float]:
    return values.min().item(), values.max().item()


def test_half_of_the_faces_are_mirrored_and_nothing_else_is_done() -> None:
    plain = draw()
    flipped = plain.warp[:, 0, 0] == -1
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.03)
    straight = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    turned = torch.where(flipped[:, None, None], straight * torch.tensor([-1.0, 1, 1]), straight)
    assert torch.allclose(plain.warp, turned, atol=1e-7)
    for name, value in (("saturation", 1), ("contrast", 1), ("brightness", 1), ("hue", 0),
                        ("reduced", 1), ("noise", -1), ("mixup", 0)):  # fmt: skip
        assert (getattr(plain, name) == value).all(), name
    assert not (plain.erased[:, 2] * plain.erased[:, 3]).any()


@pytest.mark.parametrize("name", ["saturation", "contrast", "brightness"])
def test_colours_are_drawn_from_their_range(name: str) -> None:
    assert range_of(getattr(draw(**{name: 0.25}), name)) == pytest.approx((0.75, 1.25), abs=0.01)


def test_rotation_zoom_and_shift_are_drawn_from_their_ranges() -> None:
    turned = draw(rotation=30.0).warp
    assert range_of(torch.asin(turned[:, 0, 1])) == pytest.approx(
        (-math.pi / 6, math.pi / 6), rel=0.01
    )
    sizes = draw(zoom=0.2).warp[:, :, :2].square().sum(dim=1).sqrt()
    assert range_of(sizes) == pytest.approx((0.8, 1.2), rel=0.01)
    shifted = draw(shift=0.1).warp[:, :, 2]
    assert range_of(shifted[:, 0]) == pytest.approx((-0.2, 0.2), rel=0.01)
    assert range_of(shifted[:, 1]) == pytest.approx((-0.2, 0.2), rel=0.01)
    assert range_of(draw(hue=0.25).hue) == pytest.approx((-math.pi / 2, math.pi / 2), rel=0.01)


@pytest.mark.parametrize("name", ["grey", "blur", "noise", "mixup"])
def test_some_faces_get_what_has_a_probability(name: str) -> None:
    drawn = draw(**{name: 0.4})
    chosen = {
        "grey": drawn.saturation == 0,
        "blur": drawn.reduced < 1,
        "noise": drawn.noise >= 0,
        "mixup": drawn.mixup > 0,
    }
    for other, faces in chosen.items():
        assert faces.float().mean().item() == pytest.approx(0.4 * (other == name), abs=0.03)


def test_erased_boxes_lie_in_the_picture() -> None:
    top, left, height, width, _ = draw(erase=1.0, erase_size=0.35).erased.unbind(dim=1)
    for start, side in ((top, height), (left, width)):
        assert range_of(side) == pytest.approx((0.02, 0.35), abs=0.01)
        assert start.min() >= 0
        assert (start + side).max() <= 1
