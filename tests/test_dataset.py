import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import prepared_sets

from agegenderemo.dataset import (
    Origin,
    PreparedSet,
    make_targets,
    sample_from_json,
    sample_to_json,
)
from agegenderemo.readers import DatasetError
from agegenderemo.records import ImageRef, InputSpec, Sample
from agegenderemo.transforms import Augmentation, augment, draw_changes, fit_input, to_input


def test_samples_survive_the_disk() -> None:
    samples = [
        Sample(ImageRef(Path("set.zip"), "a.png"), "test", age=3.5, gender=0, group="Asian"),
        Sample(ImageRef(Path("x.csv"), "", 77), "val", age_range=(70, math.inf)),
        Sample(
            ImageRef(Path("set"), "ä.png"),
            "train",
            emotion=(0.5, 0.5, *[0.0] * 6),
            votes=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
        ),
    ]
    assert [sample_from_json(sample_to_json(s)) for s in samples] == samples


def test_targets_mask_what_is_not_known() -> None:
    ref = ImageRef(Path(), "a")
    targets = make_targets(
        [
            Sample(ref, "train", age=0.0, gender=0),
            Sample(ref, "train", age_range=(3, 9)),
            Sample(ref, "train", emotion=(1.0, *[0.0] * 7)),
        ]
    )
    assert targets.age_mask.tolist() == [True, True, False]
    assert targets.age_low.tolist()[:2] == [0, 3]
    assert targets.age_high.tolist()[:2] == [0, 9]
    assert targets.gender_mask.tolist() == [True, False, False]
    assert targets.emotion_mask.tolist() == [False, False, True]
    assert targets.emotion[2, 0] == 1
    chosen = targets.take(torch.tensor([2, 0]))
    assert chosen.age_mask.tolist() == [False, True]


def test_splits_leave_out_copies_of_later_splits(tmp_path: Path) -> None:
    folder = prepared_sets(tmp_path, 20) / "faces"
    prepared = PreparedSet.open(folder)
    before = {split: set(prepared.rows(split).tolist()) for split in ("train", "val", "test")}  # type: ignore[arg-type]
    assert before["test"] == {0, 10}
    digest, origin = prepared.digest.copy(), prepared.origin.copy()
    digest[2], digest[3], digest[11] = digest[0], digest[1], digest[10]
    origin[4] = Origin.UNREADABLE
    changed = dataclasses.replace(prepared, digest=digest, origin=origin)
    assert before["train"] - set(changed.rows("train").tolist()) == {2, 3, 4}
    assert before["val"] - set(changed.rows("val").tolist()) == {11}
    assert set(changed.rows("test").tolist()) == before["test"]


def test_a_folder_without_a_prepared_set_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no prepared set"):
        PreparedSet.open(tmp_path)


def test_input_is_normalised_and_resized() -> None:
    spec = InputSpec(32, mean=(0.5, 0.0, 0.0), std=(0.5, 1.0, 1.0))
    crops = torch.full((2, 128, 128, 3), 255, dtype=torch.uint8)
    x = to_input(crops, spec)
    assert x.shape == (2, 3, 32, 32)
    assert torch.allclose(x, torch.ones_like(x), atol=1e-5)


def test_augmentation_repeats_with_its_seed_and_stays_in_range() -> None:
    crops = torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8)
    strong = Augmentation(grey=0.5, blur=0.9, erase=0.9, noise=0.9, mix=0.5)

    def run(seed: int) -> torch.Tensor:
        changes = draw_changes(len(crops), strong, torch.Generator().manual_seed(seed))
        return augment(crops, 48, changes)

    assert run(1).shape == (6, 3, 48, 48)
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    changes = draw_changes(len(crops), strong, torch.Generator().manual_seed(1))
    part = augment(crops[2:6], 48, changes.take(slice(2, 6)))
    assert torch.allclose(part, run(1)[2:], atol=1e-5)  # a share of a batch, on another process
    assert run(1).min() >= 0
    assert run(1).max() <= 1


def test_no_augmentation_is_the_evaluation_path_or_its_mirror() -> None:
    crops = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (8, 48, 48, 3)).astype(np.uint8)
    )
    spec = InputSpec(48)
    off = Augmentation(*[0.0] * len(dataclasses.fields(Augmentation)))
    pictures = augment(crops, 48, draw_changes(len(crops), off, torch.Generator().manual_seed(0)))
    x = fit_input(pictures, spec)
    plain = to_input(crops, spec)
    mirrored = [torch.allclose(a, b.flip(2), atol=1e-3) for a, b in zip(x, plain, strict=True)]
    straight = [torch.allclose(a, b, atol=1e-3) for a, b in zip(x, plain, strict=True)]
    assert all(m or s for m, s in zip(mirrored, straight, strict=True))
    assert any(mirrored)
    assert any(straight)


def test_a_mixed_face_lies_between_two_neighbours() -> None:
    crops = torch.zeros(5, 16, 16, 3, dtype=torch.uint8)
    crops[1::2] = 255
    off = Augmentation(*[0.0] * len(dataclasses.fields(Augmentation)))
    plain = draw_changes(5, off, torch.Generator().manual_seed(0))
    assert not plain.mixed.any()
    mixed = torch.tensor([0.25, 0.0, 0.75, 0.5, 0.5])
    means = augment(crops, 16, plain._replace(mixed=mixed)).mean(dim=(1, 2, 3))
    # Each takes its share of what the other was before; the fifth has no neighbour.
    assert torch.allclose(means, torch.tensor([0.25, 1.0, 0.75, 0.5, 0.0]), atol=1e-5)
    some = draw_changes(2000, dataclasses.replace(off, mix=0.4), torch.Generator().manual_seed(0))
    assert (some.mixed > 0).float().mean().item() == pytest.approx(0.4, abs=0.05)
