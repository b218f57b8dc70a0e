"""Transposed convolution on any GPU, without a framework: NumPy's arrays in and out.

    import numpy as np, upconv

    x = np.random.rand(1, 64, 32, 32).astype("float32")
    w = np.random.rand(64, 32, 4, 4).astype("float32")
    y = upconv.conv_transpose2d(x, w, stride=2, padding=1)  # [1, 32, 64, 64], as PyTorch computes it

The functions release the interpreter's lock while they compute, and Ctrl-C stops them. They may be called from many
threads. The CPU backend has as many threads as `RAYON_NUM_THREADS` says, or as there are cores.
"""

from ._devices import Check, DeviceInfo, Verification, devices, verify
from ._functional import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose,
    conv_transpose1d,
    conv_transpose1d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
    conv_transpose3d,
    conv_transpose3d_backward,
    conv_transpose_backward,
)
from ._layers import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ._network import Network
from ._upscale import Upscaler, upscale
from ._upconv import Device, DeviceArray, DeviceError, __version__

__all__ = [
    "Check",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Device",
    "DeviceArray",
    "DeviceError",
    "DeviceInfo",
    "Network",
    "Upscaler",
    "Verification",
    "__version__",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose",
    "conv_transpose1d",
    "conv_transpose1d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose3d",
    "conv_transpose3d_backward",
    "conv_transpose_backward",
    "devices",
    "upscale",
    "verify",
]
