"""Bounded memory: a function of examples, applied batch by batch."""

from collections.abc import Callable

import torch
from torch import Tensor

# On CPUs convolutions are fastest when a batch's activations stay in the cache: of MNIST, 100.
BATCH_SIZE = 100
_NUMBERS = BATCH_SIZE * 28 * 28


def in_batches(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """``function(*tensors)``, computed on slices of the first dimension and concatenated.

    `tensors` are of equal length. The result is detached, so that no batch's graph outlives it.
    """
    size = max(BATCH_SIZE, _NUMBERS // max(1, tensors[0][:1].numel()))
    slices = zip(*(tensor.split(size) for tensor in tensors), strict=True)
    return torch.cat([function(*batch).detach() for batch in slices])
