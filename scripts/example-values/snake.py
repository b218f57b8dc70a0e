#!/usr/bin/env python3
"""Makes expected values of the activations SiLU, ELU and Snake, with PyTorch on the CPU.

    python3 scripts/example-values/snake.py OUT.safetensors

All tensors are F64, and all results are those of float64: `silu`, `elu_1` and `elu_0.5` (by ELU's alpha) at `points`,
and `snake`, y + sin(alpha y)^2 / alpha, with a row for each of `snake_alpha`. The points and the alphas are exact in
float32 too: zeros of both signs, tiny ones down to 1e-30, -12 to 12, and +-30 and +-100, where exp overflows in
float32. 3.7 as an alpha is the float32 next to it.

Needs torch, numpy and safetensors from PyPI. examples/data/snake.safetensors was made with torch 2.15.0, numpy 2.4.6,
safetensors 0.8.0 and Python 3.11.
"""

import sys

import safetensors
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.set_num_threads(1)
sizes = [0.0, 1e-30, 2.0**-24, 2.0**-14, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0]
sizes += [3.5, 4.0, 4.5, 5.0, 5.5, 6.25, 7.0, 7.75, 8.5, 9.25, 10.0, 11.0, 12.0, 30.0, 100.0]
points = torch.tensor([-size for size in reversed(sizes)] + sizes, dtype=torch.float32).double()
alphas = torch.tensor([0.5, 1.0, 3.7, 20.0], dtype=torch.float32).double()
column = alphas[:, None]

tensors = {
    "points": points,
    "silu": F.silu(points),
    "elu_1": F.elu(points),
    "elu_0.5": F.elu(points, alpha=0.5),
    "snake_alpha": alphas,
    "snake": points + torch.sin(column * points) ** 2 / column,
}
for name, tensor in tensors.items():
    print(f"{name} {tuple(tensor.shape)}: {tensor.min():.3f} to {tensor.max():.3f}")
about = "Activations in float64. Made by scripts/example-values/snake.py with " \
    f"torch {torch.__version__}, safetensors {safetensors.__version__}."
save_file(tensors, sys.argv[1], metadata={"description": about})
