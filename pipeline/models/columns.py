"""Convolutions as products with unfolded images, in torch's operations alone.

`torch.func` can vectorise them over models, and differentiate them as often as one likes, so that a
GPU computes a bank by a few large kernels. cuDNN is no help there: it takes the groups that vmap
makes of the models one by one, and takes the second derivative's weight gradients for convolutions
with kernels as large as the image, which cost 94 % of an exact step on an H200.

`_Im2Col` and `_Col2Im` are linear, and adjoint to each other.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """``conv2d(x, weight)`` of x (B, C, H, W)."""
    size = weight.shape[-1]
    height, width = (length - size + 1 for length in x.shape[-2:])
    columns = _Im2Col.apply(x, size, 1)
    kernels = _for_each(x, weight.flatten(1))
    return torch.bmm(kernels, columns).unflatten(-1, (height, width))


def convolve_transposed(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """``conv_transpose2d(x, weight, stride=stride, padding=padding)`` of x (B, C, H, W)."""
    size = weight.shape[-1]
    height, width = ((length - 1) * stride + size for length in x.shape[-2:])
    kernels = _for_each(x, weight.flatten(1).mT)
    columns = torch.bmm(kernels, x.flatten(2))
    y: Tensor = _Col2Im.apply(columns, (height, width), size, stride)
    return y[..., padding : height - padding, padding : width - padding]


def max_pool(y: Tensor) -> Tensor:
    """``max_pool2d(y, 2)`` of y (B, C, H, W), whose derivatives need no copies of y."""
    _, places = F.max_pool2d(y.detach(), 2, return_indices=True)
    return y.flatten(2).gather(2, places.flatten(2)).unflatten(2, places.shape[2:])


def _for_each(x: Tensor, matrix: Tensor) -> Tensor:
    """Copies of a matrix, (B, I, J): vmap would make them again for every product."""
    return matrix.expand(len(x), -1, -1).contiguous()


class _Im2Col(Function):
    """The windows of images (..., C, H, W) as columns (..., C·k·k, h·w)."""

    @staticmethod
    def forward(x: Tensor, size: int, stride: int) -> Tensor:
        windows = x.unfold(-2, size, stride).unfold(-2, size, stride)  # (..., C, h, w, k, k)
        return windows.movedim((-2, -1), (-4, -3)).flatten(-5, -3).flatten(-2)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        x, ctx.size, ctx.stride = inputs
        ctx.image = tuple(x.shape[-2:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Col2Im.apply(gradient, ctx.image, ctx.size, ctx.stride), None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, size: int, stride: int) -> tuple[Tensor, int]:
        return _Im2Col.apply(x.movedim(in_dims[0], 0), size, stride), 0


class _Col2Im(Function):
    """Adjoint of `_Im2Col`: columns (..., C·k·k, h·w), added up where they came from."""

    @staticmethod
    def forward(columns: Tensor, image: tuple[int, int], size: int, stride: int) -> Tensor:
        add_up = _shifted_sum if stride == 1 else partial(F.fold, stride=stride)
        images = add_up(columns.flatten(0, -3), image, size)
        return images.unflatten(0, columns.shape[:-2])

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        _, _, ctx.size, ctx.stride = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Im2Col.apply(gradient, ctx.size, ctx.stride), None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, columns: Tensor, image: tuple[int, int], size: int, stride: int
    ) -> tuple[Tensor, int]:
        return _Col2Im.apply(columns.movedim(in_dims[0], 0), image, size, stride), 0


def _shifted_sum(columns: Tensor, image: tuple[int, int], size: int) -> Tensor:
    """``F.fold(columns, image, size)`` of columns (N, C·k·k, h·w), which a GPU does at leisure.

    Every kernel position has a plane (h, w), which is due i rows lower and j columns further right.
    Once zeros below and beside it make it an (H, W), "i up and j to the left" is a fixed number of
    places back, as any other index is; what lies outside is a zero, of this plane or the last.
    """
    height, width = image
    planes = columns.reshape(-1, size, size, height - size + 1, width - size + 1)
    more = size - 1
    planes = F.pad(planes, (0, more, 0, more, 0, 0, 0, 0, 1, 0))  # and zeros before the first
    area, row = height * width, width
    strides = (size * size * area, size * area - row, area - 1, row, 1)
    shifted = planes.as_strided((len(planes) - 1, size, size, *image), strides, strides[0])
    return shifted.sum((1, 2)).unflatten(0, (len(columns), -1))
