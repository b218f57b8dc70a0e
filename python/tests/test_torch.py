"""The functions and modules for PyTorch, against PyTorch's own, where it is at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import upconv

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

import upconv.torch as ours  # noqa: E402

ARGUMENTS = [{}, {"stride": 2, "padding": 1, "output_padding": 1}, {"stride": 3, "groups": 2, "dilation": 2}]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(3)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_functions_and_gradients(rank: int, arguments: dict[str, Any], device: str) -> None:
    groups = arguments.get("groups", 1)
    given = [torch.randn(s, requires_grad=True) for s in [(2, 4, *[5] * rank), (4, 3, *[3] * rank), (3 * groups,)]]
    theirs = getattr(F, f"conv_transpose{rank}d")(*given, **arguments)
    dy = torch.randn_like(theirs)
    expected = torch.autograd.grad(theirs, given, dy)
    y = getattr(ours, f"conv_transpose{rank}d")(*given, **arguments, upconv_device=device)
    torch.testing.assert_close(y, theirs, rtol=1e-4, atol=1e-4)
    for got, want in zip(torch.autograd.grad(y, given, dy), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_gradients_by_finite_differences() -> None:
    given = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in [(1, 2, 4), (2, 3, 3), (3,)]]
    for activation in (None, "gelu"):
        function = lambda *a: ours.conv_transpose1d(*a, 2, 1, activation=activation, upconv_device="cpu")  # noqa: E731
        assert torch.autograd.gradcheck(function, given)


def test_only_what_needs_a_gradient_gets_one() -> None:
    x, w = torch.randn(1, 2, 4), torch.randn(2, 3, 3, requires_grad=True)
    ours.conv_transpose1d(x, w, upconv_device="cpu").sum().backward()
    assert x.grad is None and w.grad.shape == w.shape
    y = ours.conv_transpose1d(x.requires_grad_(), w, upconv_device="cpu")
    first = torch.autograd.grad(y.square().sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("name", ["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"])
def test_modules_take_pytorchs_state(name: str, device: str) -> None:
    arguments = {"kernel_size": 3, "stride": 2, "padding": 1, "groups": 2}
    theirs = getattr(torch.nn, name)(4, 6, **arguments)
    module = getattr(ours, name)(4, 6, **arguments, upconv_device=device)
    module.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 4, *[5] * int(name[-2]))
    torch.testing.assert_close(module(x), theirs(x), rtol=1e-4, atol=1e-4)
    size = [10] * int(name[-2])
    torch.testing.assert_close(module(x, size), theirs(x, size), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(module(x, output_size=[2, 6, *size]), theirs(x, size), rtol=1e-4, atol=1e-4)


def test_a_layer_learns() -> None:
    layer = ours.ConvTranspose2d(2, 1, 4, stride=2, padding=1, upconv_device="cpu")
    x = torch.randn(4, 2, 6, 6)
    goal = torch.nn.ConvTranspose2d(2, 1, 4, stride=2, padding=1)(x).detach()
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = (layer(x) - goal).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 100


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_types(dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    kind = getattr(torch, dtype)
    x, w = (torch.randint(-3, 4, s).to(kind).requires_grad_() for s in [(1, 2, 5), (2, 3, 2)])
    y = ours.conv_transpose1d(x, w, stride=2, upconv_device="cpu")
    assert y.dtype == kind
    torch.testing.assert_close(y.float(), F.conv_transpose1d(x.float(), w.float(), stride=2))
    y.float().sum().backward()
    assert x.grad.dtype == kind
    with pytest.raises(TypeError, match="weight is torch.float32, expected torch"):
        ours.conv_transpose1d(x, w.float(), upconv_device="cpu")


def test_tensors_are_arrays_too() -> None:
    x, w = torch.randn(1, 2, 4, 4), torch.randn(2, 3, 3, 3)
    y = upconv.conv_transpose2d(x, w, stride=2, device="cpu")
    assert type(y) is np.ndarray
    np.testing.assert_allclose(y, F.conv_transpose2d(x, w, stride=2), rtol=1e-4, atol=1e-5)
    # Memory that is not in C order.
    last = x.contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(upconv.conv_transpose2d(last, w, stride=2, device="cpu"), y)
    with pytest.raises(TypeError, match="input is a Tensor, which cannot be read as a NumPy array: .*grad"):
        upconv.conv_transpose2d(x.requires_grad_(), w, device="cpu")
