"""The operation for PyTorch, with its gradients: an `autograd.Function`, functions and modules.

Tensors of the host are read where they lie; those on another device are copied to the host and back, which costs more than
the operation where it is small. So this is for whom PyTorch gives no GPU, and for comparing; where PyTorch has the GPU, its
own operation is the better one. What is computed, and how exactly, is that of `upconv.conv_transpose2d`.

    from upconv.torch import ConvTranspose2d

    layer = ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1, upconv_device="gpu")
    layer(torch.rand(1, 64, 16, 16)).sum().backward()
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from . import _operations as operations
from . import _upconv
from ._operations import Activation, PerAxis

# Mesa's drivers for OpenGL and Triton, which PyTorch loads when an optimiser is first used, each have an LLVM of their own, and
# the process crashes where Triton's comes second.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401

__all__ = [
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "ConvTransposeFunction",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]


def _numpy(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """A tensor as an array in C order: the same memory where that is the host's."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype != torch.bfloat16:
        array: np.ndarray[Any, Any] = tensor.numpy()
        return array
    # NumPy has it from ml_dtypes, and PyTorch does not know.
    import ml_dtypes

    bits: np.ndarray[Any, Any] = tensor.view(torch.int16).numpy()
    return bits.view(ml_dtypes.bfloat16)


def _tensor(array: np.ndarray[Any, Any], device: torch.device) -> torch.Tensor:
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).to(device)
    return torch.from_numpy(array).to(device)


class ConvTransposeFunction(torch.autograd.Function):
    """The operation as autograd sees it: `apply(input, weight, bias or None, description, device)`.

    Its gradients have none of their own: a second derivative is refused.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        operation: _upconv.Operation,
        device: Any,
    ) -> torch.Tensor:
        ctx.save_for_backward(input, weight, bias)
        ctx.operation, ctx.device = operation, device
        b = None if bias is None else _numpy(bias)
        return _tensor(_upconv.run(operation, _numpy(input), _numpy(weight), b, None, device), input.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        input, weight, bias = ctx.saved_tensors
        mask = ctx.needs_input_grad[:3]
        b = None if bias is None else _numpy(bias)
        arrays = (_numpy(grad), _numpy(input), _numpy(weight), b)
        gradients = _upconv.backward(ctx.operation, *arrays, mask, ctx.device)
        of = (input, weight, bias)
        return (*(None if g is None else _tensor(g, o.device) for g, o in zip(gradients, of, strict=True)), None, None)


def _apply(
    rank: int,
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: PerAxis,
    padding: PerAxis,
    output_padding: PerAxis,
    groups: int,
    dilation: PerAxis,
    activation: Activation,
    device: Any,
) -> torch.Tensor:
    for what, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.dtype != input.dtype:
            raise TypeError(f"{what} is {tensor.dtype}, expected {input.dtype} as the input is")
    operation = operations.transposed(
        rank,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        operations.LAYOUTS[rank],
        activation,
        "elementwise",
        None,
    )
    result: torch.Tensor = ConvTransposeFunction.apply(input, weight, bias, operation, device)
    return result


def conv_transpose1d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    activation: Activation = None,
    upconv_device: Any = "auto",
) -> torch.Tensor:
    """`torch.nn.functional.conv_transpose1d` by this library, with its gradients."""
    parameters = (stride, padding, output_padding, groups, dilation, activation, upconv_device)
    return _apply(1, input, weight, bias, *parameters)


def conv_transpose2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    activation: Activation = None,
    upconv_device: Any = "auto",
) -> torch.Tensor:
    """`torch.nn.functional.conv_transpose2d` by this library, with its gradients."""
    parameters = (stride, padding, output_padding, groups, dilation, activation, upconv_device)
    return _apply(2, input, weight, bias, *parameters)


def conv_transpose3d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    activation: Activation = None,
    upconv_device: Any = "auto",
) -> torch.Tensor:
    """`torch.nn.functional.conv_transpose3d` by this library, with its gradients."""
    parameters = (stride, padding, output_padding, groups, dilation, activation, upconv_device)
    return _apply(3, input, weight, bias, *parameters)


class _Mixin:
    """What the modules do in place of PyTorch's own computation; parameters, initialisation and state are PyTorch's."""

    _function: Any
    _rank: int
    upconv_device: Any

    def forward(self, input: torch.Tensor, output_size: Sequence[int] | None = None) -> torch.Tensor:
        """The output; `output_size` may have the batch and the channels in front, as PyTorch allows."""
        module: Any = self
        output_padding = module._output_padding(
            input, output_size, module.stride, module.padding, module.kernel_size, self._rank, module.dilation
        )
        result: torch.Tensor = type(self)._function(
            input,
            module.weight,
            module.bias,
            module.stride,
            module.padding,
            output_padding,
            module.groups,
            module.dilation,
            upconv_device=self.upconv_device,
        )
        return result


class ConvTranspose1d(_Mixin, torch.nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d`, computed by this library on `upconv_device`; its state is that of PyTorch's."""

    _function = staticmethod(conv_transpose1d)
    _rank = 1

    def __init__(self, *args: Any, upconv_device: Any = "auto", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.upconv_device = upconv_device


class ConvTranspose2d(_Mixin, torch.nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d`, computed by this library on `upconv_device`; its state is that of PyTorch's."""

    _function = staticmethod(conv_transpose2d)
    _rank = 2

    def __init__(self, *args: Any, upconv_device: Any = "auto", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.upconv_device = upconv_device


class ConvTranspose3d(_Mixin, torch.nn.ConvTranspose3d):
    """`torch.nn.ConvTranspose3d`, computed by this library on `upconv_device`; its state is that of PyTorch's."""

    _function = staticmethod(conv_transpose3d)
    _rank = 3

    def __init__(self, *args: Any, upconv_device: Any = "auto", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.upconv_device = upconv_device
