"""Backward passes, against the forward pass: the gradient of Σ dy·y, which is linear in each operand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import upconv
from conftest import integers, scattered

FUNCTIONS = {
    1: (upconv.conv_transpose1d, upconv.conv_transpose1d_backward),
    2: (upconv.conv_transpose2d, upconv.conv_transpose2d_backward),
    3: (upconv.conv_transpose3d, upconv.conv_transpose3d_backward),
}


def inner(a: Any, b: Any) -> float:
    return float((np.asarray(a, "f8") * np.asarray(b, "f8")).sum())


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    "arguments",
    [{}, {"stride": 2, "padding": 1, "output_padding": 1}, {"groups": 2, "stride": 3, "dilation": 2}],
    ids=str,
)
def test_gradients_are_exact(rank: int, arguments: dict[str, Any], device: str, rng: np.random.Generator) -> None:
    forward, backward = FUNCTIONS[rank]
    groups = arguments.get("groups", 1)
    x, w = integers(rng, (2, 4, *(5, 4, 3)[:rank])), integers(rng, (4, 3, *(3, 2, 2)[:rank]))
    b = integers(rng, 3 * groups)
    y = forward(x, w, b, **arguments, device="reference")
    dy = integers(rng, y.shape)
    dx, dw, db = backward(dy, x, w, **arguments, device=device)
    for gradient, operand in [(dx, x), (dw, w), (db, b)]:
        assert gradient.shape == operand.shape and gradient.dtype == np.float32
    # <dy, forward(e)> for a few directions e says what the gradient is; whole numbers make it exact.
    for _ in range(5):
        e, f = integers(rng, x.shape), integers(rng, w.shape)
        assert inner(dx, e) == inner(dy, forward(e, w, **arguments, device="reference"))
        assert inner(dw, f) == inner(dy, forward(x, f, **arguments, device="reference"))
    np.testing.assert_array_equal(db, dy.sum((0, *range(2, 2 + rank))))


@pytest.mark.parametrize("mask", [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)])
def test_the_mask(mask: tuple[bool, bool, bool], device: str, rng: np.random.Generator) -> None:
    x, w = integers(rng, (1, 2, 4)), integers(rng, (2, 3, 2))
    dy = integers(rng, (1, 3, 5))
    every = upconv.conv_transpose1d_backward(dy, x, w, device="reference")
    got = upconv.conv_transpose1d_backward(dy, x, w, mask=mask, device=device)
    assert isinstance(got, tuple)
    for wanted, gradient, expected in zip(mask, got, every, strict=True):
        if wanted:
            np.testing.assert_array_equal(gradient, expected)
        else:
            assert gradient is None


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_types(dtype: str, device: str, rng: np.random.Generator) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    if (dtype, device) == ("float64", "gpu"):
        pytest.skip("GPUs have no float64")
    x, w, dy = (integers(rng, shape).astype(dtype) for shape in [(1, 2, 4), (2, 3, 2), (1, 3, 5)])
    got = upconv.conv_transpose1d_backward(dy, x, w, device=device)
    expected = upconv.conv_transpose1d_backward(*(a.astype("f4") for a in (dy, x, w)), device="reference")
    for gradient, want in zip(got, expected, strict=True):
        assert gradient.dtype == x.dtype
        np.testing.assert_array_equal(gradient.astype("f4"), want)


@pytest.mark.parametrize("activation", ["relu", "gelu", {"kind": "leaky_relu", "alpha": 0.2}, "sigmoid"], ids=str)
def test_through_an_activation(activation: Any, device: str, rng: np.random.Generator) -> None:
    x, w, b = (rng.standard_normal(shape) for shape in [(2, 3, 4, 4), (3, 2, 3, 3), (2,)])
    dy = rng.standard_normal((2, 2, 9, 9))
    keywords = {"stride": 2, "activation": activation}
    single = [a.astype("f4") for a in (dy, x, w)]
    got = upconv.conv_transpose2d_backward(*single, bias=b.astype("f4"), device=device, **keywords)

    def loss(x: Any, w: Any, b: Any) -> float:
        return inner(dy, upconv.conv_transpose2d(x, w, b, device="reference", **keywords))

    step = 1e-6
    for number, gradient in enumerate(got):
        for _ in range(3):
            operands = [x, w, b]
            direction = rng.standard_normal(operands[number].shape)
            ends = []
            for sign in (1, -1):
                moved = list(operands)
                moved[number] = operands[number] + sign * step * direction
                ends.append(loss(*moved))
            slope = (ends[0] - ends[1]) / (2 * step)
            assert inner(gradient, direction) == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_channels_last_and_an_output_size(device: str, rng: np.random.Generator) -> None:
    x, w, dy = integers(rng, (1, 3, 3, 2)), integers(rng, (2, 3, 3, 3)), integers(rng, (1, 6, 6, 3))
    got = upconv.conv_transpose2d_backward(dy, x, w, 2, 1, layout="NHWC", output_size=6, device=device)
    first = [np.moveaxis(a, -1, 1) for a in (dy, x)]
    expected = upconv.conv_transpose2d_backward(*first, w, 2, 1, 1, device="reference")
    np.testing.assert_array_equal(np.moveaxis(got[0], -1, 1), expected[0])
    np.testing.assert_array_equal(got[1], expected[1])


def test_jax_mirrors_the_weight(device: str, rng: np.random.Generator) -> None:
    x, w, dy = integers(rng, (1, 2, 4)), integers(rng, (2, 3, 3)), integers(rng, (1, 3, 8))
    keywords = {"convention": "jax", "strides": 2, "padding": "SAME", "device": device}
    dx, dw, db = upconv.conv_transpose_backward(dy, x, w, **keywords)
    e, f = integers(rng, x.shape), integers(rng, w.shape)
    assert inner(dx, e) == inner(dy, upconv.conv_transpose(e, w, **keywords))
    assert inner(dw, f) == inner(dy, upconv.conv_transpose(x, f, **keywords))


def test_the_same_bits_every_time(device: str, rng: np.random.Generator) -> None:
    x, w, dy = (rng.random(shape, "f4") for shape in [(2, 8, 20, 20), (8, 8, 3, 3), (2, 8, 22, 22)])
    first, second = (upconv.conv_transpose2d_backward(dy, x, w, device=device) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert scattered(x, w).shape == dy.shape
