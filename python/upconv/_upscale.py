"""Pictures, enlarged by a filter or a network."""

from __future__ import annotations

import math
import os
import sys
from functools import lru_cache
from typing import Any

import numpy as np

from . import _upconv
from ._arrays import as_array

__all__ = ["Upscaler", "upscale"]

#: The modes of PIL whose pixels are samples of 8 bits, and what others are converted to.
_PLAIN = {"L", "LA", "RGB", "RGBA"}
_CONVERTED = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}
_WIDE = {"I;16", "I;16L", "I;16B", "I;16N"}
#: The types that samples have, and that in which those of others are enlarged.
_SAMPLES = {"uint8": "uint8", "uint16": "uint16", "float16": "float32", "float32": "float32", "float64": "float32"}


class Upscaler:
    """A filter, or a network with its weights on a device, for many pictures. May be used from many threads.

    `model` is a network that is built in, `"waifu2x-photo"` or `"waifu2x-art"`; the path of one of your own, as
    `upconv upscale --model` takes it (`.safetensors`, `.onnx`, `.param` of ncnn; what such a file does not say, `upconv convert`
    adds); or a filter: `"nearest"`, `"bilinear"`, `"bicubic"` or `"lanczos3"`.

    Raises `ValueError` for a file that is missing or unsound, `DeviceError`.
    """

    def __init__(self, model: str | os.PathLike[str] = "waifu2x-photo", *, device: Any = "auto") -> None:
        self._upscaler = _upconv.Upscaler(os.fspath(model), device)

    @property
    def device(self) -> _upconv.Device:
        """Where it is computed."""
        return self._upscaler.device

    @property
    def scale(self) -> int | None:
        """The network's own factor; None for a filter."""
        return self._upscaler.scale

    def __call__(
        self,
        image: Any,
        scale: float | None = None,
        *,
        size: tuple[int, int] | None = None,
        memory: int = 1 << 30,
        tile: int | None = None,
        precision: str = "f32",
        alpha: str = "filter",
        mean: str = "picture",
    ) -> Any:
        """As `upscale`; `scale` is the network's own by default, or 2."""
        if scale is None:
            scale = self.scale or 2
        array, back = _samples(image)
        sides = _sides(array.shape, scale, size)
        half = _is_second("precision", precision, "f32", "f16")
        by_network = _is_second("alpha", alpha, "filter", "network")
        of_tile = _is_second("mean", mean, "picture", "tile")
        return back(self._upscaler.run(array, sides, memory, tile, half, by_network, of_tile))


def upscale(
    image: Any,
    scale: float = 2,
    model: str | os.PathLike[str] = "waifu2x-photo",
    *,
    size: tuple[int, int] | None = None,
    device: Any = "auto",
    memory: int = 1 << 30,
    tile: int | None = None,
    precision: str = "f32",
    alpha: str = "filter",
    mean: str = "picture",
) -> Any:
    """A picture enlarged by a trained network or a filter.

    - `image`: an array `[height, width]` or `[height, width, channels]` of uint8, uint16, or floats from 0 to 1 (float16,
      float32 and float64, all computed in float32); 1 channel is grey, 2 are grey and alpha, 3 red, green and blue, 4 these and
      alpha. Or an image of PIL: of the modes L, LA, RGB, RGBA and I;16 as it is, of 1, P, CMYK and YCbCr as L, RGB or RGBA.
    - `scale`: the factor, to which sides are rounded (halves up); of a network up to the square of its own. `size`, in place of
      it, is `(height, width)`; a filter also makes pictures smaller.
    - `model`, `device`: those of `Upscaler`, of which this keeps the last few that are built in. For many pictures by a network
      from a file, make one.
    - `memory`: what the work may take in bytes beside the images. Pictures of any size are cut into tiles within it, of which
      nothing is to be seen; `tile` is their largest side in pixels.
    - `precision`: `"f16"` has a GPU store what is between a network's layers in 16 bits, with about three significant digits.
    - `alpha`: what enlarges it beside a network, the bicubic `"filter"` or the `"network"`. `mean`: what a network's means are
      taken over, the whole `"picture"` or each `"tile"`.

    Returns an array of the image's type and number of axes, or an image of PIL with the `info` of the one given. Values are
    rounded to the nearest and clamped.

    Raises `TypeError` for what is no picture, `ValueError` for sizes out of reach, `DeviceError`, and `MemoryError` where it
    cannot be done with the memory.
    """
    return _kept(model, device)(
        image, scale, size=size, memory=memory, tile=tile, precision=precision, alpha=alpha, mean=mean
    )


def _is_second(what: str, given: str, first: str, second: str) -> bool:
    if given not in (first, second):
        raise ValueError(f"{what} is {given!r}, expected {first!r} or {second!r}")
    return given == second


def _kept(model: str | os.PathLike[str], device: Any) -> Upscaler:
    """The upscaler, by an earlier call where it is one that cannot have changed since."""
    filters, networks = _upconv.models()
    hashable = isinstance(device, (str, int, _upconv.Device))
    if not hashable or not isinstance(model, str) or model not in (*filters, *networks):
        return Upscaler(model, device=device)
    upscaler = _made(model, device)
    if upscaler.device.closed:
        _made.cache_clear()
        upscaler = _made(model, device)
    return upscaler


@lru_cache(maxsize=4, typed=True)
def _made(model: str, device: Any) -> Upscaler:
    return Upscaler(model, device=device)


def _samples(image: Any) -> tuple[np.ndarray[Any, Any], Any]:
    """The picture as `[height, width, channels]`, and what makes of the result what was given."""
    pil = sys.modules.get("PIL.Image")
    if pil is not None and isinstance(image, pil.Image):
        return _of_pil(pil, image)
    array = as_array("image", image)
    if array.ndim not in (2, 3):
        raise ValueError(f"image has shape {list(array.shape)}, expected [height, width] or [height, width, channels]")
    if array.dtype.name not in _SAMPLES:
        raise TypeError(f"image is {array.dtype.name}, expected uint8, uint16, float16, float32 or float64")
    if array.ndim == 3 and not 1 <= array.shape[2] <= 4:
        raise ValueError(f"image has shape {list(array.shape)}, expected 1 to 4 channels, which are its last axis")
    dtype, axes = array.dtype, array.ndim
    samples = array.astype(_SAMPLES[dtype.name], copy=False)
    samples = samples[..., np.newaxis] if axes == 2 else samples

    def back(result: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        result = result.astype(dtype, copy=False)
        return result.reshape(result.shape[:2]) if axes == 2 else result

    return samples, back


def _of_pil(pil: Any, image: Any) -> tuple[np.ndarray[Any, Any], Any]:
    info = dict(image.info)
    if image.mode in _CONVERTED:
        # A palette may have a transparent colour.
        image = image.convert("RGBA" if "transparency" in info else _CONVERTED[image.mode])
        info.pop("transparency", None)
    if image.mode not in _PLAIN and image.mode not in _WIDE:
        known = ", ".join(sorted(_PLAIN | _WIDE | set(_CONVERTED)))
        raise TypeError(f"image is of PIL's mode {image.mode}, expected one of {known}: .convert makes it one")
    samples, back = _samples(np.asarray(image))

    def image_of(result: np.ndarray[Any, Any]) -> Any:
        made = pil.fromarray(back(result))
        made.info = info
        return made

    return samples, image_of


def _sides(shape: tuple[int, ...], scale: float, size: tuple[int, int] | None) -> tuple[int, int]:
    """The sides of the result."""
    if size is not None:
        height, width = (_side(side) for side in size)
        return height, width
    if not (isinstance(scale, (int, float, np.integer, np.floating)) and 0 < scale <= 64):
        raise ValueError(f"scale is {scale!r}, expected a number up to 64")
    height, width = (max(1, math.floor(side * float(scale) + 0.5)) for side in shape[:2])
    return height, width


def _side(side: Any) -> int:
    try:
        number = side.__index__()
    except AttributeError:
        raise TypeError(f"size has {side!r}, expected two ints: height and width") from None
    if not 1 <= number < 1 << 31:
        raise ValueError(f"size has {number}, expected 1 to {(1 << 31) - 1} pixels")
    return int(number)
