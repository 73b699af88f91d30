"""Quantisation-aware training: rounding is that of the int8 graph, and less is lost by it after."""

from pathlib import Path
from typing import cast

import pytest
import torch
from synthetic import prepared_sets
from tiny import TinyBackbone
from torch import nn

from agegenderemo.cli import main
from agegenderemo.export.onnx import write_checkpoint
from agegenderemo.export.qat import quantization_aware, rounded
from agegenderemo.model_info import ModelInfo
from agegenderemo.models import MultiTaskNet, create_model
from agegenderemo.models.checkpoint import load_checkpoint
from agegenderemo.tasks import DEFAULT_TASKS
from agegenderemo.types import InputSpec


def network() -> MultiTaskNet:
    torch.manual_seed(0)
    net = create_model("tiny", DEFAULT_TASKS).eval()
    for spec in DEFAULT_TASKS:
        nn.init.normal_(net.head_output(spec.name).weight, std=3)
    return net


def test_within_it_convolutions_are_rounded_and_after_it_are_as_before() -> None:
    net = network()
    assert isinstance(net.backbone, TinyBackbone)
    conv = cast(nn.Conv2d, net.backbone[0])
    before = {key: value.clone() for key, value in net.state_dict().items()}
    x = torch.randn(4, 3, 32, 32)
    plain = net(x).features
    with rounded(net):
        kernel = conv.weight
        steps = kernel / kernel.abs().amax(dim=(1, 2, 3), keepdim=True) * 64
        assert torch.allclose(steps, steps.round(), atol=1e-3)
        apart = (net(x).features - plain).abs().max().item()
    assert 1e-5 < apart < 0.1
    after = net.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert torch.equal(net(x).features, plain)


def test_training_brings_rounded_answers_back() -> None:
    net = network()
    with torch.no_grad():  # one channel with one large weight: the others lose their digits
        cast(nn.Conv2d, cast(TinyBackbone, net.backbone)[0]).weight[:, 0, 0, 0] = 4.0
    norms = net.state_dict()["backbone.1.running_mean"].clone()
    torch.manual_seed(1)
    faces = [torch.randn(32, 3, 32, 32) for _ in range(60)]
    losses = list(quantization_aware(net, faces, 1e-3, len(faces)))
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    assert torch.equal(net.state_dict()["backbone.1.running_mean"], norms)
    assert not any(p.requires_grad for p in net.parameters())


def test_the_command_writes_weights_that_int8_is_made_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared_sets(tmp_path / "sets", 60)
    first, out = tmp_path / "net.safetensors", tmp_path / "aware.safetensors"
    write_checkpoint(first, network(), ModelInfo("tiny", DEFAULT_TASKS, InputSpec(32)))
    words = ["--checkpoint", str(first), "--prepared", str(tmp_path / "sets")]
    assert main(["quantize", *words, "--out", str(out), "--batch", "8", "--epochs", "1"]) == 0
    assert "from float at first" in capsys.readouterr().out
    made = load_checkpoint(out)
    assert made.info.provenance["quantization_aware"]["epochs"] == 1
    old = load_checkpoint(first).model.state_dict()
    new = made.model.state_dict()
    assert list(old) == list(new)
    assert any(not torch.equal(old[key], new[key]) for key in old)
    assert main(["export", "--int8", "--checkpoint", str(out), *words[2:]]) == 0
    assert out.with_suffix(".int8.onnx").is_file()
    assert main(["quantize", *words, "--out", str(out), "--epochs", "0"]) == 2
    some = ["quantize", *words, "--out", str(out), "--batch", "8", "--faces"]
    assert main([*some, "16"]) == 0
    assert load_checkpoint(out).info.provenance["quantization_aware"]["faces"] == 16
    assert main([*some, "0"]) == 2
    capsys.readouterr()
    assert main([*some, "7"]) == 2
    assert "7 training faces" in capsys.readouterr().err


def test_weights_and_graphs_are_not_written_over_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared_sets(tmp_path / "sets", 60)
    first = tmp_path / "net.safetensors"
    write_checkpoint(first, network(), ModelInfo("tiny", DEFAULT_TASKS, InputSpec(32)))
    before = first.read_bytes()
    own = ["--checkpoint", str(first), "--prepared", str(tmp_path / "sets"), "--out"]
    assert main(["quantize", *own, str(tmp_path / "aware.onnx"), "--batch", "8"]) == 2
    assert "a file that ends in .safetensors, not" in capsys.readouterr().err
    for precision in ([], ["--int8"]):
        assert main(["export", *precision, *own, str(first)]) == 2
        assert "a file that ends in .onnx, not" in capsys.readouterr().err
    assert first.read_bytes() == before
    assert not (tmp_path / "aware.onnx").exists()
