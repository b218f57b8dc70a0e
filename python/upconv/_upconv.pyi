"""The extension. `Device`, `DeviceArray` and `DeviceError` are public as `upconv.…`; the rest serves the other files."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, final

import numpy as np

from ._types import Array, ArrayLike, DeviceLike

__all__ = [
    "Device",
    "DeviceArray",
    "DeviceError",
    "Layer",
    "Network",
    "Operation",
    "Upscaler",
    "__version__",
    "adapters",
    "backward",
    "main",
    "models",
    "processor",
    "run",
    "verify",
]

__version__: str

class DeviceError(RuntimeError):
    """A device is missing, was closed or lost, lacks a feature, or is too small for what was asked of it."""

@final
class Device:
    """A device: a GPU, the CPU, or the f64 reference; opened once for each name and process, `"auto"` by default.

    Raises `DeviceError` where there is none of the name. A GPU does not survive a fork; the CPU does.
    """

    def __new__(cls, name: DeviceLike | None = None) -> Device: ...
    @property
    def name(self) -> str:
        """The adapter in one line, or `cpu` or `reference`."""
    @property
    def kind(self) -> str:
        """`gpu`, `cpu` or `reference`."""
    @property
    def closed(self) -> bool:
        """Whether it was closed."""
    def close(self) -> None:
        """Waits for what is under way, and frees all that is on the device. What was made with it raises `DeviceError` from
        then on; its name opens it anew."""
    def __enter__(self) -> Device: ...
    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
        /,
    ) -> None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class DeviceArray:
    """An array that stays on a device: made of one of the host, or by a layer or a network of another.

    Its elements are float16, bfloat16, float32 or float64 (not on GPUs), in C order. The CPU and the reference have it in
    the host's memory. Raises `TypeError`, `DeviceError`, `MemoryError`.
    """

    def __new__(cls, array: ArrayLike, device: DeviceLike | None = None) -> DeviceArray: ...
    def numpy(self) -> Array:
        """A copy on the host; waits for what computes it. Raises `ValueError` once the array was freed, `DeviceError`."""
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def nbytes(self) -> int:
        """The bytes that it takes on the device; 0 once it was freed."""
    @property
    def device(self) -> Device: ...
    def free(self) -> None:
        """Gives the memory back once what is under way is done; without it, that happens with the last reference."""
    def __array__(self, *_args: Any, **_kwargs: Any) -> None:
        """Raises `TypeError`: a copy to the host is asked for, by `numpy`."""

@final
class Operation:
    @staticmethod
    def transposed(
        rank: int,
        stride: Any,
        padding: Any,
        output_padding: Any,
        groups: Any,
        dilation: Any,
        layout: str,
        activation: str | None,
        accuracy: str,
        output_size: Any,
    ) -> Operation: ...
    @staticmethod
    def ordinary(
        rank: int,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: Any,
        layout: str,
        activation: str | None,
        accuracy: str,
    ) -> Operation: ...
    @staticmethod
    def described(json: str, lenient: bool) -> Operation: ...
    def output_shape(self, input: Sequence[int], weight: Sequence[int]) -> list[int]: ...

@final
class Layer:
    def __new__(cls, operation: Operation, weight: Array, bias: Array | None, device: Any) -> Layer: ...
    def run(self, input: Array | DeviceArray, out: Array | None, operation: Operation | None) -> Any: ...
    @property
    def device(self) -> Device: ...

@final
class Network:
    @staticmethod
    def load(path: Any, bin: Any, device_name: Any) -> Network: ...
    def run(self, inputs: Sequence[Array | DeviceArray]) -> list[Any]: ...
    @property
    def inputs(self) -> list[int]: ...
    @property
    def outputs(self) -> list[int]: ...
    @property
    def rank(self) -> int: ...
    @property
    def parameters(self) -> int: ...
    def output_shapes(self, inputs: Sequence[Sequence[int]]) -> list[list[int]]: ...
    @property
    def device(self) -> Device: ...

@final
class Upscaler:
    def __new__(cls, model: str, device_name: Any) -> Upscaler: ...
    def run(
        self,
        image: Array,
        sides: Sequence[int],
        memory: int,
        tile: int | None,
        half: bool,
        alpha_by_network: bool,
        mean_of_tile: bool,
    ) -> Array: ...
    @property
    def scale(self) -> int | None: ...
    @property
    def device(self) -> Device: ...

def models() -> tuple[list[str], list[str]]: ...
def adapters() -> list[dict[str, Any]]: ...
def processor() -> tuple[int, str]: ...
def run(
    operation: Operation, input: Array, weight: Array, bias: Array | None, out: Array | None, device: Any
) -> Array: ...
def backward(
    operation: Operation,
    grad: Array,
    input: Array,
    weight: Array,
    bias: Array | None,
    mask: Sequence[bool],
    device_name: Any,
) -> list[Array | None]: ...
def main(arguments: Sequence[str]) -> int: ...
def verify(adapter: str | None) -> str: ...
