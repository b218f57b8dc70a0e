"""The types of arguments and results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np

from ._upconv import Device

if TYPE_CHECKING:
    from typing_extensions import Buffer  # every type checker has it

__all__ = ["Accuracy", "Array", "ArrayLike", "Convention", "DeviceLike"]

#: An array of float16, bfloat16, float32 or float64.
Array: TypeAlias = np.ndarray[Any, Any]


class HasArray(Protocol):
    """What gives itself as an array."""

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray[Any, Any]: ...


class HasDlpack(Protocol):
    """What gives itself by DLPack."""

    def __dlpack__(self, **kwargs: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, int]: ...


#: A NumPy array, or what has `__array__`, `__dlpack__` on the CPU, or the buffer protocol.
ArrayLike: TypeAlias = "Array | HasArray | HasDlpack | Buffer"
#: A name, a number or a part of a name from `devices()`, or a device.
DeviceLike: TypeAlias = str | int | Device
Accuracy: TypeAlias = Literal["elementwise", "normwise", "half"]
Convention: TypeAlias = Literal["explicit", "pytorch", "onnx", "webnn", "tensorflow", "keras", "jax", "mxnet"]
