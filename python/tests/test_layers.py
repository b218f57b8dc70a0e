"""Layers that keep their weights, arrays that stay on a device, and what becomes of them when it closes."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import upconv
from conftest import integers, scattered


def parts(rng: np.random.Generator) -> tuple[Any, Any, Any]:
    return integers(rng, (2, 3, 5, 4)), integers(rng, (3, 4, 3, 3)), integers(rng, 4)


def test_a_layer_computes_what_the_function_does(device: str, rng: np.random.Generator) -> None:
    x, w, b = parts(rng)
    layer = upconv.ConvTranspose2d(w, b, 2, 1, 1, device=device)
    expected = scattered(x, w, b, stride=2, pads=1, output_padding=1)
    for _ in range(3):
        np.testing.assert_array_equal(layer(x), expected)
    # Other shapes and other types.
    np.testing.assert_array_equal(layer(x[:1, :, :2]), scattered(x[:1, :, :2], w, b, stride=2, pads=1, output_padding=1))
    half = layer(x.astype("f2"))
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, expected)
    out = np.empty_like(expected, "f4")
    assert layer(x, out=out) is out
    np.testing.assert_array_equal(out, expected)


def test_all_ranks_and_kinds(device: str, rng: np.random.Generator) -> None:
    kinds = [
        (upconv.ConvTranspose1d, upconv.conv_transpose1d),
        (upconv.ConvTranspose2d, upconv.conv_transpose2d),
        (upconv.ConvTranspose3d, upconv.conv_transpose3d),
        (upconv.Conv1d, upconv.conv1d),
        (upconv.Conv2d, upconv.conv2d),
        (upconv.Conv3d, upconv.conv3d),
    ]
    for number, (layer, function) in enumerate(kinds):
        rank = number % 3 + 1
        x, w, b = integers(rng, (1, 3, *[6] * rank)), integers(rng, (3, 3, *[2] * rank)), integers(rng, 3)
        y = layer(w, b, stride=2, activation="relu", device=device)(x)
        np.testing.assert_array_equal(y, function(x, w, b, stride=2, activation="relu", device="reference"))


def test_a_layer_takes_an_output_size(device: str, rng: np.random.Generator) -> None:
    x, w, b = parts(rng)
    layer = upconv.ConvTranspose2d(w, b, stride=2, padding=1, device=device)
    # More sizes than are kept.
    for size, extra in [((9, 7), 0), ((10, 8), 1), ((9, 8), (0, 1)), ((10, 7), (1, 0)), ((9, 7), 0)]:
        y = layer(x, output_size=size)
        np.testing.assert_array_equal(y, scattered(x, w, b, stride=2, pads=1, output_padding=extra))


def test_a_layer_has_weights_of_its_own(device: str, rng: np.random.Generator) -> None:
    x, w, b = parts(rng)
    expected = scattered(x, w, b)
    layer = upconv.ConvTranspose2d(w, b, device=device)
    w[:] = 0
    b[:] = 0
    del w, b
    gc.collect()
    np.testing.assert_array_equal(layer(x), expected)


def test_layers_follow_each_other_on_the_device(device: str, rng: np.random.Generator) -> None:
    x, w, b = parts(rng)
    v = integers(rng, (2, 4, 3, 3))
    first = upconv.ConvTranspose2d(w, b, 2, device=device, activation="relu")
    second = upconv.Conv2d(v, padding=1, device=device)
    there = upconv.DeviceArray(x, first.device)
    between = first(there)
    assert isinstance(between, upconv.DeviceArray)
    assert between.shape == (2, 4, 11, 9) and between.dtype == np.float32 and between.device == first.device
    y = second(between)
    expected = second(first(x))
    np.testing.assert_array_equal(y.numpy(), expected)
    # What is between is still there, and what went in.
    np.testing.assert_array_equal(between.numpy(), first(x))
    np.testing.assert_array_equal(there.numpy(), x)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_a_device_array_keeps_its_type(dtype: str, device: str, rng: np.random.Generator) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    x = integers(rng, (3, 5)).astype(dtype)
    if (dtype, device) == ("float64", "gpu"):
        with pytest.raises(TypeError, match="array is float64, expected float16, bfloat16 or float32 on a GPU"):
            upconv.DeviceArray(x, device)
        return
    there = upconv.DeviceArray(x[:, ::-1], device)
    assert there.dtype == x.dtype and there.shape == (3, 5)
    assert there.nbytes >= x.nbytes - x.nbytes % 4
    back = there.numpy()
    assert back.dtype == x.dtype and back.base is not x
    np.testing.assert_array_equal(back, x[:, ::-1])


def test_an_empty_batch_on_a_device(device: str) -> None:
    layer = upconv.ConvTranspose1d(np.ones((2, 2, 2), "f4"), device=device)
    assert layer(upconv.DeviceArray(np.zeros((0, 2, 3), "f4"), layer.device)).numpy().shape == (0, 2, 4)


def test_a_freed_array_is_refused(device: str, rng: np.random.Generator) -> None:
    x, w, _ = parts(rng)
    layer = upconv.ConvTranspose2d(w, device=device)
    there = upconv.DeviceArray(x, layer.device)
    y = layer(there)
    there.free()
    there.free()
    assert there.nbytes == 0 and there.shape == x.shape
    for use in (there.numpy, lambda: layer(there)):
        with pytest.raises(ValueError, match=r"the DeviceArray of shape \[2, 3, 5, 4\] was freed"):
            use()
    # What was under way is not lost.
    np.testing.assert_array_equal(y.numpy(), scattered(x, w))


def test_a_device_array_is_not_copied_by_the_way(device: str) -> None:
    there = upconv.DeviceArray(np.ones((1, 1, 2), "f4"), device)
    w = np.ones((1, 1, 2), "f4")
    with pytest.raises(TypeError, match="on a device: .numpy()"):
        np.asarray(there)
    with pytest.raises(TypeError, match="input is a DeviceArray, expected an array of the host: .numpy()"):
        upconv.conv_transpose1d(there, w, device=device)
    layer = upconv.ConvTranspose1d(w, device=there.device)
    with pytest.raises(TypeError, match="out is for arrays of the host"):
        layer(there, out=np.empty((1, 1, 3), "f4"))
    with pytest.raises(ValueError, match=r"input has shape \[1, 1, 2\], expected ncdhw"):
        upconv.ConvTranspose3d(w[None, None], device=there.device)(there)


def test_devices_are_not_mixed(gpu: upconv.Device) -> None:
    w = np.ones((1, 1, 2), "f4")
    there, here = upconv.DeviceArray(w, gpu), upconv.DeviceArray(w, "cpu")
    with pytest.raises(upconv.DeviceError, match="input is on .*, expected one on cpu"):
        upconv.ConvTranspose1d(w, device="cpu")(there)
    with pytest.raises(upconv.DeviceError, match="input is on cpu, expected one on "):
        upconv.ConvTranspose1d(w, device=gpu)(here)


def test_a_closed_device_is_refused(device: str, rng: np.random.Generator) -> None:
    x, w, _ = parts(rng)
    opened = upconv.Device(device)
    assert opened == upconv.Device(device) and hash(opened) == hash(upconv.Device(device))
    layer = upconv.ConvTranspose2d(w, device=opened)
    there = upconv.DeviceArray(x, opened)
    y = layer(there)
    opened.close()
    opened.close()
    assert opened.closed and "closed" in repr(opened)
    uses = [
        y.numpy,
        lambda: layer(x),
        lambda: layer(there),
        lambda: upconv.conv_transpose2d(x, w, device=opened),
        lambda: upconv.DeviceArray(x, opened),
    ]
    for use in uses:
        with pytest.raises(upconv.DeviceError, match="the device .* was closed"):
            use()
    # Its name opens it anew.
    again = upconv.Device(device)
    assert again != opened and not again.closed
    np.testing.assert_array_equal(upconv.conv_transpose2d(x, w, device=device), scattered(x, w))


def test_a_device_is_a_context_manager(device: str) -> None:
    with upconv.Device(device) as opened:
        assert opened.kind == device and not opened.closed
    assert opened.closed


def test_devices_are_listed(gpu: upconv.Device) -> None:
    found = upconv.devices()
    assert [info.number for info in found] == [*range(len(found) - 1), None]
    assert found[-1].name == "cpu" and found[-1].auto
    assert any(info.name in gpu.name for info in found)
    for info in found[:-1]:
        assert info.max_array_bytes is not None and info.max_array_bytes >= 128 << 20
    assert upconv.Device(found[0].number).kind == "gpu"
