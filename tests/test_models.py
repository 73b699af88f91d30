"""The shipped architecture, the layers that families share, and the registry."""

import dataclasses
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from agegenderemo.errors import AgeGenderEmoError, TaskError
from agegenderemo.models import create_model, get_spec, register, set_regression_start
from agegenderemo.models.agegendernet import AgeGenderNetBackbone, ResidualBlock
from agegenderemo.models.checkpoint import parameter_count
from agegenderemo.models.heads import (
    BoundedHead,
    ExpectedHead,
    MultiTaskNet,
    TaskHead,
    mlp_neck,
    num_features,
)
from agegenderemo.models.layers import CBAM, AveragePool, ChannelAttention, SpatialAttention
from agegenderemo.tasks import AGE, DEFAULT_TASKS, EMOTION6, GENDER
from agegenderemo.types import InputSpec


def agegendernet(**options: Any) -> MultiTaskNet:
    return create_model("agegendernet", DEFAULT_TASKS, **options)


def rates(module: nn.Module) -> list[float]:
    return [m.p for m in module.modules() if isinstance(m, nn.Dropout)]


def test_agegendernet_has_exactly_the_reported_parameters() -> None:
    model = agegendernet()
    assert parameter_count(model) == 9_365_552
    assert round(parameter_count(model) * 4 / 2**20, 2) == 35.73
    assert parameter_count(create_model("agegendernet", (AGE, GENDER))) == 9_356_776


def test_agegendernet_is_laid_out_as_the_report_says() -> None:
    model = agegendernet()
    assert isinstance(model.backbone, AgeGenderNetBackbone)
    blocks = [m for m in model.backbone if isinstance(m, ResidualBlock)]
    assert [m.conv1.out_channels for m in blocks] == [64, 64, 128, 128, 256, 256, 256, 384, 384]
    assert [m.conv1.stride[0] for m in blocks] == [1, 1, 2, 1, 2, 1, 1, 2, 1]
    assert [isinstance(m.attention, CBAM) for m in blocks] == [False] * 6 + [True, False, True]
    assert sum(isinstance(m, CBAM) for m in model.modules()) == 3
    assert rates(model.neck) == [0.5, 0.4, 0.3]
    assert {name: rates(head) for name, head in model.heads.items()} == {
        "age": [], "gender": [], "emotion": [0.3],
    }  # fmt: skip
    assert not any(m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d))


def test_dropout_scale_multiplies_the_rates_and_nothing_else() -> None:
    model = agegendernet(dropout_scale=0.5)
    assert rates(model) == [0.25, 0.2, 0.15, 0.15]
    assert parameter_count(model) == 9_365_552


def test_initial_weights_have_the_stated_spread() -> None:
    torch.manual_seed(0)
    state = agegendernet().state_dict()
    assert state["neck.0.weight"].std().item() == pytest.approx(0.01, rel=0.05)
    assert not state["neck.0.bias"].any()
    kernel = state["backbone.4.conv1.weight"]
    assert kernel.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


def test_a_seed_gives_the_weights_that_it_gave_before_tasks_were_data() -> None:
    """Sums of version 0.1's tensors after ``torch.manual_seed(0)``, so that its runs repeat."""
    torch.manual_seed(0)
    state = agegendernet().state_dict()
    expected = {
        "backbone.0.weight": 189.7357016,
        "neck.8.weight": 261.2127066,
        "heads.age.2.weight": 0.5192070211,
        "heads.gender.0.weight": 65.42006416,
        "heads.emotion.3.weight": 4.062189652,
    }
    sums = {name: float(state[name].double().abs().sum()) for name in expected}
    assert sums == pytest.approx(expected, rel=1e-6)


def test_heads_are_reached_by_name() -> None:
    net = create_model("agegendernet", (EMOTION6, AGE))
    assert [spec.name for spec in net.tasks] == list(net.heads) == ["emotion", "age"]
    assert net.head_output("emotion").out_features == 6
    assert net.head_output("age").out_features == 1
    with pytest.raises(TaskError, match="no task 'gender'; its tasks are: emotion, age"):
        net.head_output("gender")
    out = net.eval()(torch.rand(1, 3, 64, 64))
    assert list(out.predictions) == ["emotion", "age"]
    half = out._replace(features=out.features.half()).float()
    assert half.features.dtype == torch.float32


def test_the_raw_outputs_are_those_of_the_last_layers() -> None:
    torch.manual_seed(0)
    net = create_model("agegendernet", (AGE, EMOTION6)).eval()
    with torch.no_grad():
        for task, bias in (("age", 40.0), ("emotion", torch.arange(6.0))):
            net.head_output(task).weight.zero_()
            net.head_output(task).bias.copy_(torch.as_tensor(bias))
        out = net(torch.rand(2, 3, 64, 64))
    assert out.predictions["age"].tolist() == [40, 40]
    assert out.predictions["emotion"].tolist() == [[0, 1, 2, 3, 4, 5]] * 2


def test_a_regression_starts_where_it_is_told() -> None:
    torch.manual_seed(0)
    net = create_model("agegendernet", DEFAULT_TASKS)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    set_regression_start(net, "age", 33.5, 20)
    after = net.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"heads.age.2.weight", "heads.age.2.bias"}
    assert torch.equal(after["heads.age.2.weight"], before["heads.age.2.weight"] * 20)
    assert after["heads.age.2.bias"].tolist() == [33.5]
    set_regression_start(net, "age", None, 1)
    assert after["heads.age.2.bias"].tolist() == [33.5]


def test_an_expected_value_is_one_of_a_distribution_over_0_to_100() -> None:
    torch.manual_seed(0)
    head = ExpectedHead(4, None)
    z = torch.randn(3, 4)
    shares = torch.softmax(head.output(z), dim=1)
    expected = (shares * torch.arange(101)).sum(dim=1, keepdim=True)
    assert torch.allclose(head(z), expected, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(z).dtype == torch.float32
    assert "values" not in head.state_dict()
    assert head.unit_parameters() == []


@pytest.mark.parametrize(("mean", "said"), [(33.5, 33.5), (2.0, 2.0), (98.0, 98.0), (250, 99.0)])
def test_an_expected_value_starts_at_the_mean(mean: float, said: float) -> None:
    torch.manual_seed(0)
    net = create_model("resnet18", DEFAULT_TASKS, regression="expected").eval()
    output = net.head_output("age")
    before = output.weight.clone()
    set_regression_start(net, "age", mean, 20)
    assert torch.equal(output.weight, before)
    at_rest = net.head("age")(torch.zeros(1, net.num_features))
    assert at_rest.item() == pytest.approx(said, abs=0.01)
    logits = output.bias.detach()
    assert torch.allclose(logits.diff(), logits.diff().mean(), atol=1e-4)  # no bump anywhere


def test_a_bounded_number_stays_between_its_bounds_and_starts_at_the_mean() -> None:
    torch.manual_seed(0)
    net = create_model("resnet18", DEFAULT_TASKS, regression="bounded").eval()
    head = net.head("age")
    assert isinstance(head, BoundedHead)
    assert not isinstance(net.head("gender"), BoundedHead)
    before = net.head_output("age").weight.clone()
    for mean, said in ((33.5, 33.5), (-3.0, 1.2), (250.0, 118.8)):
        set_regression_start(net, "age", mean, 20)
        at_rest = head(torch.zeros(1, net.num_features))
        assert at_rest.shape == (1, 1)
        assert at_rest.item() == pytest.approx(said, abs=0.01)
    assert torch.equal(net.head_output("age").weight, before)
    assert head.unit_parameters() == []
    far = head(1e6 * torch.randn(64, net.num_features))
    assert far.min() >= 0
    assert far.max() <= BoundedHead.LARGEST == 120
    with torch.autocast("cpu", torch.bfloat16):
        assert head(torch.zeros(1, net.num_features)).dtype == torch.float32


def test_necks_and_regressions_are_options() -> None:
    layers = {"linear": (nn.Identity, 1), "mlp": (nn.Sequential, 3)}
    for neck, (kind, count) in layers.items():
        net = create_model("resnet18", DEFAULT_TASKS, neck=neck, regression="expected")
        assert isinstance(net.neck, kind)
        assert len(cast(nn.Sequential, net.heads["age"])) == count
        assert isinstance(net.head("age"), ExpectedHead)
        assert not isinstance(net.head("gender"), ExpectedHead)
    assert rates(create_model("resnet18", DEFAULT_TASKS, neck="mlp")) == [0.5, 0.4, 0.3, 0.3]
    assert rates(create_model("alexnet", (AGE,), dropout_scale=0.5)) == [0.25, 0.25]
    with pytest.raises(AgeGenderEmoError, match="'neck' of a network is linear or mlp, not 'x'"):
        create_model("resnet18", DEFAULT_TASKS, neck="x")
    with pytest.raises(AgeGenderEmoError, match="is number or expected or bounded, not 'x'"):
        create_model("resnet18", DEFAULT_TASKS, regression="x")


def test_families_of_torchvision_have_its_parameters() -> None:
    counts = {"resnet18": 11_176_512, "resnet50": 23_508_032, "densenet121": 6_953_856}
    found = {name: parameter_count(create_model(name, (AGE,)).backbone) for name in counts}
    assert found == counts


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 31])
def test_an_average_pool_is_that_of_pytorch(size: int) -> None:
    x = torch.rand(2, 3, size, size + 1)
    assert torch.allclose(AveragePool(6)(x), F.adaptive_avg_pool2d(x, 6), atol=1e-6)


class Backbone(nn.Module):
    num_features = 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3)).repeat(1, 2)[:, :4]


def test_heads_must_be_those_of_the_tasks() -> None:
    neck = mlp_neck((4, 3), (0.1,))
    heads = {"age": TaskHead(3, 2, 1), "gender": TaskHead(3, 2, 1)}
    assert MultiTaskNet(Backbone(), neck, (AGE, GENDER), heads).num_features == 4
    for tasks in ((), (AGE,), (AGE, GENDER, EMOTION6)):
        with pytest.raises(TaskError, match="cannot have heads"):
            MultiTaskNet(Backbone(), neck, tasks, heads)
    with pytest.raises(TaskError, match="cannot have heads"):
        MultiTaskNet(Backbone(), neck, (EMOTION6,), {"emotion": TaskHead(3, 2, 1)})
    with pytest.raises(TaskError, match="Two tasks are named 'age'"):
        MultiTaskNet(Backbone(), neck, (AGE, AGE), heads)


def test_a_backbone_must_declare_its_features() -> None:
    assert num_features(Backbone()) == 4
    with pytest.raises(ValueError, match="Identity must declare num_features"):
        num_features(nn.Identity())


def test_attention_gates_are_what_they_are_computed_from() -> None:
    channel, spatial = ChannelAttention(32), SpatialAttention()
    x = torch.rand(2, 32, 5, 5)
    gate = channel(x) / x
    assert torch.allclose(gate, gate.mean(dim=(2, 3), keepdim=True).expand_as(gate), atol=1e-5)
    # Channel attention sees the mean alone: moving a peak elsewhere changes nothing.
    assert torch.allclose(channel(x.flip(2)), channel(x).flip(2), atol=1e-6)
    assert (gate > 0).all()
    assert (gate < 1).all()
    place = spatial(x) / x
    seen = torch.stack([x.mean(dim=1), x.amax(dim=1)], dim=1)
    expected = torch.sigmoid(spatial.conv(seen)).expand_as(place)
    assert torch.allclose(place, expected, atol=1e-5)


def test_the_registry_refuses_doubles_and_lists_the_known() -> None:
    build = get_spec("agegendernet").build
    with pytest.raises(ValueError, match="registered already"):
        register("agegendernet", InputSpec(224))(build)
    with pytest.raises(AgeGenderEmoError, match="known are agegendernet, mobilenet_v1_face"):
        create_model("agegenderneet", DEFAULT_TASKS)
    with pytest.raises(TypeError, match="colour"):
        create_model("agegendernet", DEFAULT_TASKS, colour="red")


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_spec("agegendernet").name = "other"  # type: ignore[misc]
