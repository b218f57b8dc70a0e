"""Arrays as the extension takes them: NumPy's, in C order, aligned, of native bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._upconv import DeviceArray

__all__ = ["as_array", "as_input"]

_CPU = 1  # DLPack's number of the device where the host's memory is


def as_array(what: str, given: Any) -> np.ndarray[Any, Any]:
    """`given` as a NumPy array in C order, without a copy where it is one already.

    Takes NumPy arrays and whatever has `__array__`, the buffer protocol, or `__dlpack__` on the CPU. An array with other
    strides, negative ones included, or other than native bytes is copied.

    Raises `TypeError` for anything else: for a list or a number, too, whose element type nobody has said.
    """
    if type(given) is not np.ndarray:
        given = _foreign(what, given)
    flags = given.flags
    if not (flags.c_contiguous and flags.aligned):
        given = np.require(given, requirements=("C", "A"))
    if not given.dtype.isnative:
        given = given.astype(given.dtype.newbyteorder("="))
    return given  # type: ignore[no-any-return]


def as_input(what: str, given: Any) -> np.ndarray[Any, Any] | DeviceArray:
    """As `as_array`, and arrays on a device as they are."""
    return given if isinstance(given, DeviceArray) else as_array(what, given)


def _foreign(what: str, given: Any) -> np.ndarray[Any, Any]:
    kind = type(given)
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError(f"{what} is a masked array, whose masked elements have no values: .filled() gives them some")
    if isinstance(given, np.ndarray):  # a subclass, such as memmap
        return np.asarray(given)
    if isinstance(given, DeviceArray):
        raise TypeError(f"{what} is a DeviceArray, expected an array of the host: .numpy() copies it")
    if hasattr(given, "__dlpack_device__"):
        device = given.__dlpack_device__()
        if device[0] != _CPU:
            where = f"a device of DLPack's kind {int(device[0])}, expected one on the CPU ({_CPU})"
            raise TypeError(f"{what} is a {kind.__name__} on {where}")
    try:
        if hasattr(given, "__array__"):
            return np.asarray(given)
        if hasattr(given, "__dlpack__"):
            return np.from_dlpack(given)
        if not isinstance(given, (bytes, bytearray)):
            return np.asarray(memoryview(given))
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise TypeError(f"{what} is a {kind.__name__}, which cannot be read as a NumPy array: {error}") from error
    raise TypeError(f"{what} is {kind.__name__}, expected an array of float16, bfloat16, float32 or float64")
