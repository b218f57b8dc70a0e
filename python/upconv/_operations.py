"""Descriptions of operations for the extension, from the arguments of the public functions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ._upconv import Operation

#: An int, or one for each spatial axis.
PerAxis = int | Sequence[int]
#: A name, or a mapping with the key `kind` and its parameters.
Activation = str | Mapping[str, Any] | None

LAYOUTS = {1: "NCW", 2: "NCHW", 3: "NCDHW"}


def activation_json(activation: Activation) -> str | None:
    """`"relu"`, `{"kind": "leaky_relu", "alpha": 0.1}` or None as JSON or None."""
    if activation is None:
        return None
    if isinstance(activation, str):
        return json.dumps({"kind": activation})
    if isinstance(activation, Mapping):
        return _json("activation", dict(activation))
    raise TypeError(f"activation is a {type(activation).__name__}, expected a str, a mapping or None")


def transposed(
    rank: int,
    stride: PerAxis,
    padding: PerAxis,
    output_padding: PerAxis,
    groups: int,
    dilation: PerAxis,
    layout: str,
    activation: Activation,
    accuracy: str,
    output_size: PerAxis | None,
) -> Operation:
    """A transposed convolution."""
    given = (stride, padding, output_padding, groups, dilation, layout, activation_json(activation), accuracy, output_size)
    try:
        return _transposed(rank, *given)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return Operation.transposed(rank, *given)


def ordinary(
    rank: int,
    stride: PerAxis,
    padding: PerAxis | str,
    dilation: PerAxis,
    groups: int,
    layout: str,
    activation: Activation,
    accuracy: str,
) -> Operation:
    """An ordinary convolution."""
    return Operation.ordinary(rank, stride, padding, dilation, groups, layout, activation_json(activation), accuracy)


# What is called in a loop has the same arguments each time. Types are part of the key: True is not 1.
_transposed = lru_cache(maxsize=256, typed=True)(Operation.transposed)


def described(convention: str | None, keywords: Mapping[str, Any], lenient: bool) -> Operation:
    """A transposed convolution in the words of a framework: the keys of the library's JSON dialect."""
    keys = dict(keywords) if convention is None else {"convention": convention, **keywords}
    if isinstance(keys.get("activation"), str):
        keys["activation"] = {"kind": keys["activation"]}
    return Operation.described(_json("the description", keys), lenient)


def _json(what: str, keys: dict[str, Any]) -> str:
    def plain(value: Any) -> Any:
        if hasattr(value, "tolist"):  # NumPy's numbers and arrays
            return value.tolist()
        raise TypeError(f"{what} has a {type(value).__name__}, expected numbers, texts and sequences of them")

    return json.dumps(keys, default=plain)
