"""A cell's randomness: all of it from its seed, none of it from λ or from its company.

Every stream of random numbers (batch order, noise) starts afresh at every epoch from a seed of its
own, so that an interrupted run needs no generator state to go on.
"""

import hashlib

import torch
from torch import Tensor


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
