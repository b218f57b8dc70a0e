"""What is refused, each with one error that has the numbers in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import upconv

X, W = np.zeros((1, 4, 5, 5), "f4"), np.zeros((4, 6, 3, 3), "f4")


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"stride": 0}, "stride is 0, expected at least 1"),
        ({"stride": (2, -1)}, "stride is -1, expected at least 1"),
        ({"stride": (1, 2, 3)}, "stride has 3 values, expected 2: one for each spatial axis"),
        ({"stride": ()}, "stride has 0 values, expected 2"),
        ({"stride": 1 << 70}, "stride is 1180591620717411303424, which is beyond 64 bits"),
        ({"stride": 1 << 50}, r"stride on axis 0 is 1125899906842624, expected 1 to 1099511627776"),
        ({"padding": -1}, "padding is -1, expected at least 0"),
        ({"padding": 4}, r"output size on axis 0 is -1, expected at least 1: \(input 5 - 1\)"),
        ({"output_padding": 1}, "output_padding 1 on axis 0 must be smaller than stride 1 or dilation 1"),
        ({"dilation": 0}, "dilation is 0, expected at least 1"),
        ({"groups": 3}, r"groups 3 must divide in_channels 4 and out_channels 18 \(remainders 1 and 0\)"),
        ({"groups": 0}, "groups is 0, expected at least 1"),
        ({"groups": (1, 1)}, "groups has 2 values, expected 1"),
        ({"groups": 1 << 62}, "channels overflows: 6 · groups 4611686018427387904"),
        ({"layout": "NCW"}, 'layout is "NCW", expected "NCHW" or "NHWC"'),
        ({"layout": "NHWC"}, r"input has shape \[1, 4, 5, 5\], expected nhwc with 4 channels, the batch optional"),
        ({"activation": "rleu"}, "activation: .*rleu"),
        ({"activation": {"kind": "clip", "min": 2, "max": 1}}, "clip has min 2 and max 1, expected min <= max"),
        ({"activation": {"kind": "prelu", "slopes": [1, 2]}}, r"prelu slopes has shape \[2\], expected \[6\]"),
        ({"accuracy": "good"}, 'accuracy is "good", expected one of elementwise, normwise, half'),
        ({"output_size": 6}, "output size 6 on axis 0 is out of reach, expected 7 to 7"),
        ({"output_size": (7, 7), "output_padding": 1, "stride": 2}, r"output_size and output_padding \[1, 1\] are given"),
        ({"bias": np.zeros(5, "f4")}, r"bias has shape \[5\], expected \[6\], one for each output channel"),
        ({"bias": np.zeros((6, 1), "f4")}, r"bias has shape \[6, 1\], expected \[6\]"),
    ],
    ids=str,
)
def test_values(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        upconv.conv_transpose2d(X, W, device="cpu", **keywords)


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"stride": 1.5}, "stride is 1.5, expected an int or a sequence of ints"),
        ({"stride": "2"}, "stride is '2', expected an int"),
        ({"stride": None}, "stride is None, expected an int"),
        ({"stride": [1, "x" * 1000]}, r"stride is \[1, 'x+…, expected an int"),
        ({"activation": 3}, "activation is a int, expected a str, a mapping or None"),
        ({"activation": {"kind": "prelu", "slopes": object()}}, "activation has a object, expected numbers"),
        ({"device": 1.0}, "device is a float, expected a str, an int or a Device"),
        ({"device": True}, "device is a bool, expected"),
        ({"device": None}, "device is a NoneType, expected"),
        ({"weird": 1}, "unexpected keyword argument 'weird'"),
    ],
    ids=str,
)
def test_types(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        upconv.conv_transpose2d(X, W, **{"device": "cpu", **keywords})


@pytest.mark.parametrize(
    "x, w, message",
    [
        ((1, 4, 5), (4, 6, 3), r"weight has shape \[4, 6, 3\], expected 4 axes: in_channels, out_channels / groups and"),
        ((1, 3, 5, 5), (4, 6, 3, 3), r"input has shape \[1, 3, 5, 5\], expected nchw with 4 channels"),
        ((4, 5), (4, 6, 3, 3), r"input has shape \[4, 5\]"),
        ((), (4, 6, 3, 3), r"input has shape \[\]"),
        ((1, 4, 0, 5), (4, 6, 3, 3), "input on axis 0 is 0|expected at least 1"),
        ((1, 4, 5, 5), (4, 6, 0, 3), "kernel on axis 0 is 0, expected at least 1"),
        ((1, 0, 5, 5), (0, 6, 3, 3), "in_channels is 0, expected at least 1"),
        ((1, 4, 5, 5), (4, 0, 3, 3), "out_channels is 0, expected at least 1"),
    ],
)
def test_shapes(x: Any, w: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        upconv.conv_transpose2d(np.zeros(x, "f4"), np.zeros(w, "f4"), device="cpu")


def test_shapes_of_a_convolution() -> None:
    with pytest.raises(ValueError, match=r"input has shape \[1, 3, 5\], expected ncw with 4 channels"):
        upconv.conv1d(np.zeros((1, 3, 5), "f4"), np.zeros((6, 2, 3), "f4"), groups=2, device="cpu")
    with pytest.raises(ValueError, match=r"bias has shape \[2\], expected \[6\]"):
        upconv.conv1d(np.zeros((1, 4, 5), "f4"), np.zeros((6, 4, 3), "f4"), np.zeros(2, "f4"), device="cpu")
    with pytest.raises(ValueError, match='padding is "some", expected ints, "same" or "valid"'):
        upconv.conv1d(np.zeros((1, 4, 5), "f4"), np.zeros((6, 4, 3), "f4"), padding="some", device="cpu")


def test_more_memory_than_there_is() -> None:
    x, w = np.zeros((1, 1, 2, 2), "f4"), np.zeros((1, 1, 1, 1), "f4")
    with pytest.raises((MemoryError, ValueError), match="no memory for the output|overflows"):
        upconv.conv_transpose2d(x, w, stride=1 << 25, device="cpu")
    with pytest.raises(ValueError, match="overflows"):
        upconv.conv_transpose2d(x, w, stride=1 << 38, device="cpu")


def test_more_than_a_gpu_takes(gpu: upconv.Device) -> None:
    x, w = np.zeros((1, 1, 2, 2), "f4"), np.zeros((1, 1, 1, 1), "f4")
    with pytest.raises(upconv.DeviceError, match=r"needed, but the device's limit max_buffer_size is \d+"):
        upconv.conv_transpose2d(x, w, stride=1 << 18, device=gpu)
    # The device is as good as before.
    assert upconv.conv_transpose2d(x + 1, w + 2, device=gpu).tolist() == [[[[2, 2], [2, 2]]]]


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"convention": "caffe"}, "convention: .*caffe"),
        ({"convention": "keras", "stride": 2}, 'unknown key "stride" in convention "keras", expected "strides"'),
        ({"convention": "onnx", "auto_pad": "SAME"}, "auto_pad"),
        ({"convention": "keras", "strides": 2, "output_padding": 2}, "output_padding 2 on axis 0 must be smaller than stride 2"),
        ({"convention": "keras", "use_bias": True}, "says that there is a bias, but no bias is given"),
        ({"strides": [1, 2, 3]}, "stride has 3 values, expected 2"),
        ({"kernel_shape": [5, 5]}, "kernel_shape"),
    ],
    ids=str,
)
def test_descriptions(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        upconv.conv_transpose(X, W, device="cpu", **keywords)


def test_what_is_no_json() -> None:
    with pytest.raises(TypeError, match="the description has a object, expected numbers, texts"):
        upconv.conv_transpose(X, W, device="cpu", strides=object())


def test_devices_that_are_not_there() -> None:
    with pytest.raises(upconv.DeviceError, match='no GPU adapter with "no such" in its name'):
        upconv.conv_transpose2d(X, W, device="no such")
    with pytest.raises(upconv.DeviceError, match='no GPU adapter with the number 99, nor with "99" in its name'):
        upconv.Device(99)
    assert issubclass(upconv.DeviceError, RuntimeError)


def test_a_panic_would_be_an_exception() -> None:
    # PyO3's own exception for a panic is no Exception: nothing of it is to be seen from here.
    assert not hasattr(upconv._upconv, "PanicException")


@pytest.mark.parametrize("grad", [(1, 6, 7, 8), (6, 7, 7), (1, 5, 7, 7)])
def test_gradients_of_another_shape(grad: Any) -> None:
    with pytest.raises(ValueError, match=r"grad has shape \[.*\], expected \[1, 6, 7, 7\], the output's"):
        upconv.conv_transpose2d_backward(np.zeros(grad, "f4"), X, W, device="cpu")


def test_gradients_of_other_types() -> None:
    with pytest.raises(TypeError, match="grad is float64, expected float32 as the input is"):
        upconv.conv_transpose2d_backward(np.zeros((1, 6, 7, 7)), X, W, device="cpu")
    with pytest.raises((TypeError, ValueError)):
        upconv.conv_transpose2d_backward(np.zeros((1, 6, 7, 7), "f4"), X, W, mask=(True, True), device="cpu")
