"""Pictures, enlarged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import upconv
from conftest import DATA, interrupted, png

ASSETS = DATA.parents[1] / "assets"
CAT = png(DATA / "network" / "chelsea_67x45.png")


def small(dtype: str = "uint8", channels: int = 3, seed: int = 5) -> Any:
    image = np.random.default_rng(seed).integers(0, 256, (6, 9, channels))
    if dtype.startswith("float"):
        return (image / 256).astype(dtype)  # which every type has exactly
    return (image * (257 if dtype == "uint16" else 1)).astype(dtype)


def test_a_network_gives_what_f64_gives(device: str) -> None:
    expected = png(DATA / "network" / "chelsea_67x45_photo_2x.png").astype(int)
    image = CAT if device != "reference" else CAT[:20]
    enlarged = upconv.upscale(image, device=device)
    assert enlarged.dtype == np.uint8 and enlarged.shape == (2 * len(image), 134, 3)
    # A row needs seven pixels below.
    rows = len(expected) if device != "reference" else 20
    assert np.abs(enlarged[:rows].astype(int) - expected[:rows]).max() <= 1


def test_it_is_what_the_program_makes(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    for model, arguments in [("waifu2x-art", ["--model", "waifu2x-art"]), ("lanczos3", ["--method", "lanczos3", "--scale", "2"])]:
        command = [sys.executable, "-m", "upconv", "upscale", DATA / "network" / "chelsea_67x45.png", out, "--device", "cpu"]
        subprocess.run([*command, *arguments], check=True, capture_output=True)
        np.testing.assert_array_equal(upconv.upscale(CAT, 2, model, device="cpu"), png(out))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
def test_types_and_channels(dtype: str, channels: int, device: str) -> None:
    image = small(dtype, channels or 1)
    if channels in (2, 4):
        image[..., -1] = {"uint8": 255, "uint16": 65535}.get(dtype, 1)  # where alpha is 0 there would be no colour
    if channels == 0:
        image = image[..., 0]
    enlarged = upconv.upscale(image, 3, "nearest", device=device)
    assert enlarged.dtype == image.dtype
    expected = image.repeat(3, 0).repeat(3, 1)
    np.testing.assert_array_equal(enlarged.astype("f8"), expected.astype("f8"))
    by_network = upconv.upscale(image, model="waifu2x-photo", device="cpu")
    assert by_network.dtype == image.dtype and by_network.shape == (12, 18, *image.shape[2:])


def test_the_types_agree() -> None:
    pictures = (small(), small("uint16"), small().astype("f4") / 255)
    eight, sixteen, floats = (upconv.upscale(picture, device="cpu") for picture in pictures)
    assert np.abs(eight / 255 - floats).max() <= 0.5 / 255 + 1e-6
    assert np.abs(sixteen / 65535 - floats).max() <= 0.5 / 65535 + 1e-6


def test_tiles_do_not_show(device: str) -> None:
    image = CAT[:30, :40] if device != "reference" else CAT[:16, :20]
    whole = upconv.upscale(image, device=device)
    for keywords in ({"tile": 8}, {"tile": 13, "memory": 64 << 20}):
        np.testing.assert_array_equal(upconv.upscale(image, device=device, **keywords), whole)


def test_sizes() -> None:
    for scale, shape in [(1.5, (9, 14, 3)), (2.25, (14, 20, 3)), (np.float32(4), (24, 36, 3)), (3, (18, 27, 3))]:
        assert upconv.upscale(small(), scale, "bicubic", device="cpu").shape == shape
        assert upconv.upscale(small(), scale, device="cpu").shape == shape
    assert upconv.upscale(small(), size=(7, 10), model="bilinear", device="cpu").shape == (7, 10, 3)
    assert upconv.upscale(small(), size=np.array([3, 2]), model="lanczos3", device="cpu").shape == (3, 2, 3)
    assert upconv.upscale(small(), 0.5, "bilinear", device="cpu").shape == (3, 5, 3)


def test_views_of_images(device: str) -> None:
    image = small()
    for view in (image[::-1], image[:, ::-1, ::-1], image.transpose(1, 0, 2), np.asfortranarray(image)):
        np.testing.assert_array_equal(
            upconv.upscale(view, 2, "bicubic", device=device), upconv.upscale(view.copy("C"), 2, "bicubic", device=device)
        )


def test_an_upscaler_serves_many() -> None:
    upscaler = upconv.Upscaler(ASSETS / "waifu2x-photo.safetensors", device="cpu")
    assert upscaler.scale == 2 and upscaler.device.kind == "cpu"
    assert upconv.Upscaler("nearest", device="cpu").scale is None
    for seed in range(3):
        np.testing.assert_array_equal(upscaler(small(seed=seed)), upconv.upscale(small(seed=seed), device="cpu"))
    assert upscaler(small(), 3).shape == (18, 27, 3)
    # One that is kept lets its device be closed, and is made anew.
    upconv.Device("cpu").close()
    with pytest.raises(upconv.DeviceError, match="was closed"):
        upscaler(small())
    assert upconv.upscale(small(), device="cpu").shape == (12, 18, 3)


def test_alpha() -> None:
    image = small("uint8", 4)
    image[..., 3] = 255
    opaque = upconv.upscale(image, device="cpu")
    np.testing.assert_array_equal(opaque[..., :3], upconv.upscale(image[..., :3], device="cpu"))
    image[:3, :, 3] = 0
    by = {alpha: upconv.upscale(image, device="cpu", alpha=alpha) for alpha in ("filter", "network")}
    for enlarged in by.values():
        assert not enlarged[enlarged[..., 3] == 0].any()
    assert (by["filter"][..., 3] != by["network"][..., 3]).any()


@pytest.mark.parametrize(
    "image, error, message",
    [
        (np.zeros((2, 2, 3), "i4"), TypeError, "image is int32, expected uint8, uint16, float16, float32 or float64"),
        (np.zeros((2, 2, 3), bool), TypeError, "image is bool, expected uint8"),
        (np.zeros((3, 2, 2, 3), "u1"), ValueError, r"image has shape \[3, 2, 2, 3\], expected \[height, width\]"),
        (np.zeros(3, "u1"), ValueError, r"image has shape \[3\], expected"),
        (np.zeros((3, 4, 5), "u1"), ValueError, r"image has shape \[3, 4, 5\], expected 1 to 4 channels, which are its last axis"),
        (np.zeros((3, 4, 0), "u1"), ValueError, "expected 1 to 4 channels"),
        (np.zeros((0, 4, 3), "u1"), ValueError, "rows is 0, expected at least 1"),
        ([[1]], TypeError, "image is a list, which cannot be read as a NumPy array"),
        ("picture.png", TypeError, "image is a str, which cannot be read"),
    ],
)
def test_what_is_no_picture(image: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        upconv.upscale(image, device="cpu")


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"scale": 0}, ValueError, "scale is 0, expected a number up to 64"),
        ({"scale": 65}, ValueError, "scale is 65, expected a number up to 64"),
        ({"scale": float("nan")}, ValueError, "scale is nan"),
        ({"scale": "2"}, ValueError, "scale is '2', expected a number"),
        ({"scale": 5}, ValueError, "45x30 pixels are out of reach: it enlarges 9x6 to at most 36x24"),
        ({"size": (0, 5)}, ValueError, "size has 0, expected 1 to 2147483647 pixels"),
        ({"size": (1.5, 5)}, TypeError, "size has 1.5, expected two ints"),
        ({"size": (5,)}, ValueError, "not enough values"),
        ({"model": "no-such"}, ValueError, "no-such"),
        ({"precision": "f8"}, ValueError, "precision is 'f8', expected 'f32' or 'f16'"),
        ({"alpha": "none"}, ValueError, "alpha is 'none', expected 'filter' or 'network'"),
        ({"mean": "no"}, ValueError, "mean is 'no', expected 'picture' or 'tile'"),
        ({"memory": 1000}, MemoryError, r"the work takes \d+ bytes beside the images, more than memory=1000 allows"),
        ({"size": (1 << 30, 1 << 30), "model": "nearest"}, MemoryError, "bytes"),
        ({"device": ["cpu"]}, TypeError, "device is a list, expected a str, an int or a Device"),
    ],
    ids=str,
)
def test_what_cannot_be_done(keywords: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        upconv.upscale(small(), **{"device": "cpu", **keywords})


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_images_of_pil(mode: str) -> None:
    pil = pytest.importorskip("PIL.Image")
    image = pil.new(mode, (9, 6))
    image.info["note"] = "kept"
    enlarged = upconv.upscale(image, 2, "bicubic", device="cpu")
    assert isinstance(enlarged, pil.Image) and enlarged.mode == mode and enlarged.size == (18, 12)
    assert enlarged.info["note"] == "kept"
    photo = pil.open(DATA / "network" / "chelsea_67x45.png")
    np.testing.assert_array_equal(np.asarray(upconv.upscale(photo, device="cpu")), upconv.upscale(CAT, device="cpu"))


def test_other_modes_of_pil() -> None:
    pil = pytest.importorskip("PIL.Image")
    for mode, made in [("1", "L"), ("P", "RGB"), ("CMYK", "RGB"), ("YCbCr", "RGB")]:
        assert upconv.upscale(pil.new(mode, (3, 2)), 2, "bicubic", device="cpu").mode == made
    transparent = pil.new("P", (3, 2))
    transparent.info["transparency"] = 0
    enlarged = upconv.upscale(transparent, 2, "bicubic", device="cpu")
    assert enlarged.mode == "RGBA" and "transparency" not in enlarged.info
    with pytest.raises(TypeError, match="image is of PIL's mode HSV, expected one of .*: .convert makes it one"):
        upconv.upscale(pil.new("HSV", (3, 2)), device="cpu")


@pytest.mark.parametrize("model", ["waifu2x-photo", "lanczos3"])
@pytest.mark.parametrize("scale", [1.5, 2])
def test_an_interruption_stops_it(model: str, scale: float) -> None:
    interrupted(
        'image = np.zeros((1500, 1500, 3), "u1")',
        f'upconv.upscale(image, {scale}, "{model}", device="cpu")',
    )
