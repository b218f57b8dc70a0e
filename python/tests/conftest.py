"""What the tests share: devices, data, and an independent computation to hold results against."""

from __future__ import annotations

import itertools
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import upconv

DATA = Path(__file__).parents[2] / "tests" / "data"
DTYPES = ["float16", "float32", "float64"]


def pytest_report_header() -> str:
    """Which GPU the tests run on, which a green run alone does not say."""
    if os.environ.get("UPCONV_SKIP_GPU_TESTS") == "1":
        return "upconv: without a GPU, by UPCONV_SKIP_GPU_TESTS"
    try:
        return f"upconv: {upconv.Device('gpu').name}"
    except upconv.DeviceError as error:
        return f"upconv: {error}"


@pytest.fixture(params=["cpu", "gpu", "reference"])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn. Without a GPU the test fails, unless a person says so."""
    if request.param == "gpu":
        request.getfixturevalue("gpu")
    return str(request.param)


@pytest.fixture
def gpu() -> upconv.Device:
    """A GPU, in software if need be."""
    if os.environ.get("UPCONV_SKIP_GPU_TESTS") == "1":
        pytest.skip("UPCONV_SKIP_GPU_TESTS")
    return upconv.Device("gpu")


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers in every run."""
    return np.random.default_rng(7)


def scattered(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    stride: Any = 1,
    pads: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """The transposed convolution in f64, literally: each input is multiplied with the kernel and added to the output.

    `pads` may be one number, one for each axis, or a pair for each.
    """
    rank = x.ndim - 2
    each = lambda value: [value] * rank if np.isscalar(value) else list(value)  # noqa: E731
    stride, dilation, extra = each(stride), each(dilation), each(output_padding)
    pads = [(p, p) if np.isscalar(p) else tuple(p) for p in each(pads)]
    kernel, extents, out_group = w.shape[2:], x.shape[2:], w.shape[1]
    in_group = x.shape[1] // groups
    full = [(i - 1) * s + d * (k - 1) + 1 for i, s, d, k in zip(extents, stride, dilation, kernel)]
    length = [f + e for f, e in zip(full, extra)]
    y = np.zeros((x.shape[0], out_group * groups, *length))
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    for tap in itertools.product(*map(range, kernel)):
        places = tuple(slice(t * d, t * d + (i - 1) * s + 1, s) for t, d, i, s in zip(tap, dilation, extents, stride))
        for group in range(groups):
            ins, outs = slice(group * in_group, (group + 1) * in_group), slice(group * out_group, (group + 1) * out_group)
            y[(slice(None), outs, *places)] += np.einsum("ni...,io->no...", x[:, ins], w[(ins, slice(None), *tap)])
    if b is not None:
        y += np.asarray(b, np.float64).reshape(-1, *[1] * rank)
    return y[(..., *(slice(begin, size - end) for (begin, end), size in zip(pads, length)))]


def integers(rng: np.random.Generator, shape: Any, dtype: Any = "float32") -> Any:
    """Small whole numbers, with which every sum is exact: a wrong index has nowhere to hide."""
    return rng.integers(-4, 5, shape).astype(dtype)


def png(path: Path) -> Any:
    """The pixels of a PNG file as the tests have them: `[height, width, channels]`, 8 bits, not interlaced."""
    data = path.read_bytes()
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind = data[at + 4 : at + 8]
        chunks[kind] = chunks.get(kind, b"") + data[at + 8 : at + 8 + length]
        at += 12 + length
    width, height, depth, kind_of_colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert depth == 8 and not interlaced
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind_of_colour]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + width * channels)
    pixels = np.zeros((height + 1, width + 1, channels), int)  # with a row and a column of zeros before
    for y, (rule, row) in enumerate(zip(rows[:, 0], rows[:, 1:].reshape(height, width, channels).astype(int)), 1):
        for x in range(1, width + 1):
            left, up, corner = pixels[y, x - 1], pixels[y - 1, x], pixels[y - 1, x - 1]
            estimate = left + up - corner
            a, b, c = abs(estimate - left), abs(estimate - up), abs(estimate - corner)
            paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
            pixels[y, x] = (row[x - 1] + [0, left, up, (left + up) // 2, paeth][rule]) % 256
    return pixels[1:, 1:].astype(np.uint8)


def tensors(name: str) -> dict[str, Any]:
    """The tensors of a safetensors file of the tests."""
    data = (DATA / f"{name}.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    types = {"F32": "<f4", "U8": "u1", "I32": "<i4"}
    found = {}
    for key, entry in header.items():
        if key != "__metadata__":
            begin, end = (8 + length + at for at in entry["data_offsets"])
            found[key] = np.frombuffer(data[begin:end], types[entry["dtype"]]).reshape(entry["shape"])
    return found


INTERRUPTED = """
import os, signal, threading, time
import numpy as np, upconv
{setup}
def work():
    {work}
begin = time.monotonic()
work()
turn = time.monotonic() - begin
begin = []
def interrupt():
    time.sleep(0.3)
    begin.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    while True:
        work()
except KeyboardInterrupt:
    late = time.monotonic() - begin[0]
{after}
print(late, turn)
"""


def interrupted(setup: str, work: str, after: str = "") -> None:
    """Work that goes on for ever, in a process of its own, ends soon after an interruption: long before one turn of it would."""
    script = INTERRUPTED.format(setup=setup, work=work, after=after)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    late, turn = map(float, run.stdout.split())
    # A part takes milliseconds; other work on the machine slows both.
    assert late < 0.2 + turn / 2, f"{late} s after the interruption; a turn takes {turn} s"
