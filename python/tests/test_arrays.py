"""What may be given as an array, and what comes back."""

from __future__ import annotations

import array
import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import upconv
from conftest import integers, scattered


def pair(rng: np.random.Generator, dtype: Any = "float32") -> tuple[Any, Any]:
    return integers(rng, (2, 3, 6, 5), dtype), integers(rng, (3, 4, 3, 3), dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_output_has_the_inputs_type(dtype: str, device: str, rng: np.random.Generator) -> None:
    x, w = pair(rng, dtype)
    if (dtype, device) == ("float64", "gpu"):
        with pytest.raises(TypeError, match="input is float64, expected float16, bfloat16 or float32 on a GPU"):
            upconv.conv_transpose2d(x, w, device=device)
        return
    y = upconv.conv_transpose2d(x, w, stride=2, device=device)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, scattered(x, w, stride=2))


def test_bfloat16(device: str, rng: np.random.Generator) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x, w = pair(rng, ml_dtypes.bfloat16)
    y = upconv.conv_transpose2d(x, w, stride=2, device=device)
    assert y.dtype == ml_dtypes.bfloat16
    # Whole numbers up to 256 are exact.
    np.testing.assert_array_equal(y.astype("f8"), scattered(x.astype("f8"), w.astype("f8"), stride=2))
    out = np.empty_like(y)
    assert upconv.conv_transpose2d(x, w, stride=2, device=device, out=out) is out
    np.testing.assert_array_equal(out.astype("f8"), y.astype("f8"))


def test_auto_takes_float64_to_the_cpu(rng: np.random.Generator) -> None:
    x, w = rng.random((1, 2, 5)), rng.random((2, 2, 3))
    np.testing.assert_allclose(upconv.conv_transpose1d(x, w), scattered(x, w), rtol=1e-14)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: np.asfortranarray(a),
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
        lambda a: a[..., ::-1].copy()[..., ::-1],
        lambda a: a[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
        lambda a: np.ascontiguousarray(a.T).T,
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    ],
    ids=["fortran", "gaps", "negative stride", "negative strides", "transposed", "other bytes", "misaligned"],
)
def test_any_strides(view: Any, device: str, rng: np.random.Generator) -> None:
    x, w = pair(rng)
    given = view(x)
    np.testing.assert_array_equal(given, x)
    before = given.copy()
    y = upconv.conv_transpose2d(given, view(w), stride=2, device=device)
    np.testing.assert_array_equal(y, scattered(x, w, stride=2))
    np.testing.assert_array_equal(given, before)


def test_broadcast_arrays(device: str) -> None:
    x = np.broadcast_to(np.float32([[[1], [2]]]), (3, 2, 4))
    y = upconv.conv_transpose1d(x, np.broadcast_to(np.float32(1), (2, 1, 2)), stride=2, device=device)
    assert (y == 3).all() and y.shape == (3, 1, 8)


class WithArray:
    """Gives an array on request, as pandas and many others do."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.array


class WithDlpack:
    """Gives a DLPack capsule alone."""

    def __init__(self, array: Any, device: tuple[int, int] = (1, 0)) -> None:
        self.array, self.device = array, device

    def __dlpack__(self, **keywords: Any) -> Any:
        return self.array.__dlpack__(**keywords)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


def test_foreign_arrays(rng: np.random.Generator, tmp_path: Path) -> None:
    x, w = pair(rng)
    expected = scattered(x, w)
    mapped = np.memmap(tmp_path / "x", "f4", "w+", shape=x.shape)
    mapped[:] = x
    buffer = memoryview(array.array("f", x.ravel().tolist())).cast("B").cast("f", x.shape)
    for given in [WithArray(x), WithDlpack(x), mapped, buffer, memoryview(x)]:
        y = upconv.conv_transpose2d(given, w, device="cpu")
        assert type(y) is np.ndarray
        np.testing.assert_array_equal(y, expected)
    readonly = x.copy()
    readonly.flags.writeable = False
    np.testing.assert_array_equal(upconv.conv_transpose2d(readonly, w, device="cpu"), expected)


@pytest.mark.parametrize(
    "given, message",
    [
        (np.zeros((1, 1, 2, 2), "i4"), "input is int32, expected float16, float32, float64 or bfloat16"),
        (np.zeros((1, 1, 2, 2), bool), "input is bool, expected float16"),
        (np.zeros((1, 1, 2, 2), "c8"), "input is complex64, expected float16"),
        (np.zeros((1, 1, 2, 2), "O"), "input is object, expected float16"),
        (np.zeros((1, 1, 2, 2), "f4,f4"), "input is void64, expected float16"),
        (np.zeros((1, 1, 2, 2), "S3"), "input is bytes24, expected float16"),
        (np.zeros((1, 1, 2, 2), "datetime64[s]"), r"input is datetime64\[s\], expected float16"),
        ([[[[1.0]]]], "input is a list, which cannot be read as a NumPy array"),
        (1.0, "input is a float, which cannot be read"),
        (None, "input is a NoneType, which cannot be read"),
        ("text", "input is a str, which cannot be read"),
        (np.ma.masked_array(np.zeros((1, 1, 2, 2), "f4"), True), "input is a masked array, whose masked elements have no values"),
        (b"bytes", "input is bytes, expected an array"),
        (WithDlpack(np.zeros(1, "f4"), (2, 0)), "input is a WithDlpack on a device of DLPack's kind 2, expected one on the CPU"),
        (WithArray("text"), "input is a WithArray, which cannot be read as a NumPy array"),
    ],
)
def test_what_is_no_array(given: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        upconv.conv_transpose2d(given, np.zeros((1, 1, 2, 2), "f4"), device="cpu")


def test_out(device: str, rng: np.random.Generator) -> None:
    x, w = pair(rng)
    out = np.full((2, 4, 13, 11), np.nan, "f4")
    assert upconv.conv_transpose2d(x, w, stride=2, out=out, device=device) is out
    np.testing.assert_array_equal(out, scattered(x, w, stride=2))


@pytest.mark.parametrize(
    "out, error, message",
    [
        (np.empty((2, 4, 13, 12), "f4"), ValueError, r"out has shape \[2, 4, 13, 12\], expected \[2, 4, 13, 11\], the output's"),
        (np.empty((2, 4, 13, 11), "f8"), TypeError, "out is float64, expected float32 as the input is"),
        (np.empty((2, 4, 13, 11), "i4"), TypeError, "out is int32, expected float16"),
        (np.empty((2, 4, 11, 13), "f4").swapaxes(2, 3), ValueError, r"out of shape .* has the strides .* in bytes, expected C order"),
        (np.empty((2, 4, 13, 22), "f4")[..., ::2], ValueError, "expected C order without gaps"),
        (np.empty((2, 4, 13, 11), "f4")[..., ::-1], ValueError, r"has the strides \[2288, 572, 44, -4\] in bytes"),
        ([1.0], TypeError, "out is a list, expected a NumPy array"),
    ],
)
def test_bad_out(out: Any, error: Any, message: str, rng: np.random.Generator) -> None:
    x, w = pair(rng)
    with pytest.raises(error, match=message):
        upconv.conv_transpose2d(x, w, stride=2, out=out, device="cpu")


def test_out_that_must_not_be_written(rng: np.random.Generator) -> None:
    x, w = pair(rng)
    out = np.zeros((2, 4, 13, 11), "f4")
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is in use: .*not writeable"):
        upconv.conv_transpose2d(x, w, stride=2, out=out, device="cpu")
    assert not out.any()
    same = np.zeros((1, 1, 4), "f4")
    with pytest.raises(ValueError, match="out is in use: .*does `out` overlap what is read"):
        upconv.conv_transpose1d(same, np.ones((1, 1, 1), "f4"), out=same, device="cpu")


def test_nothing_keeps_the_arrays(device: str, rng: np.random.Generator) -> None:
    x, w = pair(rng)
    dead = [weakref.ref(x), weakref.ref(w)]
    y = upconv.conv_transpose2d(x, w, device=device)
    expected = scattered(x, w)
    del x, w
    gc.collect()
    assert [ref() for ref in dead] == [None, None]
    np.testing.assert_array_equal(y, expected)


def test_results_are_the_callers(rng: np.random.Generator) -> None:
    x, w = pair(rng)
    y = upconv.conv_transpose2d(x, w, device="cpu")
    z = upconv.conv_transpose2d(x, w, device="cpu")
    y[:] = 0
    assert y.flags.writeable and y.flags.c_contiguous and z.any()
