"""Muon: PyTorch's own steps, on the kernels that it suits, and state that is kept; and which
weights are moved how."""

import pytest
import torch
from small_training import TINY, changed
from torch import Tensor, nn

from agegenderemo.models import create_model
from agegenderemo.tasks import AGE, DEFAULT_TASKS, SMILE, TaskSpec
from agegenderemo.training.optim import (
    Muon,
    build_optimisers,
    kernels_of,
    newton_schulz,
    parameter_groups,
)


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (48, 4, 1, 1)])
def test_steps_are_those_of_pytorch_on_matrices(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    kernel = nn.Parameter(torch.randn(shape).contiguous(memory_format=torch.channels_last))
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    ours = Muon([kernel], 0.05, 0.1, precision=torch.bfloat16)
    theirs = torch.optim.Muon([matrix], 0.05, 0.1, adjust_lr_fn="match_rms_adamw")
    start = matrix.detach().clone()
    for _ in range(4):
        kernel.grad = torch.randn(shape)
        matrix.grad = kernel.grad.flatten(1).clone()
        ours.step()
        theirs.step()  # type: ignore[no-untyped-call]
    moved, apart = (float((a - matrix).detach().abs().max()) for a in (start, kernel.flatten(1)))
    assert apart < 0.005 * moved


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(2)
    values = torch.linalg.svdvals(newton_schulz(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_a_saved_state_goes_on_as_if_it_had_not_stopped() -> None:
    def steps(optimiser: Muon, kernel: Tensor, seeds: range) -> None:
        for seed in seeds:
            torch.manual_seed(seed)
            kernel.grad = torch.randn(kernel.shape)
            optimiser.step()

    whole, part = (nn.Parameter(torch.ones(4, 5, 3, 3)) for _ in range(2))
    steps(Muon([whole], 0.1, 0.0), whole, range(4))
    first = Muon([part], 0.1, 0.0)
    steps(first, part, range(2))
    second = Muon([part], 0.1, 0.0)
    second.load_state_dict(first.state_dict())
    steps(second, part, range(2, 4))
    assert torch.equal(whole, part)


def test_kernels_are_those_of_convolutions_over_features() -> None:
    model = create_model("agegendernet", DEFAULT_TASKS)
    kernels = kernels_of(model)
    first, *_ = (m for m in model.modules() if isinstance(m, nn.Conv2d))
    assert all(kernel.ndim == 4 and kernel.shape[1] >= 64 for kernel in kernels)
    assert not any(kernel is first.weight for kernel in kernels)
    # All of the backbone but the first convolution and the gates of attention.
    assert sum(k.numel() for k in kernels) > 0.95 * sum(
        p.numel() for p in model.backbone.parameters()
    )


def test_groups_hold_every_parameter_once_and_outputs_of_regressions_apart() -> None:
    height = TaskSpec("height", "regression", unit="cm")
    net = create_model("tiny", (AGE, SMILE, height))
    config = changed(TINY, regression_unit=10.0, learning_rate=0.01, weight_decay=0.1)
    matrices, vectors, outputs = parameter_groups(net, list(net.parameters()), config)
    ids = [id(p) for group in (matrices, vectors, outputs) for p in group["params"]]
    assert sorted(ids) == sorted(map(id, net.parameters()))
    wanted = [p for name in ("age", "height") for p in net.head_output(name).parameters()]
    assert list(map(id, outputs["params"])) == list(map(id, wanted))
    assert (outputs["scale"], outputs["lr"]) == (10.0, 0.1)
    assert all(p.ndim > 1 for p in matrices["params"])
    assert all(p.ndim <= 1 for p in vectors["params"])
    assert "weight_decay" not in matrices  # the optimiser's own
    assert vectors["weight_decay"] == outputs["weight_decay"] == 0
    # Adam's decay is the report's: on every weight.
    adam = parameter_groups(net, list(net.parameters()), changed(config, optimiser="adam"))
    assert [group["weight_decay"] for group in adam] == [0.1] * 3


@pytest.mark.parametrize("tasks", [(AGE, SMILE), (SMILE,)])
def test_muon_takes_the_kernels_and_adamw_the_rest(tasks: tuple[TaskSpec, ...]) -> None:
    net = create_model("agegendernet", tasks)
    config = changed(TINY, optimiser="muon")
    adamw, muon = build_optimisers(net, list(net.parameters()), config, bfloat16=False)
    assert isinstance(adamw, torch.optim.AdamW)
    assert isinstance(muon, Muon)
    both = [p for o in (adamw, muon) for group in o.param_groups for p in group["params"]]
    assert sorted(map(id, both)) == sorted(map(id, net.parameters()))
    assert list(map(id, muon.param_groups[0]["params"])) == list(map(id, kernels_of(net)))


def test_sgd_moves_as_pytorchs_own_with_the_recipes_momentum_and_decay() -> None:
    """Two steps on known gradients, reckoned by hand; decay is on every weight, as reports had."""
    net = create_model("tiny", (AGE, SMILE))
    config = changed(
        TINY, optimiser="sgd", momentum=0.5, learning_rate=0.1, weight_decay=0.2,
        regression_unit=1.0,
    )  # fmt: skip
    (sgd,) = build_optimisers(net, list(net.parameters()), config, bfloat16=False)
    assert isinstance(sgd, torch.optim.SGD)
    wanted = {name: p.detach().clone() for name, p in net.named_parameters()}
    velocity = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    for _ in range(2):
        for name, parameter in net.named_parameters():
            parameter.grad = torch.ones_like(parameter)
            velocity[name] = 0.5 * velocity[name] + 1 + 0.2 * wanted[name]
            wanted[name] = wanted[name] - 0.1 * velocity[name]
        sgd.step()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.detach(), wanted[name])
