"""Initial weights moved by a rounding error: does a result depend on last bits?"""

import torch
from torch import nn

from pipeline.training.randomness import generator

RELATIVE = 1e-7  # float32 has a resolution of 1.2e-7


def jitter(model: nn.Module, seed: int) -> None:
    """Move every weight w to w (1 ± 1e-7), in place; the signs are drawn from `seed`."""
    draw = generator(seed, "jitter", 0, torch.device("cpu"))
    with torch.no_grad():
        for weight in model.parameters():
            signs = 2 * torch.randint(2, weight.shape, generator=draw) - 1
            weight.mul_(1 + RELATIVE * signs.double())
