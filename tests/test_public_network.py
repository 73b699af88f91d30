"""The public network's weights, out of a file as its publisher lays it out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_training import public_weights

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.models.mobilenet_v1_face import MobileNetV1Face
from agegenderemo.training.public_network import convert, main

_SHAPES = {"feats": (1024, 256), "age_pred": (256, 100), "gender_pred": (256, 1)}


def publish(folder: Path, network: MobileNetV1Face) -> Path:
    """faceres.json and faceres.bin of a network, with the arrays in an order of their own."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    rng = np.random.default_rng(1)
    for name, shape in _SHAPES.items():
        arrays[f"{name}/kernel"] = rng.normal(size=shape)
        arrays[f"{name}/bias"] = rng.normal(size=shape[1:])
    for index, conv in enumerate(network.conv):
        kernel, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()  # type: ignore[operator]
        block = (index + 1) // 2
        if index == 0:
            arrays["conv1/convolution/merged_input"] = kernel.transpose(2, 3, 1, 0)
            arrays["conv1_bn/batchnorm_1/sub"] = bias
        elif index % 2:
            scale = np.full(len(bias), 0.5)
            arrays[f"conv_dw_{block}/depthwise_kernel"] = (kernel / 0.5).transpose(2, 3, 0, 1)
            arrays[f"conv_dw_{block}_bn/batchnorm_1/mul"] = scale
            arrays[f"conv_dw_{block}_bn/batchnorm_1/sub"] = bias
        else:
            arrays[f"conv_pw_{block}/convolution/merged_input"] = kernel.transpose(2, 3, 1, 0)
            arrays[f"conv_pw_{block}_bn/batchnorm_1/sub"] = bias
        arrays[f"relu_{index}/Const"] = np.array(6.0)
    half = {"dtype": "float16", "original_dtype": "float32"}
    entries: list[dict[str, Any]] = [
        {"name": n, "shape": list(a.shape), "dtype": "float32", "quantization": half}
        for n, a in arrays.items()
    ]
    data = b"".join(own.astype("<f2").tobytes() for own in arrays.values())
    entries.append({"name": "indices", "shape": [2], "dtype": "int32"})
    data += np.array([1, 2], "<i4").tobytes()
    (folder / "faceres.bin").write_bytes(data)
    manifest = {"weightsManifest": [{"paths": ["faceres.bin"], "weights": entries}]}
    (folder / "faceres.json").write_text(json.dumps(manifest))
    return folder / "faceres.json"


def test_the_published_file_becomes_the_one_that_teaches(tmp_path: Path) -> None:
    known = public_weights(tmp_path / "known.safetensors")
    network = MobileNetV1Face()
    network.load_state_dict(
        {
            name: value
            for name, value in _torch(known).items()
            if name.startswith("conv.")
        }
    )  # fmt: skip
    out = tmp_path / "out.safetensors"
    assert main([str(publish(tmp_path, network)), str(out)]) == 0
    found, expected = load_file(out), load_file(known)
    assert {name for name in found if not name.startswith("conv")} == {
        f"{name}.{part}" for name in ("hidden", "age", "gender") for part in ("weight", "bias")
    }
    assert found["hidden.weight"].shape == (256, 1024)
    for name, value in expected.items():
        if name.startswith("conv."):
            # Halved and doubled, the smallest numbers of half precision lose a bit.
            assert np.allclose(found[name], value.astype(np.float16), rtol=0, atol=1e-7), name
    MobileNetV1Face().load_public(out)


def _torch(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file as load

    return dict(load(path))


def test_another_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = publish(tmp_path, MobileNetV1Face())
    whole = path.with_suffix(".bin").read_bytes()
    for data in (whole[:-2], whole + b"12", b""):
        path.with_suffix(".bin").write_bytes(data)
        with pytest.raises(AgeGenderEmoError, match="is not the published face network"):
            convert(path, tmp_path / "out.safetensors")
    for text in ("", "[]", "{}", '{"weightsManifest": []}', '{"weightsManifest": [{"a": 1}]}'):
        path.write_text(text)
        assert main([str(path), str(tmp_path / "out.safetensors")]) == 2
        assert "faceres.json of the Human library" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()
    assert main([]) == 2
