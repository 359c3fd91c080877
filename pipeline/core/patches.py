"""Patches: the groups of features that are removed together."""

import math

import torch
from torch import Tensor

from pipeline.core.dataset import is_image

PATCH = 4  # pixels, height and width


def patches(input_shape: tuple[int, ...], side: int = PATCH) -> Tensor:
    """Which patch each feature belongs to, (*input_shape) int64, numbered from 0.

    Of images (channels, height, width), patches of `side` × `side` pixels through all channels,
    from the upper left, cut off at the other ends; of anything else, every feature is its own.
    """
    if not is_image(input_shape):
        return torch.arange(math.prod(input_shape)).view(input_shape)
    rows, columns = (torch.arange(length) // side for length in input_shape[1:])
    return (rows.unsqueeze(1) * (columns[-1] + 1) + columns).expand(input_shape)
