"""Layers of the networks, with the weights, shapes and results of ``torch.nn``'s, run in two ways.

*Plain*, they are torch's own operations (`columns`): for a GPU, and for ``torch.func``, whose vmap
makes a bank of one model. Otherwise they compute the same by matrix products of OpenBLAS, which
round alike on all processors (`core.portable`) and take half the time of torch's convolutions,
above all differentiated twice. `plain` chooses.

To trust the second way, read it like this. A layer is a few `Function`s; each is linear, or
bilinear, and its derivative is another of them, so that they can be differentiated as often as one
likes: `_unfold` and `_fold` are adjoint to each other, as `_scatter` and `_gather` are, and
⟨`_Correlation`(kernels, columns), g⟩ is trilinear, with `_Transposed` and `_KernelGradient` for its
other derivatives. tests/models/test_layers.py compares values, first and second derivatives with
``torch.nn.functional``, in float64, with and without ties.

What convolutions cost beside products is memory traffic. So images (B, C, H, W) are stored as (H,
C, W, B): with the batch last, rows of examples move as a whole, and with the rows of an image
first, the rows that a kernel sees lie behind one another, and need no copy (`_Correlation`).
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from pipeline.core.arithmetic import add_product, multiply
from pipeline.models.columns import convolve, convolve_transposed, max_pool

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Axis = tuple[int, int, int]  # of an image, rows or columns: their number; kernel size; stride


def plain(model: ModuleT, is_plain: bool = True) -> ModuleT:
    """`model`, all of whose layers are from now on torch's own operations, or no longer."""
    layer: Any
    for layer in model.modules():
        if hasattr(layer, "is_plain"):
            layer.is_plain = is_plain
    return model


def placed(model: ModuleT, device: torch.device) -> ModuleT:
    """`model`, moved to `device`, its layers `plain` on a GPU."""
    return plain(model.to(device), device.type == "cuda")


def product(a: Tensor, b: Tensor, is_plain: bool) -> Tensor:
    """a @ b, of matrices (..., I, K) and (..., K, J)."""
    if is_plain:
        return a @ b
    result: Tensor = _Product.apply(a, b)
    return result


class Linear(nn.Linear):
    """`torch.nn.Linear` of x (B, inputs)."""

    is_plain = False

    def forward(self, x: Tensor) -> Tensor:
        if self.is_plain:
            return super().forward(x)
        return product(x, self.weight.mT, False) + self.bias


class PerChannelLinear(nn.Module):
    """A linear map of its own for every channel: (B, channels, inputs) to (B, channels, outputs).

    Initialised like `torch.nn.Linear`. With `channels` 1 the same map serves any number of them.
    """

    def __init__(self, channels: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(channels, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        # Too small for products of matrices.
        return (x.unsqueeze(-1) * self.weight).sum(-2) + self.bias


class PooledConv2d(nn.Conv2d):
    """``relu(max_pool2d(conv2d(x), 2))`` of x (B, C, H, W); weights as `torch.nn.Conv2d`.

    It supports no stride, padding, dilation or groups.
    """

    is_plain = False

    def forward(self, x: Tensor) -> Tensor:
        if self.is_plain:
            return F.relu(max_pool(convolve(x, self.weight)) + _per_channel(self.bias))
        x = _rows_first(x)
        height, _, width, batch = x.shape
        size = self.weight.shape[-1]
        columns = _LinearMap.apply(x, _unfold, _fold, (width, size, 1))
        y = _Correlation.apply(_as_matrix(self.weight), columns, (height, size, 1))
        y = _MaxPool.apply(y.unflatten(-1, (-1, batch)))
        # The bias is the same for all that compete, and is added to fewer numbers after the pool.
        return _images(F.relu(y + _per_channel(self.bias)))


class TransposedConv2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` of x (B, C, H, W); it supports no dilation or groups."""

    is_plain = False

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        size, stride, padding = self.weight.shape[-1], self.stride[0], int(self.padding[0])
        if self.is_plain:
            y = convolve_transposed(x, self.weight, stride, padding)
            return y + _per_channel(self.bias)
        x = _rows_first(x)
        height, _, width, _ = x.shape
        rows, pixels = ((n - 1) * stride + size for n in (height, width))
        columns = _Transposed.apply(_as_matrix(self.weight), x.flatten(-2), (rows, size, stride))
        y = _LinearMap.apply(columns, _fold, _unfold, (pixels, size, stride))
        if padding:
            y = y[padding:-padding, :, padding:-padding, :]
        return _images(y + _per_channel(self.bias))


def _as_matrix(weight: Tensor) -> Tensor:
    """Weights (O, C, k, k) as the kernels (O, k·k·C) that `_Correlation` takes."""
    return weight.movedim(-3, -1).flatten(-3)


def _rows_first(x: Tensor) -> Tensor:
    """Images (B, C, H, W), whatever their memory is like, as (H, C, W, B)."""
    return x.permute(2, 1, 3, 0)


def _images(x: Tensor) -> Tensor:
    """(H, C, W, B) as images (B, C, H, W), without moving anything."""
    return x.permute(3, 1, 0, 2)


def _per_channel(bias: Tensor | None) -> Tensor:
    """Biases (C,) for images (H, C, W, B), or (B, C, H, W)."""
    assert bias is not None
    return bias[:, None, None]


def _places(axis: Axis) -> int:
    """How many places a kernel takes along `axis`."""
    length, size, stride = axis
    return (length - size) // stride + 1


def _wanted(ctx: Any, index: int) -> bool:
    """Whether the backward pass that runs goes on beyond input `index` of the Function of `ctx`.

    What needs a gradient some time does not always need it now: a VJP to x wants none of the
    weights', training none of x's. Autograd skips those of its own functions; others have to ask,
    and where torch cannot be asked, compute what is then thrown away.
    """
    if not ctx.needs_input_grad[index]:
        return False
    node = ctx.next_functions[index][0]
    is_leaf = node.name() == "torch::autograd::AccumulateGrad"  # of which one cannot ask
    ask = getattr(torch._C, "_will_engine_execute_node", None)
    return is_leaf or ask is None or ask(node)


class _Product(Function):
    """Matrix products (..., I, K) @ (..., K, J). Its derivatives are such products again."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return multiply(a, b, a.new_empty(*a.shape[:-1], b.shape[-1]))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        return (
            _Product.apply(gradient, b.mT) if _wanted(ctx, 0) else None,
            _Product.apply(a.mT, gradient) if _wanted(ctx, 1) else None,
        )


class _LinearMap(Function):
    """``function(x, *settings)``, linear in x, with the derivative ``adjoint(·, *settings)``.

    Tensors among the settings need no gradient and are never written to, so `ctx` may hold them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        function: Callable[..., Tensor],
        adjoint: Callable[..., Tensor],
        *settings: Any,
    ) -> Tensor:
        ctx.maps = adjoint, function, *settings
        return function(x, *settings)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _LinearMap.apply(gradient, *ctx.maps), *(None for _ in ctx.maps)


def _unfold(x: Tensor, axis: Axis) -> Tensor:
    """(H, C, W, B) to (H, k·C, w·B): for every row, what the columns of a kernel see."""
    _, size, stride = axis
    x = x.contiguous()
    height, channels, _, batch = x.shape
    row, channel, pixel, one = x.stride()
    shape = (height, size, channels, _places(axis), batch)
    seen = x.as_strided(shape, (row, pixel, channel, stride * pixel, one))
    return seen.reshape(height, size * channels, -1)


def _fold(columns: Tensor, axis: Axis) -> Tensor:
    """Adjoint of `_unfold`: columns (H, k·C, w·B) added up to images (H, C, W, B)."""
    width, size, stride = axis
    places = _places(axis)
    seen = columns.unflatten(-1, (places, -1)).unflatten(-3, (size, -1))
    height, _, channels, _, batch = seen.shape
    image = columns.new_zeros((height, channels, width, batch))
    for j in range(size):
        image[..., j : j + stride * (places - 1) + 1 : stride, :] += seen[:, j]
    return image


class _Correlation(Function):
    """Kernels (O, k·k·C) on the columns (H, k·C, w·B) of the rows: y (h, O, w·B).

    The columns of the k rows that a kernel sees are, as they lie in memory, one matrix
    (k·k·C, w·B), which overlaps with the next: nothing is copied beyond `_unfold`.
    """

    @staticmethod
    def forward(ctx: Any, kernels: Tensor, columns: Tensor, axis: Axis) -> Tensor:
        ctx.save_for_backward(kernels, columns)
        ctx.axis = axis
        y = columns.new_empty(_places(axis), kernels.shape[0], columns.shape[-1])
        return multiply(kernels.contiguous(), _windows(columns, axis), y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        kernels, columns = ctx.saved_tensors
        return (
            _KernelGradient.apply(gradient, columns, ctx.axis) if _wanted(ctx, 0) else None,
            _Transposed.apply(kernels, gradient, ctx.axis) if _wanted(ctx, 1) else None,
            None,
        )


class _Transposed(Function):
    """Kernels (O, k·k·C), transposed, on g (h, O, w·B): columns (H, k·C, w·B)."""

    @staticmethod
    def forward(ctx: Any, kernels: Tensor, g: Tensor, axis: Axis) -> Tensor:
        ctx.save_for_backward(kernels, g)
        ctx.axis = axis
        height, size, stride = axis
        transposed, g = kernels.contiguous().mT, g.contiguous()
        columns = g.new_zeros(height, kernels.shape[-1] // size, g.shape[-1])
        for place, row in enumerate(g):
            seen = columns[place * stride : place * stride + size].flatten(0, 1)
            add_product(transposed, row, seen)
        return columns

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        kernels, g = ctx.saved_tensors
        return (
            _KernelGradient.apply(g, gradient, ctx.axis) if _wanted(ctx, 0) else None,
            _Correlation.apply(kernels, gradient, ctx.axis) if _wanted(ctx, 1) else None,
            None,
        )


class _KernelGradient(Function):
    """What `_Correlation` gives its kernels, of g (h, O, w·B) and columns: (O, k·k·C)."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, columns: Tensor, axis: Axis) -> Tensor:
        ctx.save_for_backward(g, columns)
        ctx.axis = axis
        windows, g = _windows(columns, axis), g.contiguous()
        by_row = g.new_empty(len(g), g.shape[1], windows.shape[1])
        return multiply(g, windows.mT, by_row).sum(0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        g, columns = ctx.saved_tensors
        return (
            _Correlation.apply(gradient, columns, ctx.axis) if _wanted(ctx, 0) else None,
            _Transposed.apply(gradient, g, ctx.axis) if _wanted(ctx, 1) else None,
            None,
        )


def _windows(columns: Tensor, axis: Axis) -> Tensor:
    """The columns (H, k·C, w·B) as the overlapping matrices (h, k·k·C, w·B) of k rows."""
    _, size, stride = axis
    columns = columns.contiguous()
    _, area, places = columns.shape
    row, column, one = columns.stride()
    shape = (_places(axis), size * area, places)
    return columns.as_strided(shape, (stride * row, column, one))


class _MaxPool(Function):
    """2 × 2 maxima of (H, C, W, B); of equals the first gets the gradient, as in torch."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        ctx.size = y.shape[0], y.shape[2]
        left, right = _pairs(y, 2)
        upper, lower = _pairs(torch.maximum(left, right), 0)
        # 1 where the second of two is greater, as numbers: they multiply faster than booleans.
        ctx.save_for_backward((right > left).to(y.dtype), (lower > upper).to(y.dtype))
        return torch.maximum(upper, lower)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _LinearMap.apply(gradient, _scatter, _gather, *ctx.saved_tensors, ctx.size)


def _scatter(pooled: Tensor, is_right: Tensor, is_lower: Tensor, size: tuple[int, int]) -> Tensor:
    """Put pooled values (h, C, w, B) back where the maxima were, zeros elsewhere."""
    height, width = size
    _, channels, _, batch = pooled.shape
    rows = pooled.new_empty(is_right.shape)
    y = pooled.new_empty(height, channels, width, batch)
    if height % 2 or width % 2:
        y.zero_()
    _split(pooled, is_lower, *_pairs(rows, 0))
    _split(rows, is_right, *_pairs(y, 2))
    return y


def _gather(y: Tensor, is_right: Tensor, is_lower: Tensor, size: tuple[int, int]) -> Tensor:
    """Adjoint of `_scatter`, whose `size` it takes: values of (H, C, W, B) at the maxima."""
    # Exact at weights 0 and 1.
    rows = torch.lerp(*_pairs(y, 2), is_right)
    return torch.lerp(*_pairs(rows, 0), is_lower)


def _pairs(y: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The first and the second of every two along `dim` (0: rows, 2: columns); odd ends are out.

    Of images (H, C, W, B) only whole 2 × 2 windows: columns are of an even number of rows.
    """
    for axis in (0, dim):
        y = y.narrow(axis, 0, y.shape[axis] // 2 * 2)
    first, second = y.unflatten(dim, (-1, 2)).unbind(dim + 1)
    return first, second


def _split(values: Tensor, is_second: Tensor, first: Tensor, second: Tensor) -> None:
    """Write `values` into `second` where it is 1 and into `first` where 0, and zeros beside."""
    torch.mul(values, is_second, out=second)
    torch.sub(values, second, out=first)
