"""A cell's randomness: all of it from its seed, none of it from λ or from its company.

Every stream of random numbers (batch order, noise) starts afresh at every epoch from a seed of its
own, so that an interrupted run needs no generator state to go on.
"""

import hashlib

import torch
from torch import Tensor, nn

RELATIVE = 1e-7  # of a jitter; float32 has a resolution of 1.2e-7


def generator(seed: int, stream: str, epoch: int, device: torch.device) -> torch.Generator:
    """Generator on `device` for one `stream` of a seed's randomness in one epoch."""
    digest = hashlib.sha256(f"{seed}/{stream}/{epoch}".encode()).digest()
    state = int.from_bytes(digest[:8], "little", signed=True)
    return torch.Generator(device).manual_seed(state)


def batch_order(seed: int, epoch: int, examples: int, batch_size: int) -> Tensor:
    """Indices of an epoch's shuffled batches, (steps, batch_size), on the CPU on every device kind.

    Training drops the last, incomplete batch, as published; every epoch shuffles anew.
    """
    steps = examples // batch_size
    shuffle = generator(seed, "order", epoch, torch.device("cpu"))
    return torch.randperm(examples, generator=shuffle)[: steps * batch_size].view(steps, batch_size)


def jitter(model: nn.Module, seed: int) -> None:
    """Move every weight w to w (1 ± 1e-7), in place: does a result depend on last bits?

    The signs are drawn from `seed`.
    """
    draw = generator(seed, "jitter", 0, torch.device("cpu"))
    with torch.no_grad():
        for weight in model.parameters():
            signs = 2 * torch.randint(2, weight.shape, generator=draw) - 1
            weight.mul_(1 + RELATIVE * signs.double())
