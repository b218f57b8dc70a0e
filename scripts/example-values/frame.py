#!/usr/bin/env python3
"""Makes the picture that examples/frame.rs must present, with PyTorch on the CPU, in float64.

    python3 scripts/example-values/frame.py assets/waifu2x-photo.safetensors OUT.png

The scene is a disc, half transparent at its rim, on transparent red. On the left it is enlarged by 2 with PyTorch's
bicubic interpolation (Keys's, a = -0.5, as with antialias), its colours multiplied by alpha before and divided by it after;
on the right, laid over black, by the network, of which this evaluates each layer as PyTorch defines it. All of it in stored
values, the picture's outermost pixels replicated.

It prints how far the left half would be off without the multiplication by alpha.

Needs torch, numpy and safetensors from PyPI. examples/data/frame.png was made with torch 2.15.0, numpy 2.4.6, safetensors
0.8.0 and Python 3.11.
"""

import struct
import sys
import zlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

WIDTH, HEIGHT, BORDER = 32, 24, 8


def scene():
    """Straight RGBA, [4, HEIGHT, WIDTH], of whole numbers from 0 to 255: what the shader of the example computes."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    distance = (2 * x - 31) ** 2 + (2 * y - 23) ** 2
    inside, rim = distance < 256, distance < 484
    colours = [8 * x, 10 * y, 255 - 6 * (x ^ y)]
    red, green, blue = (torch.where(rim, colour, other) for colour, other in zip(colours, (255, 0, 0)))
    alpha = torch.where(inside, 255, torch.where(rim, 128, 0))
    return torch.stack([red, green, blue, alpha]).double()


def padded(planes, border):
    return F.pad(planes[None], [border] * 4, mode="replicate")


def bicubic(planes):
    """Beyond the border PyTorch leaves taps out; so it is far away, and cut off."""
    large = F.interpolate(padded(planes, BORDER), scale_factor=2, mode="bicubic", antialias=True, align_corners=False)
    return large[0, :, 2 * BORDER : -2 * BORDER, 2 * BORDER : -2 * BORDER]


def premultiplied_bicubic(planes):
    colours, alpha = planes[:3], planes[3:]
    large = bicubic(torch.cat([colours * alpha, alpha]))
    colours, alpha = large[:3], large[3:]
    return torch.cat([torch.where(alpha > 0, colours / alpha, 0.0), alpha])


def network(colours, tensors):
    x = padded(colours, 7)
    for n in range(1, 7):
        x = F.leaky_relu(F.conv2d(x, tensors[f"conv{n}.weight"], tensors[f"conv{n}.bias"]), 0.1)
    return F.conv_transpose2d(x, tensors["deconv.weight"], tensors["deconv.bias"], stride=2, padding=3)[0]


def to_bytes(planes):
    return (planes.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()


def write_png(path, pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + bytes(row.flatten().tolist()) for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header))
        file.write(chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


torch.set_num_threads(1)
model, out = sys.argv[1:]
tensors = {name: tensor.double() for name, tensor in load_file(model).items()}
planes = scene() / 255
left = to_bytes(premultiplied_bicubic(planes))
enlarged = network(planes[:3] * planes[3:], tensors)
right = to_bytes(torch.cat([enlarged, torch.ones_like(enlarged[:1])]))
assert left.shape == right.shape == (2 * HEIGHT, 2 * WIDTH, 4)
straight = to_bytes(bicubic(planes))
visible = (left[..., 3] > 0)[..., None]
print("without the multiplication:", ((straight.int() - left.int()).abs() * visible).max().item(), "of 255")
write_png(out, torch.cat([left, right], dim=1))
