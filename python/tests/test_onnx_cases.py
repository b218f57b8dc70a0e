"""The ConvTranspose and Conv cases of ONNX's backend tests, which lie in this repository."""

from __future__ import annotations

import json
from pathlib import Path

import apply
import numpy as np
import pytest
import upconv
from conftest import DATA, tensors

FOLDERS = sorted(path.parent for path in (DATA / "onnx").glob("*/case.json"))
CONV = tensors("onnx_conv")


def test_all_are_there() -> None:
    assert len(FOLDERS) == 14
    assert sum(name.endswith(".x") for name in CONV) == 32


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_conv_transpose(folder: Path, device: str) -> None:
    case = json.loads((folder / "case.json").read_text())
    got = apply.forward(folder, {"device": device})[""]
    np.testing.assert_allclose(got, np.load(folder / "y.npy"), rtol=case["rtol"], atol=case["atol"])


@pytest.mark.parametrize("name", sorted(name[:-2] for name in CONV if name.endswith(".x")))
def test_conv(name: str, device: str) -> None:
    x, w, y = (CONV[f"{name}.{letter}"] for letter in "xwy")
    rank = x.ndim - 2
    numbers = CONV[f"{name}.attributes"].tolist()
    stride, dilation, begin, end = (numbers[1 + at * rank :][:rank] for at in range(4))
    groups, auto_pad = numbers[4 * rank + 1 :][:2]
    if auto_pad in (1, 2):
        # ONNX's SAME has any stride, and odd padding at either end.
        total = [
            max((-(-i // s) - 1) * s + d * (k - 1) + 1 - i, 0) for i, s, d, k in zip(x.shape[2:], stride, dilation, w.shape[2:])
        ]
        begin = [t // 2 if auto_pad == 1 else t - t // 2 for t in total]
        end = [t - b for t, b in zip(total, begin)]
    elif auto_pad == 3:
        begin = end = [0] * rank
    if begin != end:
        x, begin = np.pad(x, [(0, 0), (0, 0), *zip(begin, end)]), [0] * rank
    function = {1: upconv.conv1d, 2: upconv.conv2d, 3: upconv.conv3d}[rank]
    got = function(x, w, CONV.get(f"{name}.b"), stride, begin, dilation, groups, device=device)
    np.testing.assert_allclose(got, y, rtol=1e-5, atol=1e-5)
