#!/usr/bin/env python3
"""Makes the weights, the input and the expected output of a small DCGAN generator, with PyTorch on the CPU.

    python3 scripts/example-values/dcgan.py OUT.safetensors

The generator is that of PyTorch's DCGAN tutorial for pictures of 32x32 instead of 64x64, so with one stage less: a
transposed convolution of 4x4 and, but for the last, batch norm and ReLU; tanh ends it. The tensors are named as in the
tutorial's `nn.Sequential`, `main`: layers `main.0`, `main.3` and so on without biases, and behind each its batch norm
(`main.1`), as it was trained: `weight`, `bias`, `running_mean`, `running_var`. All of them, and `input` (N, latent, 1, 1),
are random and F16. `expected` (N, 3, 32, 32) is computed from these very values in float64 and rounded to F32.

It prints the standard deviation of `expected`, and by how much of that `expected` changes at least (root of the mean
square) when any one tensor is left out, or reversed.

Needs torch, numpy and safetensors from PyPI. examples/data/dcgan.safetensors was made with torch 2.15.0, numpy 2.4.6,
safetensors 0.8.0 and Python 3.11.
"""

import sys

import safetensors
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

SEED = 4
BATCH, CHANNELS = 3, [16, 32, 16, 8, 3]  # from the latent vector to the colours
KERNEL, EPSILON = 4, 1e-5
CHANGES = {"left out": torch.zeros_like, "reversed": lambda tensor: tensor.flip(tuple(range(tensor.dim())))}


def make_tensors():
    """Random weights, of a size that keeps each layer's output at about its input's, and statistics unlike its own."""
    tensors = {}
    for i, (inputs, outputs) in enumerate(zip(CHANNELS, CHANNELS[1:])):
        # An output has one tap of the only input, and later four: the kernel is twice the stride.
        fan_in = inputs * (1 if i == 0 else 4)
        tensors[f"main.{3 * i}.weight"] = torch.randn(inputs, outputs, KERNEL, KERNEL) * (1.4 / fan_in**0.5)
        if i + 2 < len(CHANNELS):
            norm = f"main.{3 * i + 1}"
            tensors[f"{norm}.weight"] = 1 + torch.randn(outputs) * 0.3
            tensors[f"{norm}.bias"] = torch.randn(outputs) * 0.3
            tensors[f"{norm}.running_mean"] = torch.randn(outputs) * 0.3
            tensors[f"{norm}.running_var"] = 0.5 + torch.rand(outputs) * 1.5
    tensors["input"] = torch.randn(BATCH, CHANNELS[0], 1, 1)
    return {name: tensor.half() for name, tensor in tensors.items()}


def generator(tensors):
    t = {name: tensor.double() for name, tensor in tensors.items()}
    x = t["input"]
    for i in range(len(CHANNELS) - 1):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        x = F.conv_transpose2d(x, t[f"main.{3 * i}.weight"], stride=stride, padding=padding)
        if i + 2 < len(CHANNELS):
            names = ("running_mean", "running_var", "weight", "bias")
            x = F.relu(F.batch_norm(x, *(t[f"main.{3 * i + 1}.{name}"] for name in names), eps=EPSILON))
    return torch.tanh(x)


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

    about = "A small DCGAN generator with random weights; expected = tanh(...) in float64. Batch norm with epsilon " \
        f"{EPSILON}. Made by scripts/example-values/dcgan.py with " \
        f"torch {torch.__version__}, safetensors {safetensors.__version__}, seed {SEED}."
    # One key only: safetensors writes several in a random order.
    save_file({**tensors, "expected": expected.float()}, sys.argv[1], metadata={"description": about})


main()
