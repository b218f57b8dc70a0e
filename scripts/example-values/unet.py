#!/usr/bin/env python3
"""Makes the weights, the inputs and the expected output of a small U-Net decoder, with PyTorch on the CPU.

    python3 scripts/example-values/unet.py OUT.safetensors

Stage i doubles the picture and halves the channels C, and takes `skips.i`:

    x = cat([conv_transpose(x, ups.i, stride 2), skips.i])     C/2 + C/2 channels
    x = relu(conv(x, convs1.i))                                C to C/2, 3x3, padding 1
    x = relu(conv(x, convs2.i))                                C/2 to C/2, 3x3, padding 1

It begins with `bottleneck`, and a 1x1 convolution, `last`, ends it. The weights and the inputs are random and F16.
`expected` is computed from these very values in float64 and rounded to F32.

It prints the standard deviation of `expected`, and by how much of that `expected` changes at least (root of the mean
square) when any one tensor is left out, or reversed.

Needs torch, numpy and safetensors from PyPI. examples/data/unet.safetensors was made with torch 2.15.0, numpy 2.4.6,
safetensors 0.8.0 and Python 3.11.
"""

import sys

import safetensors
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

SEED = 2
BATCH, CHANNELS, SIZE, STAGES, CLASSES = 2, 32, 8, 2, 3
CHANGES = {"left out": torch.zeros_like, "reversed": lambda tensor: tensor.flip(tuple(range(tensor.dim())))}


def make_tensors():
    """Random weights, of a size that keeps each layer's output at about its input's, biases and inputs."""
    tensors = {}

    def layer(name, shape, out, fan_in, gain):
        """A layer with bias: `out` channels, `fan_in` products per output value."""
        tensors[f"{name}.weight"] = (torch.randn(shape) * gain / fan_in**0.5).half()
        tensors[f"{name}.bias"] = (torch.randn(out) * 0.2).half()

    channels, size = CHANNELS, SIZE
    tensors["bottleneck"] = torch.randn(BATCH, channels, size, size).half()
    for i in range(STAGES):
        half, size = channels // 2, size * 2
        tensors[f"skips.{i}"] = torch.randn(BATCH, half, size, size).half()
        layer(f"ups.{i}", (channels, half, 2, 2), half, channels, 1.0)
        layer(f"convs1.{i}", (half, channels, 3, 3), half, channels * 9, 1.4)
        layer(f"convs2.{i}", (half, half, 3, 3), half, half * 9, 1.4)
        channels = half
    layer("last", (CLASSES, channels, 1, 1), CLASSES, channels, 1.0)
    return tensors


def decoder(tensors):
    t = {name: tensor.double() for name, tensor in tensors.items()}

    def conv(x, name):
        """A convolution that keeps the size."""
        return F.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"], padding="same")

    x = t["bottleneck"]
    for i in range(STAGES):
        up = F.conv_transpose2d(x, t[f"ups.{i}.weight"], t[f"ups.{i}.bias"], stride=2)
        x = torch.cat([up, t[f"skips.{i}"]], 1)
        x = F.relu(conv(x, f"convs1.{i}"))
        x = F.relu(conv(x, f"convs2.{i}"))
    return conv(x, "last")


def main():
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    tensors = make_tensors()
    expected = decoder(tensors)
    print(f"expected {tuple(expected.shape)}: std {expected.std():.3f}, largest {expected.abs().max():.3f}")
    for what, change in CHANGES.items():
        changes = {}
        for name, tensor in tensors.items():
            if not torch.equal(change(tensor), tensor):
                difference = decoder({**tensors, name: change(tensor)}) - expected
                changes[name] = (difference.square().mean().sqrt() / expected.std()).item()
        least = min(changes, key=changes.get)
        print(f"a tensor {what} changes it by {changes[least]:.3f} of that or more, the least is {least}")

    about = "A small U-Net decoder with random weights; expected was computed in float64. " \
        "Made by scripts/example-values/unet.py with " \
        f"torch {torch.__version__}, safetensors {safetensors.__version__}, seed {SEED}."
    # One key only: safetensors writes several in a random order.
    save_file({**tensors, "expected": expected.float()}, sys.argv[1], metadata={"description": about})


main()
