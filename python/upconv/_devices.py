"""The devices of this machine, and whether they compute what they should."""

from __future__ import annotations

import json
from typing import NamedTuple

from . import _upconv

__all__ = ["Check", "DeviceInfo", "Verification", "devices", "verify"]


class DeviceInfo(NamedTuple):
    """A device of this machine, which is not open yet."""

    number: int | None
    """What `device=` takes, beside a part of the name; None for the CPU, which is `"cpu"`."""
    name: str
    kind: str
    """`"discrete"`, `"integrated"` and the like for a GPU, or `"cpu"`: what kernels are planned for."""
    backend: str
    """`"vulkan"`, `"metal"`, `"dx12"`, `"gl"`, or `"cpu"`."""
    driver: str
    """For the CPU, its threads and vector instructions."""
    pci_bus: str
    """Where it is plugged in, which tells equal devices apart; empty where that is not known."""
    auto: bool
    """Whether `device="auto"` may choose it: no GPU in software."""
    float16: bool
    """Whether arrays of float16 stay so on the device; otherwise they are stored as float32."""
    max_array_bytes: int | None
    """The largest array; None for the CPU."""


def devices() -> list[DeviceInfo]:
    """The GPUs of this machine, best first, and at last the CPU.

    Raises `DeviceError` where the variable `WGPU_BACKEND` names a backend that does not exist.
    """
    found = [
        DeviceInfo(
            adapter["number"],
            adapter["name"],
            adapter["class"],
            adapter["backend"],
            adapter["driver"],
            adapter["pci_bus"],
            adapter["auto"],
            adapter["float16"],
            adapter["max_array_bytes"],
        )
        for adapter in _upconv.adapters()
    ]
    threads, level = _upconv.processor()
    cpu = DeviceInfo(None, "cpu", "cpu", "cpu", f"{threads} threads, {level}", "", True, False, None)
    return [*found, cpu]


class Check(NamedTuple):
    """One kernel on one device, held against the f64 reference."""

    device: str
    case: str
    kernel: str
    outputs: int
    """How many elements were compared."""
    worst_share: float
    """The largest error as a share of what rounding may cause."""
    worst_error: float
    passed: bool


class Verification(NamedTuple):
    """What `verify` found."""

    checks: list[Check]
    broken: list[str]
    """Devices that could not be checked, or not to the end, and why."""

    @property
    def passed(self) -> bool:
        """Whether every device was checked and every check passed."""
        return not self.broken and all(check.passed for check in self.checks)


def verify(adapter: str | int | None = None) -> Verification:
    """Every kernel and the gradients against the f64 reference, on every GPU and on the CPU, as `upconv verify` does.

    `adapter` checks one alone: its number in `devices()`, or a part of its name; `"cpu"` is the CPU. Takes a
    minute and more for a GPU in software.

    Raises `DeviceError` for an adapter that is not there.
    """
    report = json.loads(_upconv.verify(None if adapter is None else str(adapter)))
    return Verification([Check(**row) for row in report["rows"]], report["broken"])
