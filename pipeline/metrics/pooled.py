"""Convolution and max-pooling as one layer: what its units have for kernels.

A unit of max-pooling has one of the convolution's kernels, shifted to a place of its window, or a
mixture of them. The places share most of their inputs, which the two layers one after another, each
enclosed by itself, forget.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.metrics.enclosures import ROUNDING, Enclosure, in_windows


def window_of(pooling: nn.MaxPool2d) -> int:
    """Height and width of its windows, which `enclose` has found to be squares side by side."""
    size = pooling.kernel_size
    assert isinstance(size, int)
    return size


def shifted_kernels(convolution: nn.Conv2d, size: int) -> Tensor:
    """The kernels at each place of a window of `size`, (size², outputs, inputs, side, side)."""
    weight, places = convolution.weight, range(size)
    margins = [(j, size - 1 - j, i, size - 1 - i) for i in places for j in places]
    return torch.stack([F.pad(weight, margin) for margin in margins])


def largest_differences(
    convolution: nn.Conv2d, before: Enclosure, after: Enclosure, size: int
) -> Tensor:
    """Upper bounds of z_i − z_j, for all pairs of places in windows of a convolution's output.

    By intervals of the differences of kernels, or of units: whichever are tighter.

    Parameters
    ----------
    before, after : enclosures of the convolution's input and output.

    Returns
    -------
    (B, outputs, rows, columns, size², size²), the place i before the place j.
    """
    kernels = shifted_kernels(convolution, size)
    apart = (kernels.unsqueeze(1) - kernels.unsqueeze(0)).flatten(0, 2)
    middle = F.conv2d((before.low + before.high) / 2, apart, stride=size)
    reach = before.at.abs() + torch.maximum(-before.low, before.high)
    radius = F.conv2d((before.high - before.low) / 2, apart.abs(), stride=size)
    pairs = (middle + radius).unflatten(1, (size**2, size**2, -1)).movedim((1, 2), (-2, -1))
    assert convolution.bias is not None
    errors = F.conv2d(reach, convolution.weight.abs(), convolution.bias.abs())
    at, low, high, error = (
        in_windows(t, size) for t in (after.at, after.low, after.high, ROUNDING * errors)
    )
    pairs = pairs + error.unsqueeze(-1) + error.unsqueeze(-2)
    change = torch.minimum(pairs, high.unsqueeze(-1) - low.unsqueeze(-2))
    return change + at.unsqueeze(-1) - at.unsqueeze(-2)


def through(rows: Tensor, kernels: Tensor, size: int, shape: torch.Size) -> Tensor:
    """Linear functions of the pooled units as functions of the convolution's input.

    Parameters
    ----------
    rows : (B, N, outputs, rows, columns)
    kernels : of each unit, (B, outputs, rows, columns, inputs, side, side).
    size : of the windows.
    shape : of the convolution's input, (inputs, height, width).

    Returns
    -------
    (B, N, *shape)
    """
    batch, count, _, height, width = rows.shape
    side = kernels.shape[-1]
    by_place = rows.permute(0, 3, 4, 1, 2).flatten(0, 2)
    parts = by_place @ kernels.permute(0, 2, 3, 1, 4, 5, 6).flatten(0, 2).flatten(2)
    parts = parts.unflatten(0, (batch, height * width)).permute(0, 2, 3, 1).flatten(0, 1)
    used = ((height - 1) * size + side, (width - 1) * size + side)
    images = F.fold(parts, used, side, stride=size)
    images = F.pad(images, (0, shape[2] - used[1], 0, shape[1] - used[0]))
    return images.unflatten(0, (batch, count))
