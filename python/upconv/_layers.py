"""Operations with their weights, for many calls, and arrays that stay on a device between them."""

from __future__ import annotations

from typing import Any

from . import _operations as operations
from . import _upconv
from ._arrays import as_array, as_input
from ._operations import Activation, PerAxis

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]


class _Layer:
    """A weight and a bias on a device, and what is computed with them. May be called from many threads."""

    _rank: int

    def __init__(self, operation: _upconv.Operation, weight: Any, bias: Any, device: Any) -> None:
        bias = None if bias is None else as_array("bias", bias)
        self._layer = _upconv.Layer(operation, as_array("weight", weight), bias, device)

    @property
    def device(self) -> _upconv.Device:
        """Where it is computed."""
        return self._layer.device

    def __call__(self, input: Any, *, out: Any = None) -> Any:
        """The output of an array, as an array; of a `DeviceArray` on the layer's device, as a `DeviceArray` there.

        For a `DeviceArray` nothing is copied to the host and nothing is waited for. `out` is for arrays of the host.
        """
        return self._layer.run(as_input("input", input), out, None)


class _ConvTranspose(_Layer):
    def __init__(
        self,
        weight: Any,
        bias: Any = None,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        output_padding: PerAxis = 0,
        groups: int = 1,
        dilation: PerAxis = 1,
        *,
        activation: Activation = None,
        layout: str | None = None,
        device: Any = "auto",
        accuracy: str = "elementwise",
    ) -> None:
        layout = operations.LAYOUTS[self._rank] if layout is None else layout
        self._placing = (stride, padding)
        self._rest = (groups, dilation, layout, activation, accuracy)
        operation = operations.transposed(self._rank, stride, padding, output_padding, *self._rest, None)
        super().__init__(operation, weight, bias, device)

    def __call__(self, input: Any, *, output_size: PerAxis | None = None, out: Any = None) -> Any:
        """As `conv_transpose`'s result: of an array an array, of a `DeviceArray` on the layer's device one there.

        For a `DeviceArray` nothing is copied to the host and nothing is waited for. `out` is for arrays of the host.
        `output_size` names the output's extents in place of the layer's `output_padding`.
        """
        operation = None
        if output_size is not None:
            operation = operations.transposed(self._rank, *self._placing, 0, *self._rest, output_size)
        return self._layer.run(as_input("input", input), out, operation)


class _Conv(_Layer):
    def __init__(
        self,
        weight: Any,
        bias: Any = None,
        stride: PerAxis = 1,
        padding: PerAxis | str = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        *,
        activation: Activation = None,
        layout: str | None = None,
        device: Any = "auto",
        accuracy: str = "elementwise",
    ) -> None:
        layout = operations.LAYOUTS[self._rank] if layout is None else layout
        rest = (stride, padding, dilation, groups, layout, activation, accuracy)
        super().__init__(operations.ordinary(self._rank, *rest), weight, bias, device)


_DOC = '''`{function}` with its weight and bias on a device: copied when it is made, packed at the first call.

    The arguments are those of `{function}`. With the device `"auto"` and a weight of float64, that is the CPU.
    '''


def _class(name: str, base: type[_Layer], rank: int, function: str) -> Any:
    doc = _DOC.format(function=function)
    return type(name, (base,), {"__doc__": doc, "__module__": "upconv", "_rank": rank})


ConvTranspose1d, ConvTranspose2d, ConvTranspose3d = (
    _class(f"ConvTranspose{rank}d", _ConvTranspose, rank, f"conv_transpose{rank}d") for rank in (1, 2, 3)
)
Conv1d, Conv2d, Conv3d = (_class(f"Conv{rank}d", _Conv, rank, f"conv{rank}d") for rank in (1, 2, 3))
