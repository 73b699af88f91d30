"""The masked multi-task loss, whatever the tasks are."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from agegenderemo.data.samples import Estimate, ImageRef, Label, Sample
from agegenderemo.data.targets import RegressionTarget, Targets, make_targets
from agegenderemo.tasks import AGE, DEFAULT_TASKS, EMOTION, TaskSpec
from agegenderemo.training.losses import (
    LossSettings,
    error,
    errors,
    kl_divergence,
    label_counts,
    multitask_loss,
)

HAPPY = tuple(float(name == "happiness") for name in EMOTION.classes)
GLASSES = TaskSpec("glasses", "binary", ("without", "with"))


def targets_of(*labels: dict[str, Label]) -> Targets:
    samples = [Sample(ImageRef(Path(), "a"), "train", own) for own in labels]
    return make_targets(samples, DEFAULT_TASKS, DEFAULT_TASKS)


def outputs(count: int) -> dict[str, Tensor]:
    return {
        "age": torch.full((count,), 30.0, requires_grad=True),
        "gender": torch.zeros(count, requires_grad=True),
        "emotion": torch.zeros(count, 8, requires_grad=True),
    }


def test_each_loss_is_the_mean_over_the_faces_that_have_the_label() -> None:
    targets = targets_of({"age": 40}, {"age": 24, "gender": 1}, {"emotion": HAPPY})
    settings = LossSettings({"gender": 10, "emotion": 5})  # age counts 1
    total, tasks = multitask_loss(outputs(3), targets, settings)
    assert list(tasks) == ["age", "gender", "emotion"]
    assert tasks["age"].item() == pytest.approx((10 + 6) / 2)
    assert tasks["gender"].item() == pytest.approx(math.log(2))
    assert tasks["emotion"].item() == pytest.approx(math.log(8))
    assert total.item() == pytest.approx(8 + 10 * math.log(2) + 5 * math.log(8))


def test_tasks_that_nobody_knows_have_losses_too() -> None:
    samples = [Sample(ImageRef(Path(), "a"), "train", {"glasses": 1})]
    targets = make_targets(samples, (GLASSES,), (GLASSES,))
    total, tasks = multitask_loss({"glasses": torch.tensor([3.0])}, targets, LossSettings())
    assert list(tasks) == ["glasses"]
    assert total.item() == pytest.approx(math.log1p(math.exp(-3)))


def test_mse_is_a_choice_of_regressions() -> None:
    targets = targets_of({"age": 27, "gender": 1})
    squared = LossSettings(regression={"age": "mse", "gender": "mse"})
    _, tasks = multitask_loss(outputs(1), targets, squared)
    assert tasks["age"].item() == 9
    assert tasks["gender"].item() == pytest.approx(math.log(2))


def test_a_weight_of_zero_leaves_a_task_out() -> None:
    out = outputs(1)
    targets = targets_of({"age": 40, "gender": 1, "emotion": HAPPY})
    total, _ = multitask_loss(out, targets, LossSettings({"age": 0, "emotion": 0}))
    assert total.item() == pytest.approx(math.log(2))
    torch.autograd.backward(total)
    assert out["age"].grad is not None
    assert not out["age"].grad.any()


def test_a_task_without_labels_adds_exactly_zero() -> None:
    out = outputs(2)
    total, tasks = multitask_loss(
        out, targets_of({"emotion": HAPPY}, {"emotion": HAPPY}), LossSettings()
    )
    assert tasks["age"].item() == 0
    assert tasks["gender"].item() == 0
    torch.autograd.backward(total)
    assert out["age"].grad is not None
    assert not out["age"].grad.any()
    nothing, _ = multitask_loss(outputs(2), targets_of({}, {}), LossSettings())
    assert nothing.item() == 0


@pytest.mark.parametrize("regression", ["l1", "mse"])
def test_what_has_no_label_reaches_neither_loss_nor_gradient_even_as_nan(regression: str) -> None:
    mode = {"age": "mse"} if regression == "mse" else {}
    targets = targets_of({"gender": 0, "emotion": HAPPY}, {"age": 40})
    for target in targets.values():
        for value in target:
            if value.dtype != torch.bool:
                value[~target.mask] = math.nan
    out = outputs(2)
    total, tasks = multitask_loss(out, targets, LossSettings(regression=mode))  # type: ignore[arg-type]
    assert tasks["age"].item() == (100 if regression == "mse" else 10)
    torch.autograd.backward(total)
    for value in out.values():
        assert value.grad is not None
        assert torch.isfinite(value.grad).all()
        assert value.grad.any()


def test_only_the_labelled_faces_have_a_gradient() -> None:
    out = outputs(2)
    total, _ = multitask_loss(out, targets_of({"age": 40}, {"gender": 1}), LossSettings())
    torch.autograd.backward(total)
    assert out["age"].grad is not None
    assert out["gender"].grad is not None
    assert out["age"].grad.tolist() == [-1, 0]
    assert out["gender"].grad.tolist() == [0, -0.5]


def test_inside_its_interval_a_number_costs_nothing() -> None:
    value = torch.tensor([19.0, 20.0, 25.0, 29.0, 33.0])
    low, high = torch.full((5,), 20.0), torch.full((5,), 29.0)
    assert error(value, low, high).tolist() == [1, 0, 0, 0, 4]


@pytest.mark.parametrize("regression", ["l1", "mse"])
def test_an_open_interval_has_a_finite_loss(regression: str) -> None:
    mode = {"age": "mse"} if regression == "mse" else {}
    targets = targets_of({"age": (70, math.inf)}, {"age": (10, math.inf)}, {})
    assert isinstance(targets["age"], RegressionTarget)
    out = outputs(3)
    total, _ = multitask_loss(out, targets, LossSettings(regression=mode))  # type: ignore[arg-type]
    assert total.item() == (800 if regression == "mse" else 20)
    torch.autograd.backward(total)
    assert out["age"].grad is not None
    assert torch.isfinite(out["age"].grad).all()


def test_kl_divergence_is_zero_only_at_the_target() -> None:
    target = torch.tensor([[0.5, 0.5, 0, 0]])
    assert kl_divergence(target.clamp(min=1e-30).log(), target).item() == pytest.approx(0, abs=1e-6)
    assert kl_divergence(torch.zeros(1, 4), target).item() == pytest.approx(math.log(2))


def test_uneven_labels_are_weighed_over_the_whole_batch() -> None:
    ages = [10, 20, 30, None, None, None, None, 80]
    labels: list[dict[str, Label]] = [{} if age is None else {"age": age} for age in ages]
    whole = targets_of(*labels)

    def answers(count: int) -> dict[str, Tensor]:
        return {name: torch.zeros_like(value) for name, value in outputs(count).items()}

    counts = label_counts(whole, 2)
    halves = [
        multitask_loss(answers(4), whole.take(part), LossSettings(), counts).tasks["age"].item()
        for part in (slice(0, 4), slice(4, 8))
    ]
    assert sum(halves) / 2 == pytest.approx(35)
    assert multitask_loss(answers(8), whole, LossSettings()).tasks["age"].item() == 35


def test_a_number_that_was_guessed_costs_less_nearby() -> None:
    """As the mean absolute error against the guesses themselves, by counting."""
    samples = [Sample(ImageRef(Path(), "a"), "train", {"age": Estimate(30.0, 4.0)})] * 3
    target = make_targets(samples, (AGE,), (AGE,))["age"]
    assert isinstance(target, RegressionTarget)
    raw = torch.tensor([30.0, 33.0, 60.0], requires_grad=True)
    found = errors(raw, target)
    guesses = 30 + 4 * torch.special.ndtri((torch.arange(100_000) + 0.5) / 100_000)
    counted = [float((value - guesses).abs().mean()) for value in raw.tolist()]
    expected = [value - counted[0] for value in counted]
    assert found.tolist() == pytest.approx(expected, abs=2e-3)
    torch.autograd.backward(found.sum())
    assert raw.grad is not None
    assert raw.grad.tolist() == pytest.approx([0.0, 0.547, 1.0], abs=1e-3)
    squared = multitask_loss(
        {"age": raw}, Targets(age=target), LossSettings(regression={"age": "mse"})
    )
    assert squared.total.item() == pytest.approx((0 + 9 + 900) / 3)
