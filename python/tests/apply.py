"""Runs cases of the conformance suite, or any in its form, through the package: a line `FOLDER<TAB>OUT` for each.

    apply.py LIST --device cpu [--lenient]            folders with case.json, x.npy, w.npy, perhaps b.npy; writes OUT
    apply.py LIST --device cpu --gradients            and dy.npy; writes OUT.dx.npy, OUT.dw.npy, OUT.db.npy

What is refused writes OUT.err with the reason. An exception that is none of the package's ends the run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import upconv

ARRAYS = {"input": "x.npy", "weight": "w.npy", "bias": "b.npy"}


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A case's keywords and its arrays."""
    keywords = json.loads((folder / "case.json").read_text())
    keywords.pop("bias", None)  # whether there is one, which its file says; here it is the array's name
    arrays = {what: np.load(folder / name) for what, name in ARRAYS.items() if (folder / name).exists()}
    return keywords, arrays


def forward(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The output by the suffix of its file."""
    keywords, arrays = read(folder)
    return {"": upconv.conv_transpose(**arrays, **options, **keywords)}


def backward(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The gradients by the suffix of their files."""
    keywords, arrays = read(folder)
    gradients = upconv.conv_transpose_backward(np.load(folder / "dy.npy"), **arrays, **options, **keywords)
    return dict(zip([".dx.npy", ".dw.npy", ".db.npy"], gradients, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--gradients", action="store_true")
    parser.add_argument("--lenient", action="store_true")
    args = parser.parse_args()
    options = {"device": args.device, "lenient": args.lenient}
    for line in args.list.read_text().splitlines():
        folder, out = line.split("\t")
        try:
            results = (backward if args.gradients else forward)(Path(folder), options)
        except (ValueError, TypeError, MemoryError, upconv.DeviceError) as error:
            Path(out + ".err").write_text(f"{type(error).__name__}: {error}\n")
            continue
        for suffix, array in results.items():
            with open(out + suffix, "wb") as file:
                np.save(file, array)
    return 0


if __name__ == "__main__":
    sys.exit(main())
