"""What a type checker is to accept, and what to refuse (where an error is expected and said to be). Never run."""

from typing import Any, assert_type

import numpy as np
import upconv

x = np.zeros((1, 3, 4, 4), np.float32)
w = np.zeros((3, 2, 3, 3), np.float16)
Array = np.ndarray[Any, Any]

assert_type(upconv.conv_transpose2d(x, w, None, 2, (1, 1), device="cpu", activation={"kind": "relu"}), Array)
assert_type(upconv.conv2d(x, w, padding="same", layout="NHWC", out=x), Array)
assert_type(upconv.conv_transpose(memoryview(b"").cast("f"), w, convention="keras", strides=2), Array)
dx, dw, db = upconv.conv_transpose2d_backward(x, x, w, mask=(True, False, False))
assert_type(dx, Array | None)

layer = upconv.ConvTranspose2d(w, stride=2, device=upconv.Device(0))
assert_type(layer(x, output_size=9), Array)
there = upconv.DeviceArray(x, layer.device)
assert_type(layer(there), upconv.DeviceArray)
assert_type(there.shape, tuple[int, ...])
assert_type(upconv.devices()[0].number, int | None)
assert_type(upconv.verify("cpu").passed, bool)
upconv.Network.load("net.onnx", device="gpu").run(x)
upconv.Upscaler("lanczos3", device=0)(upconv.upscale(x[0], 1.5, size=(7, 7)), 2)

upconv.conv_transpose2d("text", w)  # type: ignore[arg-type]
upconv.conv_transpose2d(x, w, accuracy="good")  # type: ignore[arg-type]
upconv.conv_transpose2d(x, w, stride=1.5)  # type: ignore[arg-type]
upconv.conv_transpose2d(x, w, weird=1)  # type: ignore[call-arg]
upconv.conv_transpose(x, w, convention="caffe")  # type: ignore[arg-type]
layer(there, out=x)  # type: ignore[call-overload]
