#!/usr/bin/env python3
"""Adds upconv's description to a safetensors file of waifu2x's upconv_7, and changes nothing else.

    scripts/describe-waifu2x.py IN.safetensors OUT.safetensors

Made assets/waifu2x-photo.safetensors. The tensors keep their names, types, order and bytes.
"""

import json
import struct
import sys

given, made = sys.argv[1:]
with open(given, "rb") as file:
    content = file.read()
(length,) = struct.unpack("<Q", content[:8])
header = json.loads(content[8 : 8 + length])
data = content[8 + length :]

leaky = {"kind": "leaky_relu", "alpha": 0.1}
layers = [
    {"kind": "conv", "weight": f"conv{n}.weight", "bias": f"conv{n}.bias", "activation": leaky} for n in range(1, 7)
]
layers.append({"kind": "deconv", "weight": "deconv.weight", "bias": "deconv.bias", "stride": 2, "padding": 3})
description = {"version": 1, "scale": 2, "border": 7, "colour": "rgb", "layers": layers}
header["__metadata__"]["upconv"] = json.dumps(description, separators=(",", ":"))

text = json.dumps(header, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)
with open(made, "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
