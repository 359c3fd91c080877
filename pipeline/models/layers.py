"""Layers that run one model, or a whole bank of them, with the same code.

Weights may have leading model dimensions M (in a bank: seeds × λ); inputs then have them too. What
several models share, above all their batch, comes in expanded, with stride 0, and is not copied:
the columns of the first convolution are built once for all models that see the same images.

Convolutions have the batch last, (*M, C, H, W, B), and are im2col and a batched matrix product. As
grouped `torch.nn.functional.conv2d` a bank of such small models is slower, above all differentiated
twice; with the batch last, im2col and its adjoint move whole rows of examples.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F


class Linear(nn.Linear):
    """`torch.nn.Linear` of x (*M, B, inputs)."""

    def forward(self, x: Tensor) -> Tensor:
        return _Product.apply(x, self.weight.mT) + self.bias.unsqueeze(-2)


class PerChannelLinear(nn.Module):
    """A linear map of its own for every channel: (*M, B, channels, inputs) to (..., outputs).

    Initialised like `torch.nn.Linear`.
    """

    def __init__(self, channels: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(channels, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        # Not a product of matrices: these are too small for one, see `_Product`.
        return (x.unsqueeze(-1) * self.weight.unsqueeze(-4)).sum(-2) + self.bias.unsqueeze(-3)


class PooledConv2d(nn.Conv2d):
    """``relu(max_pool2d(conv2d(x), 2))`` of x (*M, C, H, W, B); weights as `torch.nn.Conv2d`."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        height, width, batch = x.shape[-3:]
        size = self.weight.shape[-1]
        columns = _Im2col.apply(x, (height, width, size, 1))
        y = _Product.apply(self.weight.flatten(-3), columns)
        y = y.unflatten(-1, (height - size + 1, width - size + 1, batch))
        # The bias is the same for all that compete, and is added to fewer numbers after the pool.
        return F.relu(_MaxPool.apply(y) + _per_channel(self.bias))


class TransposedConv2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` of x (*M, C, H, W, B)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding)

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        height, width = x.shape[-3:-1]
        size, stride, padding = self.weight.shape[-1], self.stride[0], int(self.padding[0])
        columns = _Product.apply(self.weight.flatten(-3).mT, x.flatten(-3))
        image = ((height - 1) * stride + size, (width - 1) * stride + size)
        y = _Col2im.apply(columns, (*image, size, stride))
        if padding:
            y = y[..., padding:-padding, padding:-padding, :]
        return y + _per_channel(self.bias)


Geometry = tuple[int, int, int, int]  # height and width of the image; kernel size; stride


class _Im2col(Function):
    """(*M, C, H, W, B) to the columns (*M, C·k·k, h·w·B) that a kernel of size k sees."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, geometry: Geometry) -> Tensor:
        height, width, size, stride = ctx.geometry = geometry
        models, batch = x.shape[:-4], x.shape[-1]
        x = _distinct(x, x.ndim - 4).contiguous()
        rows, places = (height - size) // stride + 1, (width - size) // stride + 1
        *outer, line, pixel, one = x.stride()
        windows = x.as_strided(
            (*x.shape[:-3], size, size, rows, places, batch),
            (*outer, line, pixel, stride * line, stride * pixel, one),
        )
        columns = windows.flatten(-6, -4).flatten(-3)
        return columns.expand(*models, *columns.shape[-2:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Col2im.apply(gradient, ctx.geometry), None


class _Col2im(Function):
    """Adjoint of `_Im2col`: columns (*M, C·k·k, h·w·B) added up into images (*M, C, H, W, B)."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, geometry: Geometry) -> Tensor:
        height, width, size, stride = ctx.geometry = geometry
        rows, places = (height - size) // stride + 1, (width - size) // stride + 1
        windows = columns.unflatten(-1, (rows, places, -1)).unflatten(-4, (-1, size, size))
        *models, channels, _, _, _, _, batch = windows.shape
        image = columns.new_zeros((*models, channels, height, width, batch))
        for i in range(size):
            for j in range(size):
                down = slice(i, i + stride * (rows - 1) + 1, stride)
                right = slice(j, j + stride * (places - 1) + 1, stride)
                image[..., down, right, :] += windows[..., i, j, :, :, :]
        return image

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Im2col.apply(gradient, ctx.geometry), None


class _Product(Function):
    """Matrix product (*M, I, K) @ (*M, K, J) whose result for one model no other model can change.

    Its derivatives are such products again; torch's own compute some of them transposed, and then
    copy the largest matrices there are.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        if a.ndim == 2:
            return a @ b
        models = a.shape[:-2]
        product = torch.bmm(_aligned(a), _aligned(b))
        return product.unflatten(0, models)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        to_a, to_b = ctx.needs_input_grad
        return (
            _Product.apply(gradient, b.mT) if to_a else None,
            _Product.apply(a.mT, gradient) if to_b else None,
        )


_ALIGNMENT = 64  # bytes, a cache line


def _aligned(x: Tensor) -> Tensor:
    """x (*M, I, J) as (models, I, J), every model's matrix at a multiple of 64 bytes.

    BLAS takes other code paths, with other roundings, for matrices at other alignments. On equal
    ones, a cell's last bit does not depend on which slot of the bank it has.
    """
    x = x.flatten(0, -3)
    if x.stride(0) * x.element_size() % _ALIGNMENT == 0 and x.data_ptr() % _ALIGNMENT == 0:
        return x
    transposed = x.stride(-1) != 1
    x = x.mT if transposed else x
    models, rows, columns = x.shape
    step = _ALIGNMENT // x.element_size()
    slot = -(-rows * columns // step) * step
    padded = x.new_empty(models * slot).as_strided(x.shape, (slot, columns, 1))
    padded.copy_(x)
    return padded.mT if transposed else padded


class _MaxPool(Function):
    """2×2 maxima of (..., H, W, B); of equals the first gets the gradient, as in torch."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        a, b, c, d = _quarters(y)
        top, bottom = torch.maximum(a, b), torch.maximum(c, d)
        low = bottom > top
        winner = torch.where(low, (d > c).to(torch.uint8) + 2, (b > a).to(torch.uint8))
        ctx.save_for_backward(winner)
        ctx.size = y.shape[-3:-1]
        return torch.maximum(top, bottom)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (winner,) = ctx.saved_tensors
        return _Scatter.apply(gradient, winner, ctx.size)


class _Scatter(Function):
    """Put pooled values (..., h, w, B) back where the maxima were, zeros elsewhere."""

    @staticmethod
    def forward(ctx: Any, pooled: Tensor, winner: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(winner)
        y = pooled.new_empty((*pooled.shape[:-3], *size, pooled.shape[-1]))
        if size[0] % 2 or size[1] % 2:
            y.zero_()
        for index, quarter in enumerate(_quarters(y)):
            torch.mul(pooled, winner == index, out=quarter)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (winner,) = ctx.saved_tensors
        return _Gather.apply(gradient, winner), None, None


class _Gather(Function):
    """Adjoint of `_Scatter`: the values of (..., H, W, B) at the places of the maxima."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, winner: Tensor) -> Tensor:
        ctx.save_for_backward(winner)
        ctx.size = y.shape[-3:-1]
        a, b, c, d = _quarters(y)
        upper = torch.where(winner == 1, b, a)
        return torch.where(winner > 1, torch.where(winner == 3, d, c), upper)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (winner,) = ctx.saved_tensors
        return _Scatter.apply(gradient, winner, ctx.size), None


def _quarters(y: Tensor) -> list[Tensor]:
    """The four corners of all 2×2 windows of (..., H, W, B); an odd last row or column is out."""
    height, width = y.shape[-3] // 2 * 2, y.shape[-2] // 2 * 2
    return [y[..., i:height:2, j:width:2, :] for i in (0, 1) for j in (0, 1)]


def _per_channel(bias: Tensor | None) -> Tensor:
    assert bias is not None
    return bias[..., None, None, None]


def _distinct(x: Tensor, leading: int) -> Tensor:
    """x without the copies in its first `leading` dimensions: expanded ones become 1."""
    for dim in range(leading):
        if x.stride(dim) == 0:
            x = x.narrow(dim, 0, 1)
    return x
