"""The operations against an independent computation, on every device: exact, with whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import upconv
from conftest import integers, scattered

TRANSPOSED = {1: upconv.conv_transpose1d, 2: upconv.conv_transpose2d, 3: upconv.conv_transpose3d}
ORDINARY = {1: upconv.conv1d, 2: upconv.conv2d, 3: upconv.conv3d}

CASES: list[dict[str, Any]] = [
    {},
    {"stride": 2},
    {"stride": 3, "padding": 1, "output_padding": 2},
    {"stride": 2, "dilation": 3, "padding": 2, "output_padding": 1},
    {"groups": 2, "stride": 2, "padding": 1},
    {"groups": 4, "stride": 5},
]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_transposed_is_exact(rank: int, case: dict[str, Any], device: str, rng: np.random.Generator) -> None:
    groups = case.get("groups", 1)
    x = integers(rng, (2, 4, *(5, 6, 4)[:rank]))
    w, b = integers(rng, (4, 3, *(3, 2, 4)[:rank])), integers(rng, 3 * groups)
    y = TRANSPOSED[rank](x, w, b, device=device, **case)
    expected = scattered(x, w, b, pads=case.get("padding", 0), **{k: v for k, v in case.items() if k != "padding"})
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, expected)


def test_arguments_have_pytorchs_order(device: str, rng: np.random.Generator) -> None:
    x, w, b = integers(rng, (1, 4, 5, 6)), integers(rng, (4, 2, 3, 3)), integers(rng, 4)
    y = upconv.conv_transpose2d(x, w, b, (2, 3), (1, 0), (1, 2), 2, (1, 2), device=device)
    expected = scattered(
        x, w, b, stride=(2, 3), pads=(1, 0), output_padding=(1, 2), groups=2, dilation=(1, 2)
    )
    np.testing.assert_array_equal(y, expected)
    # input, weight, bias, stride, padding, dilation, groups
    v = integers(rng, (4, 2, 3, 3))
    z = upconv.conv2d(x, v, b, (2, 1), (1, 2), (1, 2), 2, device=device)
    np.testing.assert_array_equal(z, gathered(x, v, b, (2, 1), (1, 2), (1, 2), 2))


def gathered(x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """The ordinary convolution in f64, by windows over the padded input."""
    rank = x.ndim - 2
    x = np.pad(np.asarray(x, np.float64), [(0, 0), (0, 0), *((p, p) for p in padding)])
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:])]
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(range(2, 2 + rank)))
    windows = windows[(slice(None), slice(None), *(slice(None, None, s) for s in stride))]
    windows = windows[(..., *(slice(None, None, d) for d in dilation))]
    out, of_group = w.shape[0] // groups, w.shape[1]
    axes = "abc"[:rank]
    parts = [
        np.einsum(
            f"ni...{axes},oi{axes}->no...",
            windows[:, g * of_group : (g + 1) * of_group],
            np.asarray(w, np.float64)[g * out : (g + 1) * out],
        )
        for g in range(groups)
    ]
    return np.concatenate(parts, 1) + np.asarray(b, np.float64).reshape(-1, *[1] * rank)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("stride, padding, dilation, groups", [(1, 0, 1, 1), (2, 1, 1, 1), (3, 2, 2, 2), (1, 4, 3, 4)])
def test_ordinary_is_exact(
    rank: int, stride: int, padding: int, dilation: int, groups: int, device: str, rng: np.random.Generator
) -> None:
    x, w, b = integers(rng, (2, 4, *(9, 8, 7)[:rank])), integers(rng, (8, 4 // groups, *(3, 2, 3)[:rank])), integers(rng, 8)
    y = ORDINARY[rank](x, w, b, stride, padding, dilation, groups, device=device)
    np.testing.assert_array_equal(y, gathered(x, w, b, *([v] * rank for v in (stride, padding, dilation)), groups))


def test_same_padding_of_a_convolution(device: str, rng: np.random.Generator) -> None:
    x, w, b = integers(rng, (1, 2, 7)), integers(rng, (3, 2, 4)), integers(rng, 3)
    y = upconv.conv1d(x, w, b, padding="same", dilation=3, device=device)
    # PyTorch's: of the 9 zeros 4 at the beginning.
    padded = np.pad(x, [(0, 0), (0, 0), (4, 5)])
    np.testing.assert_array_equal(y, gathered(padded, w, b, [1], [0], [3], 1))
    np.testing.assert_array_equal(
        upconv.conv1d(x, w, b, padding="valid", device=device), gathered(x, w, b, [1], [0], [1], 1)
    )
    with pytest.raises(ValueError, match=r'padding "same" needs stride 1, and stride is \[2\]'):
        upconv.conv1d(x, w, b, stride=2, padding="same", device=device)


@pytest.mark.parametrize("rank, layout", [(1, "NWC"), (1, "nlc"), (2, "NHWC"), (2, "channels_last"), (3, "NDHWC")])
def test_channels_last(rank: int, layout: str, device: str, rng: np.random.Generator) -> None:
    x, w, b = integers(rng, (2, 3, *(4, 5, 3)[:rank])), integers(rng, (3, 5, *[3] * rank)), integers(rng, 5)
    y = TRANSPOSED[rank](np.moveaxis(x, 1, -1), w, b, 2, 1, layout=layout, device=device)
    np.testing.assert_array_equal(np.moveaxis(y, -1, 1), scattered(x, w, b, stride=2, pads=1))


def test_without_a_batch(device: str, rng: np.random.Generator) -> None:
    x, w = integers(rng, (3, 4, 5)), integers(rng, (3, 2, 2, 2))
    y = upconv.conv_transpose2d(x, w, stride=2, device=device)
    np.testing.assert_array_equal(y, scattered(x[None], w, stride=2)[0])


def test_an_empty_batch(device: str) -> None:
    y = upconv.conv_transpose2d(np.zeros((0, 3, 4, 5), "f4"), np.zeros((3, 2, 2, 2), "f4"), stride=2, device=device)
    assert y.shape == (0, 2, 8, 10)


def test_output_size(device: str, rng: np.random.Generator) -> None:
    x, w = integers(rng, (1, 2, 4, 4)), integers(rng, (2, 2, 3, 3))
    for size, extra in [((7, 8), (0, 1)), (8, 1), ([7, 7], 0)]:
        y = upconv.conv_transpose2d(x, w, stride=2, padding=1, output_size=size, device=device)
        np.testing.assert_array_equal(y, scattered(x, w, stride=2, pads=1, output_padding=extra))


@pytest.mark.parametrize(
    "activation, function",
    [
        ("relu", lambda z: np.maximum(z, 0)),
        ({"kind": "leaky_relu", "alpha": 0.25}, lambda z: np.where(z < 0, 0.25 * z, z)),
        ({"kind": "clip", "min": -2, "max": 6.0}, lambda z: np.clip(z, -2, 6)),
        ({"kind": "prelu", "slopes": [0.5, 0.25]}, lambda z: np.where(z < 0, z * np.array([[[0.5]], [[0.25]]]), z)),
        ({"kind": "prelu", "slopes": np.float32([0.5, 2])}, lambda z: np.where(z < 0, z * np.array([[[0.5]], [[2]]]), z)),
    ],
    ids=["relu", "leaky_relu", "clip", "prelu", "prelu of an array"],
)
def test_activations_follow_the_bias(activation: Any, function: Any, device: str, rng: np.random.Generator) -> None:
    x, w, b = integers(rng, (1, 3, 4, 4)), integers(rng, (3, 2, 2, 2)), integers(rng, 2)
    y = upconv.conv_transpose2d(x, w, b, activation=activation, device=device)
    np.testing.assert_array_equal(y, function(scattered(x, w, b)))


def test_accuracy_is_passed_on(rng: np.random.Generator) -> None:
    x, w = rng.random((1, 64, 16, 16), "f4"), rng.random((64, 64, 3, 3), "f4")
    exact = upconv.conv_transpose2d(x, w, padding=1, device="reference")
    by = {name: upconv.conv_transpose2d(x, w, padding=1, device="cpu", accuracy=name) for name in ("elementwise", "normwise")}
    for y in by.values():
        np.testing.assert_allclose(y, exact, rtol=1e-5)
    # Winograd's transforms round otherwise.
    assert (by["elementwise"] != by["normwise"]).any()


def test_a_nan_reaches_its_window_alone(device: str) -> None:
    x = np.float32([[[1, np.nan, 3]]])
    y = upconv.conv_transpose1d(x, np.ones((1, 1, 2), "f4"), stride=3, device=device)
    assert np.isnan(y).tolist() == [[[False, False, False, True, True, False, False, False]]]


# x = [1, 2, 3], w = [1, 10, 100], stride 2: the worked example of docs/conventions.md.
WORKED = {
    "1 10 102 20 203 30": [
        {"convention": "pytorch", "padding": 0, "output_size": [7], "crop": slice(0, 6)},
        {"convention": "explicit", "pads": [[0, 1]]},
        {"convention": "onnx", "auto_pad": "SAME_UPPER"},
        {"convention": "tensorflow", "padding": "SAME"},
        {"convention": "keras", "padding": "same", "output_padding": 1},
        {"convention": "jax", "padding": [(2, 1)], "transpose_kernel": True},
        {"convention": "webnn", "padding": [0, 1], "outputSizes": [6]},
    ],
    "10 102 20 203 30 300": [
        {"convention": "onnx", "auto_pad": "SAME_LOWER"},
        {"convention": "onnx", "output_shape": [6]},
        {"convention": "mxnet", "stride": 2, "target_shape": (6,)},
    ],
    # Without transpose_kernel JAX mirrors the weight.
    "100 10 201 20 302 30": [{"convention": "jax", "padding": [(2, 1)]}],
}


@pytest.mark.parametrize(
    "expected, keywords", [(expected, case) for expected, cases in WORKED.items() for case in cases], ids=str
)
def test_conventions(expected: str, keywords: dict[str, Any], device: str) -> None:
    x, w = np.float32([[[1, 2, 3]]]), np.float32([[[1, 10, 100]]])
    keywords = dict(keywords)
    crop = keywords.pop("crop", slice(None))
    if "stride" not in keywords:
        keywords["strides"] = np.int64(2)
    y = upconv.conv_transpose(x, w, device=device, **keywords)
    assert [int(value) for value in y[0, 0, crop]] == [int(word) for word in expected.split()]


def test_tensorflows_layouts(device: str, rng: np.random.Generator) -> None:
    x, w, b = integers(rng, (1, 3, 4, 4)), integers(rng, (3, 2, 3, 3)), integers(rng, 2)
    y = upconv.conv_transpose(
        x.transpose(0, 2, 3, 1),
        w.transpose(2, 3, 1, 0),
        b,
        convention="tensorflow",
        strides=2,
        data_format="NHWC",
        filter_layout="HWOI",
        activation="relu",
        device=device,
    )
    expected = np.maximum(scattered(x, w, b, stride=2, pads=[(0, 1), (0, 1)]), 0)
    np.testing.assert_array_equal(y.transpose(0, 3, 1, 2), expected)
