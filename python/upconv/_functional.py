"""Transposed and ordinary convolutions as functions."""

from __future__ import annotations

from typing import Any

from . import _operations as operations
from . import _upconv
from ._arrays import as_array
from ._operations import Activation, PerAxis

__all__ = [
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
]


def _optional(what: str, given: Any) -> Any:
    return None if given is None else as_array(what, given)


def _run(operation: _upconv.Operation, input: Any, weight: Any, bias: Any, out: Any, device: Any) -> Any:
    return _upconv.run(
        operation, as_array("input", input), as_array("weight", weight), _optional("bias", bias), out, device
    )


def _backward(
    operation: _upconv.Operation, grad: Any, input: Any, weight: Any, bias: Any, mask: Any, device: Any
) -> Any:
    arrays = (as_array("grad", grad), as_array("input", input), as_array("weight", weight), _optional("bias", bias))
    return tuple(_upconv.backward(operation, *arrays, mask, device))


_TRANSPOSED = '''Transposed convolution over {axes}, as `torch.nn.functional.conv_transpose{rank}d`.

    On each axis, input `i` and tap `k` are added to output `i·stride + k·dilation − padding`.

    - `input`: `[batch, in_channels, {spatial}]` or without the batch, in the order of `layout`.
    - `weight`: `[in_channels, out_channels / groups, {kernel}]`, whatever the layout. `bias`: `[out_channels]`.
    - `stride`, `padding`, `output_padding`, `dilation`: an int, or {rank} of them. `padding` crops both ends of the output;
      `output_padding` extends it at the end and is below max(stride, dilation). In place of it, `output_size` may name the
      output's extents: {rank} ints, or one for all axes.
    - `activation`: what follows the bias, computed with it: `"relu"`, `"sigmoid"`, `"tanh"`, `"gelu"`, `"silu"`,
      `"mish"`, `"hard_swish"`, `"relu6"`, or a mapping such as `{{"kind": "leaky_relu", "alpha": 0.1}}`.
    - `layout`: `"{first}"` or `"{last}"`, for input and output.
    - `out`: an array of the output's shape and the input's type, in C order, that is written to and returned.
    - `device`: `"auto"` (the best GPU in hardware, or else the CPU), `"gpu"` (also one in software), `"cpu"`,
      `"reference"` (f64), a number or a part of a name from `devices()`, or a `Device`.
    - `accuracy`: `"elementwise"`, each output within the rounding errors of its own sum; `"normwise"` allows Winograd's
      transforms, `"half"` products of float16 as well.

    Arrays are of float16, bfloat16 (of ml_dtypes), float32 or float64, the last not on GPUs: `"auto"` takes the CPU for it.
    Sums are in float32, or float64 for float64; the output has the input's type.

    Returns `[batch, out_channels, …]` in the same layout, each extent `(in − 1)·stride − 2·padding + dilation·(kernel − 1) +
    output_padding + 1`.

    Raises `ValueError` for shapes and numbers that do not fit, `TypeError` for types, `DeviceError` for devices,
    `MemoryError`.
    '''

_BACKWARD = '''The gradients of `conv_transpose{rank}d` with respect to input, weight and bias.

    `grad` is that of the output, of its shape and the input's type; the other arguments are those of the forward pass. With
    an `activation` the sums before it are computed anew, for which the `bias` is needed if there was one.

    Returns a tuple of three: those gradients that `mask` wants, each of its operand's shape and type, that of the bias
    `[out_channels]`, and None for the others. The same bits on every run; errors as `conv_transpose{rank}d`.
    '''

_ORDINARY = '''Convolution over {axes}, as `torch.nn.functional.conv{rank}d`.

    On each axis, output `o` and tap `k` read input `o·stride + k·dilation − padding`, which is 0 outside the input.

    - `input`: `[batch, in_channels, {spatial}]` or without the batch, in the order of `layout`.
    - `weight`: `[out_channels, in_channels / groups, {kernel}]`, whatever the layout. `bias`: `[out_channels]`.
    - `padding`: an int, or {rank} of them; `"valid"`; or `"same"`, of stride 1, where of an odd number the greater part is
      at the end.

    All else is as in `conv_transpose{rank}d`.
    '''

_WORDS = {
    1: {"rank": 1, "axes": "one axis", "spatial": "width", "kernel": "kernel", "first": "NCW", "last": "NWC"},
    2: {
        "rank": 2,
        "axes": "two axes",
        "spatial": "height, width",
        "kernel": "kernel height, kernel width",
        "first": "NCHW",
        "last": "NHWC",
    },
    3: {
        "rank": 3,
        "axes": "three axes",
        "spatial": "depth, height, width",
        "kernel": "kernel depth, kernel height, kernel width",
        "first": "NCDHW",
        "last": "NDHWC",
    },
}


def _transposed(rank: int) -> Any:
    def function(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        output_padding: PerAxis = 0,
        groups: int = 1,
        dilation: PerAxis = 1,
        *,
        activation: Activation = None,
        layout: str = operations.LAYOUTS[rank],
        output_size: PerAxis | None = None,
        out: Any = None,
        device: Any = "auto",
        accuracy: str = "elementwise",
    ) -> Any:
        operation = operations.transposed(
            rank, stride, padding, output_padding, groups, dilation, layout, activation, accuracy, output_size
        )
        return _run(operation, input, weight, bias, out, device)

    return _named(function, f"conv_transpose{rank}d", _TRANSPOSED, rank)


def _transposed_backward(rank: int) -> Any:
    def function(
        grad: Any,
        input: Any,
        weight: Any,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        output_padding: PerAxis = 0,
        groups: int = 1,
        dilation: PerAxis = 1,
        *,
        bias: Any = None,
        activation: Activation = None,
        layout: str = operations.LAYOUTS[rank],
        output_size: PerAxis | None = None,
        mask: tuple[bool, bool, bool] = (True, True, True),
        device: Any = "auto",
    ) -> Any:
        operation = operations.transposed(
            rank, stride, padding, output_padding, groups, dilation, layout, activation, "elementwise", output_size
        )
        return _backward(operation, grad, input, weight, bias, mask, device)

    return _named(function, f"conv_transpose{rank}d_backward", _BACKWARD, rank)


def _ordinary(rank: int) -> Any:
    def function(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: PerAxis = 1,
        padding: PerAxis | str = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        *,
        activation: Activation = None,
        layout: str = operations.LAYOUTS[rank],
        out: Any = None,
        device: Any = "auto",
        accuracy: str = "elementwise",
    ) -> Any:
        operation = operations.ordinary(rank, stride, padding, dilation, groups, layout, activation, accuracy)
        return _run(operation, input, weight, bias, out, device)

    return _named(function, f"conv{rank}d", _ORDINARY, rank)


def _named(function: Any, name: str, doc: str, rank: int) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__module__ = "upconv"
    function.__doc__ = doc.format(**_WORDS[rank])
    return function


conv_transpose1d, conv_transpose2d, conv_transpose3d = (_transposed(rank) for rank in (1, 2, 3))
conv_transpose1d_backward, conv_transpose2d_backward, conv_transpose3d_backward = (
    _transposed_backward(rank) for rank in (1, 2, 3)
)
conv1d, conv2d, conv3d = (_ordinary(rank) for rank in (1, 2, 3))


def conv_transpose(
    input: Any,
    weight: Any,
    bias: Any = None,
    *,
    convention: str | None = None,
    out: Any = None,
    device: Any = "auto",
    lenient: bool = False,
    **keywords: Any,
) -> Any:
    """Transposed convolution in the words of a framework, over as many axes as the weight has beyond two.

    `convention` says whose: `"pytorch"`, `"onnx"`, `"webnn"`, `"tensorflow"`, `"keras"`, `"jax"`, `"mxnet"`, or
    `"explicit"` (pads for each end). The keywords are then that framework's:

    | convention | places the output | its names of other things |
    |---|---|---|
    | `explicit` | `pads`, `output_padding` | |
    | `pytorch` | `padding`, `output_padding`, `output_size` | `stride`, `dilation`, `kernel_size` |
    | `onnx` | `pads`, `output_padding`, `auto_pad`, `output_shape` | `group` |
    | `webnn` | `padding`, `outputPadding`, `outputSizes` | `inputLayout`, `filterLayout` |
    | `tensorflow` | `padding`: `same` (default) or `valid`; `output_shape`, spatial extents | `data_format` |
    | `keras` | `padding`: `same` or `valid` (default); `output_padding` | `dilation_rate`, `kernel_size`, `data_format`, `use_bias` |
    | `jax` | `padding`: `same`, `valid` or pairs | `rhs_dilation`, `transpose_kernel` |
    | `mxnet` | `pad`, `adj`, `target_shape` | `stride`, `dilate`, `kernel`, `num_group`, `layout` |

    All take `strides`, `dilations`, `groups`, `input_layout` (such as `"nhwc"`), `filter_layout` (the weight's axes in
    letters, `i` for in_channels, `o` for out_channels / groups, such as `"hwoi"`), `activation`, `pre_activation` and
    `accuracy`. The layouts are channels first and `iohw` unless they are given, whatever the framework's own are: TensorFlow
    and Keras have `input_layout="nhwc", filter_layout="hwoi"`. An unknown keyword is refused with the one that is probably
    meant. `lenient` allows an output padding of max(stride, dilation) and more.

    Arrays, `out`, `device`, the result and errors are as in `conv_transpose2d`.
    """
    return _run(operations.described(convention, keywords, lenient), input, weight, bias, out, device)


def conv_transpose_backward(
    grad: Any,
    input: Any,
    weight: Any,
    *,
    bias: Any = None,
    convention: str | None = None,
    mask: tuple[bool, bool, bool] = (True, True, True),
    device: Any = "auto",
    lenient: bool = False,
    **keywords: Any,
) -> Any:
    """The gradients of `conv_transpose` with respect to input, weight and bias, as `conv_transpose2d_backward` gives them."""
    return _backward(operations.described(convention, keywords, lenient), grad, input, weight, bias, mask, device)
