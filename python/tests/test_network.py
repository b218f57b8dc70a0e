"""Networks from files, against what ONNX Runtime and ncnn gave for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import upconv
from conftest import DATA, tensors

ONNX, NCNN = tensors("onnx"), tensors("ncnn")


def names(found: dict[str, Any], part: str) -> list[str]:
    return sorted({name.rsplit("/", 1)[0] for name in found if name.endswith(part)})


def several(found: dict[str, Any], name: str, what: str) -> list[Any]:
    keys = [key for key in found if key.startswith(f"{name}/{what}")]
    return [found[key] for key in sorted(keys, key=lambda key: int(key.rsplit(" ", 1)[1]))]


def near(got: Any, expected: Any) -> None:
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", names(ONNX, "/model"))
def test_onnx(name: str, device: str, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(ONNX[f"{name}/model"].tobytes())
    network = upconv.Network.load(tmp_path / "net.onnx", device=device)
    inputs, expected = several(ONNX, name, "input"), several(ONNX, name, "output")
    shaped = [x.reshape(*x.shape, *[1] * (network.rank + 2 - x.ndim)) for x in inputs]
    assert [x.shape[1] for x in shaped] == network.inputs
    outputs = network.run(*shaped)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert len(outputs) == len(expected) == len(network.outputs)
    assert [y.shape for y in outputs] == network.output_shapes(*(x.shape for x in shaped))
    for got, want in zip(outputs, expected):
        near(got.reshape(want.shape), want)


@pytest.mark.parametrize("name", names(NCNN, "/param"))
def test_ncnn(name: str, device: str, tmp_path: Path) -> None:
    (tmp_path / "net.param").write_bytes(NCNN[f"{name}/param"].tobytes())
    (tmp_path / "weights").write_bytes(NCNN[f"{name}/bin"].tobytes())
    network = upconv.Network.load(str(tmp_path / "net.param"), bin=tmp_path / "weights", device=device)
    outputs = network(NCNN[f"{name}/input"][None])
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for got, want in zip(outputs, several(NCNN, name, "output"), strict=True):
        near(got[0].reshape(want.shape), want)


def picture_network(device: Any) -> tuple[upconv.Network, Any]:
    network = upconv.Network.load(DATA.parents[1] / "assets" / "waifu2x-photo.safetensors", device=device)
    return network, np.random.default_rng(1).random((1, 3, 24, 24), "f4")


def test_safetensors(device: str) -> None:
    network, x = picture_network(device)
    assert (network.inputs, network.outputs, network.rank) == ([3], [3], 2)
    assert network.parameters > 100_000
    y = network.run(x)
    near(y, upconv.Network.load(DATA.parents[1] / "assets" / "waifu2x-photo.safetensors", device="cpu").run(x))
    half = network.run(x.astype("f2"))
    assert half.dtype == np.float16 and np.abs(half - y).max() < 0.01


def test_arrays_stay_on_the_device(device: str) -> None:
    network, x = picture_network(upconv.Device(device))
    there = upconv.DeviceArray(x, network.device)
    layer = upconv.Conv2d(np.ones((1, 3, 2, 2), "f4"), device=network.device)
    y = layer(network.run(there))
    assert isinstance(y, upconv.DeviceArray)
    near(y.numpy(), layer(network.run(x)))
    # Two under way at once do not disturb each other.
    a, b = network.run(there), network.run(upconv.DeviceArray(x[..., ::-1], network.device))
    near(a.numpy(), network.run(x))
    near(b.numpy(), network.run(x[..., ::-1]))


def test_what_does_not_fit(tmp_path: Path) -> None:
    network, x = picture_network("cpu")
    with pytest.raises(ValueError, match="2 inputs given, but it has 1"):
        network.run(x, x)
    with pytest.raises(ValueError, match=r"input.* has shape \[1, 2, 24, 24\]"):
        network.run(x[:, :2])
    with pytest.raises(TypeError, match="input is float64, expected float32, float16 or bfloat16"):
        network.run(x.astype("f8"))
    with pytest.raises(TypeError, match="input is int64, expected float16"):
        network.run(x.astype("i8"))
    with pytest.raises(TypeError, match="1 of 2 inputs are DeviceArrays, expected all or none"):
        network.run(x, upconv.DeviceArray(x, "cpu"))
    network.device.close()
    with pytest.raises(upconv.DeviceError, match="the device cpu was closed"):
        network.run(x)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        upconv.Network.load(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"bad.onnx: graph: "):
        upconv.Network.load(tmp_path / "bad.onnx")
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match=r"bad.safetensors: safetensors: "):
        upconv.Network.load(tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match="expected a file .onnx, .param"):
        upconv.Network.load(tmp_path / "net.pth")
    with pytest.raises(ValueError, match="bin is for files of ncnn"):
        upconv.Network.load(tmp_path / "bad.onnx", bin="weights")
    with pytest.raises(TypeError):
        upconv.Network.load(3)
