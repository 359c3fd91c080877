"""Bounded memory: functions of examples, a model's predictions first, applied batch by batch."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from pipeline.core.kinds import kind_of
from pipeline.models.senn import logits

# On CPUs convolutions are fastest when a batch's activations stay in the cache: of MNIST, 100.
BATCH_SIZE = 100
_NUMBERS = BATCH_SIZE * 28 * 28
# Recurrent networks compute word by word: of few texts, calls would outweigh the arithmetic.
_NUMBERS_OF_TEXTS = 10 * _NUMBERS


def rows(numbers: int, x: Tensor) -> int:
    """How many rows of x to compute at once, at least one: as many as have `numbers` numbers.

    `capacity` of the device times as many.
    """
    return max(1, numbers * capacity(x.device) // max(1, x.shape[1:].numel()))


def capacity(device: torch.device) -> int:
    """How many times a CPU's batch a batch has there: a GPU's time goes into starting operations.

    By what an image of MNIST takes on a CPU, its metrics need some 3 GB then.
    """
    return 50 if device.type == "cuda" else 1


def at_once(images: int, x: Tensor) -> int:
    """How many inputs like those of x to compute at once: as many numbers as `images` of MNIST.

    No fewer than `images` on any device.
    """
    return max(images, rows(images * 28 * 28, x))


def in_batches(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """``function(*tensors)``, computed on slices of the first dimension and concatenated.

    `tensors` are of equal length. The result is detached, so that no batch's graph outlives it.
    """
    is_text = kind_of(tensors[0].shape[1:]) == "texts"
    size = max(BATCH_SIZE, rows(_NUMBERS_OF_TEXTS if is_text else _NUMBERS, tensors[0]))
    slices = zip(*(tensor.split(size) for tensor in tensors), strict=True)
    return torch.cat([function(*batch).detach() for batch in slices])


def all_logits(model: nn.Module, x: Tensor) -> Tensor:
    """Logits (N, C) of inputs (N, *input_shape)."""
    return in_batches(partial(logits, model), x)


def predict(model: nn.Module, x: Tensor) -> Tensor:
    """Predicted classes (N,) of inputs (N, *input_shape)."""
    return all_logits(model, x).argmax(1)
