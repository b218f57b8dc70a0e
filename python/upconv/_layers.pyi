"""Signatures of what `_layers.py` makes."""

from typing import overload

from ._operations import Activation, PerAxis
from ._types import Accuracy, Array, ArrayLike, DeviceLike
from ._upconv import Device, DeviceArray, Operation

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

class _Layer:
    def __init__(self, operation: Operation, weight: ArrayLike, bias: ArrayLike | None, device: DeviceLike) -> None: ...
    @property
    def device(self) -> Device: ...
    @overload
    def __call__(self, input: DeviceArray, *, out: None = None) -> DeviceArray: ...
    @overload
    def __call__(self, input: ArrayLike, *, out: Array | None = None) -> Array: ...

class _ConvTranspose(_Layer):
    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        output_padding: PerAxis = 0,
        groups: int = 1,
        dilation: PerAxis = 1,
        *,
        activation: Activation = None,
        layout: str | None = None,
        device: DeviceLike = "auto",
        accuracy: Accuracy = "elementwise",
    ) -> None: ...
    @overload
    def __call__(
        self, input: DeviceArray, *, output_size: PerAxis | None = None, out: None = None
    ) -> DeviceArray: ...
    @overload
    def __call__(
        self, input: ArrayLike, *, output_size: PerAxis | None = None, out: Array | None = None
    ) -> Array: ...

class _Conv(_Layer):
    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        stride: PerAxis = 1,
        padding: PerAxis | str = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        *,
        activation: Activation = None,
        layout: str | None = None,
        device: DeviceLike = "auto",
        accuracy: Accuracy = "elementwise",
    ) -> None: ...

class ConvTranspose1d(_ConvTranspose): ...
class ConvTranspose2d(_ConvTranspose): ...
class ConvTranspose3d(_ConvTranspose): ...
class Conv1d(_Conv): ...
class Conv2d(_Conv): ...
class Conv3d(_Conv): ...
