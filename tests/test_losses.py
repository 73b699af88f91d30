import math
from pathlib import Path

import pytest
import torch

from agegenderemo.dataset import make_targets
from agegenderemo.labels import EMOTIONS
from agegenderemo.losses import LossWeights, divergence, interval_distance, multitask_loss
from agegenderemo.metrics import Accuracy, Confusion, MeanError
from agegenderemo.models import Outputs
from agegenderemo.records import ImageRef, Sample

REF = ImageRef(Path(), "a")
HAPPY = tuple(float(name == "happiness") for name in EMOTIONS)


def outputs(count: int) -> Outputs:
    torch.manual_seed(0)
    return Outputs(
        age=torch.full((count,), 30.0, requires_grad=True),
        gender=torch.zeros(count, requires_grad=True),
        emotion=torch.zeros(count, 8, requires_grad=True),
        features=torch.zeros(count, 4),
    )


def test_each_term_is_the_mean_over_the_faces_that_have_the_label() -> None:
    samples = [
        Sample(REF, "train", age=40),
        Sample(REF, "train", age=24, gender=1),
        Sample(REF, "train", emotion=HAPPY),
    ]
    terms = multitask_loss(outputs(3), make_targets(samples), LossWeights(1, 10, 5))
    assert terms.age.item() == pytest.approx((10 + 6) / 2)
    assert terms.gender.item() == pytest.approx(math.log(2))
    assert terms.emotion.item() == pytest.approx(math.log(8))
    assert terms.total.item() == pytest.approx(8 + 10 * math.log(2) + 5 * math.log(8))


def test_mse_is_a_choice() -> None:
    targets = make_targets([Sample(REF, "train", age=27)])
    assert multitask_loss(outputs(1), targets, LossWeights(age_loss="mse")).age.item() == 9


def test_a_task_without_labels_adds_exactly_zero() -> None:
    out = outputs(2)
    targets = make_targets([Sample(REF, "train", emotion=HAPPY)] * 2)
    terms = multitask_loss(out, targets, LossWeights())
    assert terms.age.item() == 0
    assert terms.gender.item() == 0
    terms.total.backward()
    assert out.age.grad is not None
    assert not out.age.grad.any()
    nothing = multitask_loss(outputs(2), make_targets([Sample(REF, "train")] * 2), LossWeights())
    assert nothing.total.item() == 0


def test_a_masked_value_never_reaches_the_loss_even_as_nan() -> None:
    targets = make_targets([Sample(REF, "train", gender=0)])
    broken = targets._replace(age_low=torch.tensor([math.nan]), age_high=torch.tensor([math.nan]))
    assert math.isfinite(multitask_loss(outputs(1), broken, LossWeights()).total.item())


def test_inside_its_interval_an_age_costs_nothing() -> None:
    value = torch.tensor([19.0, 20.0, 25.0, 29.0, 33.0])
    low, high = torch.full((5,), 20.0), torch.full((5,), 29.0)
    assert interval_distance(value, low, high).tolist() == [1, 0, 0, 0, 4]
    open_end = make_targets([Sample(REF, "train", age_range=(70, math.inf))])
    assert interval_distance(torch.tensor([110.0]), open_end.age_low, open_end.age_high) == 0


def test_divergence_is_zero_only_at_the_target() -> None:
    target = torch.tensor([[0.5, 0.5, 0, 0]])
    assert divergence(target.clamp(min=1e-30).log(), target).item() == pytest.approx(0, abs=1e-6)
    assert divergence(torch.zeros(1, 4), target).item() == pytest.approx(math.log(2))


def test_metrics_without_anything_are_none() -> None:
    assert MeanError().mean() is None
    assert MeanError().deviation() is None
    assert Accuracy().compute() is None


def test_metrics() -> None:
    error, accuracy, confusion = MeanError(), Accuracy(), Confusion(2)
    for value in (-1.0, 3.0):
        error.update(value)
    for right in (True, True, False, True):
        accuracy.update(right)
    confusion.update(0, 1)
    assert (error.mean(), error.deviation()) == (2, 1)
    assert accuracy.compute() == 0.75
    assert confusion.counts == [[0, 1], [0, 0]]
