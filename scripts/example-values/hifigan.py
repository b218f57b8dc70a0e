#!/usr/bin/env python3
"""Makes the weights, the input and the expected output of a small HiFi-GAN generator, with PyTorch on the CPU.

    python3 scripts/example-values/hifigan.py OUT.safetensors

The generator is that of HiFi-GAN's V1 with fewer channels and two stages instead of four; its weights are random, and
named as in https://github.com/jik876/hifi-gan with the weight norm removed. All of them, and `input` (N, mel bands,
frames), are F16. `expected` (N, 1, samples) is computed from these very values in float64 and rounded to F32.

It prints the standard deviation of `expected`, and by how much of that `expected` changes at least (root of the mean
square) when any one tensor is left out, or reversed.

Needs torch, numpy and safetensors from PyPI. examples/data/hifigan.safetensors was made with torch 2.15.0, numpy 2.4.6,
safetensors 0.8.0 and Python 3.11.
"""

import sys

import safetensors
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

SEED = 3
MEL, FRAMES, CHANNELS = 80, 16, 32
UPSAMPLE = [(8, 16), (2, 4)]  # stride and kernel
KERNELS, DILATIONS = [3, 7, 11], [1, 3, 5]
CHANGES = {"left out": torch.zeros_like, "reversed": lambda tensor: tensor.flip(tuple(range(tensor.dim())))}


def make_tensors():
    """Random weights, of a size that keeps each layer's output at about its input's, and biases."""
    tensors = {}

    def layer(name, shape, fan_in, gain):
        """A layer with bias: `fan_in` products per output value."""
        tensors[f"{name}.weight"] = (torch.randn(shape) * gain / fan_in**0.5).half()
        channels = shape[1] if name.startswith("ups.") else shape[0]
        tensors[f"{name}.bias"] = (torch.randn(channels) * 0.2).half()

    layer("conv_pre", (CHANNELS, MEL, 7), MEL * 7, 1.0)
    channels = CHANNELS
    for i, (stride, kernel) in enumerate(UPSAMPLE):
        layer(f"ups.{i}", (channels, channels // 2, kernel), channels * kernel // stride, 1.4)
        channels //= 2
        for j, kernel in enumerate(KERNELS):
            for k in range(len(DILATIONS)):
                for convs in ("convs1", "convs2"):
                    name = f"resblocks.{i * len(KERNELS) + j}.{convs}.{k}"
                    layer(name, (channels, channels, kernel), channels * kernel, 0.9)
    layer("conv_post", (1, channels, 7), channels * 7, 0.6)
    tensors["input"] = torch.randn(2, MEL, FRAMES).half()
    return tensors


def generator(tensors):
    t = {name: tensor.double() for name, tensor in tensors.items()}

    def conv(x, name, dilation=1):
        """A convolution that keeps the length."""
        weight = t[f"{name}.weight"]
        return F.conv1d(x, weight, t[f"{name}.bias"], padding=dilation * (weight.shape[2] - 1) // 2, dilation=dilation)

    def resblock(x, name):
        for k, dilation in enumerate(DILATIONS):
            y = conv(F.leaky_relu(x, 0.1), f"{name}.convs1.{k}", dilation)
            x = x + conv(F.leaky_relu(y, 0.1), f"{name}.convs2.{k}")
        return x

    x = conv(t["input"], "conv_pre")
    for i, (stride, kernel) in enumerate(UPSAMPLE):
        x = F.leaky_relu(x, 0.1)
        x = F.conv_transpose1d(x, t[f"ups.{i}.weight"], t[f"ups.{i}.bias"], stride, padding=(kernel - stride) // 2)
        n = len(KERNELS)
        x = sum(resblock(x, f"resblocks.{i * n + j}") for j in range(n)) / n
    return torch.tanh(conv(F.leaky_relu(x, 0.01), "conv_post"))


def main():
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    tensors = make_tensors()
    expected = generator(tensors)
    print(f"expected {tuple(expected.shape)}: std {expected.std():.3f}, largest {expected.abs().max():.3f}")
    for what, change in CHANGES.items():
        changes = {}
        for name, tensor in tensors.items():
            if not torch.equal(change(tensor), tensor):
                difference = generator({**tensors, name: change(tensor)}) - expected
                changes[name] = (difference.square().mean().sqrt() / expected.std()).item()
        least = min(changes, key=changes.get)
        print(f"a tensor {what} changes it by {changes[least]:.3f} of that or more, the least is {least}")

    about = "A small HiFi-GAN generator with random weights; expected = tanh(...) in float64. Activations: " \
        "leaky_relu of 0.1, before conv_post 0.01. Made by scripts/example-values/hifigan.py with " \
        f"torch {torch.__version__}, safetensors {safetensors.__version__}, seed {SEED}."
    # One key only: safetensors writes several in a random order.
    save_file({**tensors, "expected": expected.float()}, sys.argv[1], metadata={"description": about})


main()
