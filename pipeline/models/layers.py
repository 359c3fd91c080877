"""Layers that run one model, or a whole bank of them, with the same code.

Weights may have leading model dimensions M (a bank has one); inputs then have them too. What
several models share, as the images that all are validated on, comes in expanded, with stride 0, and
is not copied: the columns of the first convolution are built once for all of them.

Convolutions are matrix products, and what they cost beside those is memory traffic. So images are
(*M, H, C, W, B): with the batch last, rows of examples move as a whole, and with the rows of an
image first, the rows that a kernel sees lie behind one another, and need no copy (`_Correlation`).
As grouped `torch.nn.functional.conv2d` a bank of such small models is slower, above all
differentiated twice.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from pipeline.core.arithmetic import add_product, multiply


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
    """``relu(max_pool2d(conv2d(x), 2))`` of x (*M, H, C, W, B); weights as `torch.nn.Conv2d`."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        height, _, width, batch = x.shape[-4:]
        size = self.weight.shape[-1]
        columns = _Unfold.apply(x, (width, size, 1))
        y = _Correlation.apply(_as_matrices(self.weight), columns, (height, size, 1))
        y = _MaxPool.apply(y.unflatten(-1, (-1, batch)))
        # The bias is the same for all that compete, and is added to fewer numbers after the pool.
        return F.relu(y + _per_channel(self.bias))


class TransposedConv2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` of x (*M, H, C, W, B)."""

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
        height, _, width, _ = x.shape[-4:]
        size, stride, padding = self.weight.shape[-1], self.stride[0], int(self.padding[0])
        rows, pixels = ((n - 1) * stride + size for n in (height, width))
        kernels = _as_matrices(self.weight)
        columns = _Transposed.apply(kernels, x.flatten(-2), (rows, size, stride))
        y = _Fold.apply(columns, (pixels, size, stride))
        if padding:
            y = y[..., padding:-padding, :, padding:-padding, :]
        return y + _per_channel(self.bias)


def _as_matrices(weight: Tensor) -> Tensor:
    """Weights (*M, O, C, k, k) as the kernels (*M, O, k·k·C) that `_Correlation` takes."""
    return weight.movedim(-3, -1).flatten(-3)


def images_first(x: Tensor) -> Tensor:
    """Images (*M, H, C, W, B), as the convolutions take them, to (*M, B, C, H, W)."""
    return x.movedim(-1, -4).transpose(-3, -2)


def rows_first(x: Tensor) -> Tensor:
    """Images (*M, B, C, H, W) to (*M, H, C, W, B), as the convolutions take them."""
    return x.transpose(-3, -2).movedim(-4, -1)


Axis = tuple[int, int, int]  # of an image, rows or columns: their number; kernel size; stride


def _places(axis: Axis) -> int:
    """How many places a kernel takes along `axis`."""
    length, size, stride = axis
    return (length - size) // stride + 1


class _Unfold(Function):
    """(*M, H, C, W, B) to (*M, H, k·C, w·B): for every row, what the columns of a kernel see."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: Axis) -> Tensor:
        ctx.axis = axis
        _, size, stride = axis
        models = x.shape[:-4]
        x = _distinct(x, len(models)).contiguous()
        height, channels, _, batch = x.shape[-4:]
        *outer, row, channel, pixel, one = x.stride()
        shape = (height, size, channels, _places(axis), batch)
        seen = (row, pixel, channel, stride * pixel, one)
        columns = _slots(x, x.shape[:-4], shape)
        columns.copy_(x.as_strided(columns.shape, (*outer, *seen)))
        columns = columns.flatten(-4, -3).flatten(-2)
        return columns.expand(*models, *columns.shape[-3:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Fold.apply(gradient, ctx.axis), None


class _Fold(Function):
    """Adjoint of `_Unfold`: columns (*M, H, k·C, w·B) added up to images (*M, H, C, W, B)."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, axis: Axis) -> Tensor:
        ctx.axis = axis
        width, size, stride = axis
        places = _places(axis)
        seen = columns.unflatten(-1, (places, -1)).unflatten(-3, (size, -1))
        *outer, _, channels, _, batch = seen.shape
        image = columns.new_zeros((*outer, channels, width, batch))
        for j in range(size):
            image[..., j : j + stride * (places - 1) + 1 : stride, :] += seen[..., j, :, :, :]
        return image

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Unfold.apply(gradient, ctx.axis), None


class _Correlation(Function):
    """Kernels (*M, O, k·k·C) on the columns (*M, H, k·C, w·B) of the rows: y (*M, h, O, w·B).

    The columns of the k rows that a kernel sees are, as they lie in memory, one matrix
    (k·k·C, w·B), which overlaps with the next: nothing is copied beyond `_Unfold`. ⟨y, g⟩ is linear
    in kernels, columns and g; its other two derivatives are `_Transposed` and `_KernelGradient`,
    and these three are one another's derivatives.
    """

    @staticmethod
    def forward(ctx: Any, kernels: Tensor, columns: Tensor, axis: Axis) -> Tensor:
        ctx.save_for_backward(kernels, columns)
        ctx.axis = axis
        models, shape = kernels.shape[:-2], (_places(axis), kernels.shape[-2], columns.shape[-1])
        y = _slots(columns, models, shape)
        for kernel, own, out in _each(models, _aligned(kernels, 2), _aligned(columns, 3), y):
            multiply(kernel, _windows(own, axis), out)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        kernels, columns = ctx.saved_tensors
        to_kernels, to_columns = _wanted(ctx, 0), _wanted(ctx, 1)
        return (
            _KernelGradient.apply(gradient, columns, ctx.axis) if to_kernels else None,
            _Transposed.apply(kernels, gradient, ctx.axis) if to_columns else None,
            None,
        )


class _Transposed(Function):
    """Kernels (*M, O, k·k·C), transposed, on g (*M, h, O, w·B): columns (*M, H, k·C, w·B)."""

    @staticmethod
    def forward(ctx: Any, kernels: Tensor, g: Tensor, axis: Axis) -> Tensor:
        ctx.save_for_backward(kernels, g)
        ctx.axis = axis
        models, (height, size, stride) = kernels.shape[:-2], axis
        area = kernels.shape[-1] // size
        columns = _slots(g, models, (height, area, g.shape[-1])).zero_()
        for kernel, own, out in _each(models, _aligned(kernels, 2), _aligned(g, 3), columns):
            for place, row in enumerate(own):
                seen = out[place * stride : place * stride + size].flatten(0, 1)
                add_product(kernel.mT, row, seen)
        return columns

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        kernels, g = ctx.saved_tensors
        to_kernels, to_g = _wanted(ctx, 0), _wanted(ctx, 1)
        return (
            _KernelGradient.apply(g, gradient, ctx.axis) if to_kernels else None,
            _Correlation.apply(kernels, gradient, ctx.axis) if to_g else None,
            None,
        )


class _KernelGradient(Function):
    """What `_Correlation` gives its kernels, of g (*M, h, O, w·B) and columns: (*M, O, k·k·C)."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, columns: Tensor, axis: Axis) -> Tensor:
        ctx.save_for_backward(g, columns)
        ctx.axis = axis
        models, area = g.shape[:-3], axis[1] * columns.shape[-2]
        kernels = g.new_empty((*models, g.shape[-2], area))
        for own_g, own, out in _each(models, _aligned(g, 3), _aligned(columns, 3), kernels):
            by_row = own.new_empty((len(own_g), *out.shape))
            torch.sum(multiply(own_g, _windows(own, axis).mT, by_row), 0, out=out)
        return kernels

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        g, columns = ctx.saved_tensors
        to_g, to_columns = _wanted(ctx, 0), _wanted(ctx, 1)
        return (
            _Correlation.apply(gradient, columns, ctx.axis) if to_g else None,
            _Transposed.apply(gradient, g, ctx.axis) if to_columns else None,
            None,
        )


def _wanted(ctx: Any, index: int) -> bool:
    """Whether the backward pass that runs goes on beyond input `index` of the Function of `ctx`.

    What needs a gradient some time does not always need it now: a VJP to x wants none of the
    weights', training none of x's. Autograd skips those of its own functions, but leaves it to
    others to ask.
    """
    if not ctx.needs_input_grad[index]:
        return False
    node = ctx.next_functions[index][0]
    is_leaf = node.name() == "torch::autograd::AccumulateGrad"  # of which one cannot ask
    return is_leaf or torch._C._will_engine_execute_node(node)


def _windows(columns: Tensor, axis: Axis) -> Tensor:
    """One model's columns (H, k·C, w·B) as the overlapping matrices (h, k·k·C, w·B) of k rows."""
    _, size, stride = axis
    _, area, places = columns.shape
    row, column, one = columns.stride()
    shape = (_places(axis), size * area, places)
    return columns.as_strided(shape, (stride * row, column, one))


def _each(models: torch.Size, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The tensors (*M, ...) of one model after the other."""
    for index in itertools.product(*map(range, models)):
        yield tuple(tensor[index] for tensor in tensors)


class _Product(Function):
    """Matrix product (*M, I, K) @ (*M, K, J) whose result for one model no other model can change.

    Its derivatives are such products again; torch's own compute some of them transposed, and then
    copy the largest matrices there are.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        models = a.shape[:-2]
        product = _slots(a, models, (a.shape[-2], b.shape[-1]))
        for own_a, own_b, out in _each(models, _matrices(a), _matrices(b), product):
            multiply(own_a, own_b, out)
        return product

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        return (
            _Product.apply(gradient, b.mT) if _wanted(ctx, 0) else None,
            _Product.apply(a.mT, gradient) if _wanted(ctx, 1) else None,
        )


def _matrices(x: Tensor) -> Tensor:
    """x (*M, I, J), aligned, as it is or transposed in memory."""
    return _aligned(x, 2) if x.stride(-1) == 1 else _aligned(x.mT, 2).mT


_ALIGNMENT = 64  # bytes, a cache line


def _slots(like: Tensor, models: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Uninitialised (*models, *shape), every model's own at a multiple of 64 bytes.

    BLAS takes other code paths, with other roundings, for matrices at other alignments. On equal
    ones, a cell's last bit does not depend on which slot of the bank it has.
    """
    step = _ALIGNMENT // like.element_size()
    slot = -(-math.prod(shape) // step) * step
    place = like.new_empty((*models, slot))
    return place[..., : math.prod(shape)].unflatten(-1, shape)


def _aligned(x: Tensor, own: int) -> Tensor:
    """x, whose last `own` dimensions are one model's, as if it came from `_slots`."""
    leading = range(x.ndim - own)
    contiguous = x[(0,) * len(leading)].is_contiguous()
    offsets = (x.data_ptr(), *(x.stride(dim) * x.element_size() for dim in leading))
    if contiguous and all(offset % _ALIGNMENT == 0 for offset in offsets):
        return x
    return _slots(x, x.shape[: len(leading)], x.shape[len(leading) :]).copy_(x)


class _MaxPool(Function):
    """2 × 2 maxima of (..., H, C, W, B); of equals the first gets the gradient, as in torch."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        ctx.size = y.shape[-4], y.shape[-2]
        left, right = _pairs(y, -2)
        upper, lower = _pairs(torch.maximum(left, right), -4)
        # 1 where the second of two is greater: as numbers, which multiply faster than truths.
        ctx.save_for_backward((right > left).to(y.dtype), (lower > upper).to(y.dtype))
        return torch.maximum(upper, lower)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Scatter.apply(gradient, *ctx.saved_tensors, ctx.size)


class _Scatter(Function):
    """Put pooled values (..., h, C, w, B) back where the maxima were, zeros elsewhere."""

    @staticmethod
    def forward(
        ctx: Any, pooled: Tensor, is_right: Tensor, is_lower: Tensor, size: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(is_right, is_lower)
        height, width = size
        *outer, _, channels, _, batch = pooled.shape
        rows = pooled.new_empty(is_right.shape)
        y = pooled.new_empty((*outer, height, channels, width, batch))
        if height % 2 or width % 2:
            y.zero_()
        _split(pooled, is_lower, *_pairs(rows, -4))
        _split(rows, is_right, *_pairs(y, -2))
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Gather.apply(gradient, *ctx.saved_tensors), None, None, None


class _Gather(Function):
    """Adjoint of `_Scatter`: the values of (..., H, C, W, B) at the places of the maxima."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, is_right: Tensor, is_lower: Tensor) -> Tensor:
        ctx.save_for_backward(is_right, is_lower)
        ctx.size = y.shape[-4], y.shape[-2]
        # Exact at weights 0 and 1.
        rows = torch.lerp(*_pairs(y, -2), is_right)
        return torch.lerp(*_pairs(rows, -4), is_lower)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Scatter.apply(gradient, *ctx.saved_tensors, ctx.size), None, None


def _pairs(y: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The first and the second of every two along `dim` (-4: rows, -2: columns); odd ends are out.

    Of images (..., H, C, W, B) only whole 2 × 2 windows: columns are of an even number of rows.
    """
    for axis in (-4, dim):
        y = y.narrow(axis, 0, y.shape[axis] // 2 * 2)
    first, second = y.unflatten(dim, (-1, 2)).unbind(dim)
    return first, second


def _split(values: Tensor, is_second: Tensor, first: Tensor, second: Tensor) -> None:
    """Write `values` into `second` where it is 1 and into `first` where 0, and zeros beside."""
    torch.mul(values, is_second, out=second)
    torch.sub(values, second, out=first)


def _per_channel(bias: Tensor | None) -> Tensor:
    """Biases (*M, C) for images (*M, H, C, W, B)."""
    assert bias is not None
    return bias[..., None, :, None, None]


def _distinct(x: Tensor, leading: int) -> Tensor:
    """x without the copies in its first `leading` dimensions: expanded ones become 1."""
    for dim in range(leading):
        if x.stride(dim) == 0:
            x = x.narrow(dim, 0, 1)
    return x
