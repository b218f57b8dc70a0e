"""Networks from files."""

from __future__ import annotations

import os
from typing import Any

from . import _upconv
from ._arrays import as_input

__all__ = ["Network"]


class Network:
    """A network with its weights on a device. May be run from many threads. `Network.load` makes one."""

    def __init__(self, network: _upconv.Network) -> None:
        self._network = network

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, bin: str | os.PathLike[str] | None = None, device: Any = "auto"
    ) -> Network:
        """Reads a network: `.onnx`, `.param` of ncnn with its weights in `bin` (by default the file beside it that ends in
        `.bin`), or `.safetensors` of this project. What a network may consist of is said in the library's documentation of
        `graph`; the picture that one of `.safetensors` reads has its border around it already.

        Raises `ValueError` for a file that is unsound, or has what is not read, by the name of the node; `OSError`;
        `DeviceError`.
        """
        return cls(_upconv.Network.load(path, bin, device))

    def run(self, *inputs: Any) -> Any:
        """The output, or a tuple of several, for arrays `[batch, channels, …]` of float16, bfloat16 or float32, one for
        each input; of the first one's type, computed in float32. Of DeviceArrays on the network's device they are
        DeviceArrays there.

        Raises `ValueError` for shapes that do not fit, `TypeError` for types, `DeviceError`, `MemoryError`.
        """
        outputs = self._network.run([as_input("input", input) for input in inputs])
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    __call__ = run

    @property
    def inputs(self) -> list[int]:
        """The channels of each input."""
        return self._network.inputs

    @property
    def outputs(self) -> list[int]:
        """The channels of each output."""
        return self._network.outputs

    @property
    def rank(self) -> int:
        """The axes behind the channels: 1, 2 or 3."""
        return self._network.rank

    @property
    def parameters(self) -> int:
        """The numbers in its weights and biases."""
        return self._network.parameters

    @property
    def device(self) -> _upconv.Device:
        """Where it is computed."""
        return self._network.device

    def output_shapes(self, *shapes: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The shapes of the outputs for these of the inputs. Raises `ValueError` for shapes that do not fit."""
        return [tuple(shape) for shape in self._network.output_shapes([list(shape) for shape in shapes])]
