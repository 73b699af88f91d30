import dataclasses

import pytest
import torch

from agegenderemo.checkpoint import parameter_count
from agegenderemo.models import create_model, get_spec, model_names
from agegenderemo.models.cbam import CBAM, ChannelAttention, SpatialAttention
from agegenderemo.models.registry import register
from agegenderemo.records import InputSpec


def test_agegendernet_has_exactly_the_reported_parameters() -> None:
    model = create_model("agegendernet")
    assert parameter_count(model) == 9_365_552
    assert round(parameter_count(model) * 4 / 2**20, 2) == 35.73
    assert parameter_count(create_model("agegendernet", emotion=False)) == 9_356_776


def test_agegendernet_is_laid_out_as_the_report_says() -> None:
    model = create_model("agegendernet")
    blocks = [m for m in model.backbone if hasattr(m, "conv1")]
    assert [m.conv1.out_channels for m in blocks] == [64, 64, 128, 128, 256, 256, 256, 384, 384]
    assert [m.conv1.stride[0] for m in blocks] == [1, 1, 2, 1, 2, 1, 1, 2, 1]
    assert [isinstance(m.attention, CBAM) for m in blocks] == [False] * 6 + [True, False, True]
    assert sum(isinstance(m, CBAM) for m in model.modules()) == 3
    rates = [m.p for m in model.neck if isinstance(m, torch.nn.Dropout)]
    assert rates == [0.5, 0.4, 0.3]
    assert [m.p for m in model.emotion if isinstance(m, torch.nn.Dropout)] == [0.3]
    assert not any(m.bias is not None for m in model.modules() if isinstance(m, torch.nn.Conv2d))


def test_dropout_scale_multiplies_the_rates_and_nothing_else() -> None:
    model = create_model("agegendernet", dropout_scale=0.5)
    assert [m.p for m in model.neck if isinstance(m, torch.nn.Dropout)] == [0.25, 0.2, 0.15]
    assert parameter_count(model) == 9_365_552


def test_initial_weights_have_the_stated_spread() -> None:
    torch.manual_seed(0)
    model = create_model("agegendernet")
    linear = model.neck[0].weight
    assert linear.std().item() == pytest.approx(0.01, rel=0.05)
    conv = model.backbone[4].conv1.weight
    assert conv.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("name", model_names())
@pytest.mark.parametrize("size", [64, 112, 224])
def test_every_model_gives_one_answer_a_face(name: str, size: int) -> None:
    model = create_model(name).eval()
    with torch.inference_mode():
        out = model(torch.rand(2, 3, size, size))
    assert out.age.shape == (2,)
    assert out.gender.shape == (2,)
    assert out.emotion is not None
    assert out.emotion.shape == (2, 8)
    assert out.features.shape[0] == 2
    assert all(torch.isfinite(value).all() for value in out)


@pytest.mark.parametrize("name", model_names())
def test_every_parameter_of_every_model_learns(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, dropout_scale=0).train()
    # Two rows a class of output, and weights that keep ReLU units from all being off.
    out = model(torch.randn(8, 3, 64, 64))
    assert out.emotion is not None
    weights = torch.randn(8)
    loss = (out.age * weights).sum() + (out.gender * weights).sum()
    (loss + (out.emotion * torch.randn(8, 8)).sum()).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("name", model_names())
def test_the_emotion_head_can_be_left_out(name: str) -> None:
    model = create_model(name, emotion=False).eval()
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 64, 64)).emotion is None


def test_attention_gates_are_what_they_are_computed_from() -> None:
    channel, spatial = ChannelAttention(32), SpatialAttention()
    x = torch.rand(2, 32, 5, 5)
    gate = channel(x) / x
    assert torch.allclose(gate, gate.mean(dim=(2, 3), keepdim=True).expand_as(gate), atol=1e-5)
    # Channel attention sees the mean alone: moving a peak elsewhere changes nothing.
    assert torch.allclose(channel(x.flip(2)), channel(x).flip(2), atol=1e-6)
    place = spatial(x) / x
    assert torch.allclose(place, place.mean(dim=1, keepdim=True).expand_as(place), atol=1e-5)


def test_the_registry_refuses_doubles_and_lists_the_known() -> None:
    with pytest.raises(ValueError, match="registered already"):
        register("agegendernet", InputSpec(224), source="test")(create_model)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="known are agegendernet"):
        create_model("agegenderneet")


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_spec("agegendernet").name = "other"  # type: ignore[misc]
