r"""How much a network's output can change between an anchor and the points of a box: enclosures.

For an anchor x and every x' of the box around it, the change of the output is a product of matrices

    e(x') − e(x) = A_n ⋯ A_1 (x' − x).

A linear layer's A is its own matrix. An activation's is diagonal, with the *secant slopes*
(σ(z') − σ(z)) / (z' − z). Max-pooling's has weights ≥ 0 of those inputs that can be the maximum;
in every window they add up to 1 (mean value theorem). Interval arithmetic encloses z' − z layer by
layer, hence slopes and weights, hence the product, from the left: the bound of Weng et al. 2018
(Fast-Lip), with secants from the anchor, which lie closer together than derivatives, and for
max-pooling and tanh too. As x' → x the product becomes the Jacobian, which is enclosed with them.

In float64, and rigorous in the standard model of its rounding (Higham 2002, section 3.1): every
linear layer's result is widened by more than the rounding errors of its sums.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.core.arithmetic import square_root
from pipeline.core.errors import PipelineError

ROUNDING = 1e-12  # of sums of up to 4000 products in float64, and of what is between them


class Enclosure(NamedTuple):
    """An activation over the box: its value `at` the anchor, and bounds of its change from there.

    Each (B, *shape); `low` ≤ 0 ≤ `high`.
    """

    at: Tensor
    low: Tensor
    high: Tensor

    def reach(self) -> Tensor:
        """No value is larger, up to its sign."""
        return self.at.abs() + torch.maximum(-self.low, self.high)


class IntervalMatrix(NamedTuple):
    """All matrices (B, K, *shape) that differ from `centre` by at most `radius`, elementwise."""

    centre: Tensor
    radius: Tensor

    def spread(self) -> Tensor:
        """`radius`, and more than the rounding errors of a product."""
        return self.radius + ROUNDING * (self.centre.abs() + self.radius)

    def norm(self) -> Tensor:
        """A bound on the spectral norm of each, (B,)."""
        centre, radius = self.centre.flatten(2), self.radius.flatten(2)
        apart = _spectral_norm(centre) + _spectral_norm(radius)
        return torch.minimum(apart, _spectral_norm(centre.abs() + radius))

    def chooses(self) -> bool:
        """Whether each row is a number times an output, and no two rows are of the same output."""
        chosen = self.centre.flatten(2) != 0
        alone = all(bool((chosen.sum(axis) <= 1).all()) for axis in (1, 2))
        return alone and not self.radius.any()


class Link(NamedTuple):
    """What a layer does to changes.

    `pull` multiplies an interval matrix (B, K, *outputs) by the layer's A from the right, which
    gives (B, K, *inputs); `norm` bounds A's spectral norm, a number or (B,). Of an activation,
    whose A is diagonal, `most` has the largest numbers that it may have, (B, *outputs).
    """

    pull: Callable[[IntervalMatrix], IntervalMatrix]
    norm: Tensor
    most: Tensor | None = None


def enclose(layer: nn.Module, over: Enclosure, from_anchor: bool = True) -> tuple[Enclosure, Link]:
    """Enclose the layer's output over the box, given its input's, and the change it makes.

    The link is of changes from the anchor; or, if not `from_anchor`, of those between any two
    points of the box, and of derivatives at any.

    Raises
    ------
    PipelineError
        If the layer is of a kind that is not known here.
    """
    match layer:
        case nn.Linear():
            return _linear(layer, over)
        case nn.Conv2d(stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
            return _convolution(layer, over)
        case nn.ReLU():
            slopes = _relu_slopes if from_anchor else relu_derivatives
            return _activation(torch.relu, over, *slopes(over))
        case nn.Tanh():
            return _activation(torch.tanh, over, *_tanh_slopes(over))
        case nn.MaxPool2d(kernel_size=int(size), stride=int(step), padding=0) if size == step:
            return _max_pool(size, over)
        case nn.Flatten() | nn.Unflatten():
            return Enclosure(*map(layer, over)), _reshaped(over)
    raise PipelineError(
        f"layer {layer} has no enclosure: pipeline/metrics/enclosures.py must be taught it"
    )


def _linear(layer: nn.Linear, over: Enclosure) -> tuple[Enclosure, Link]:
    link = Link(
        partial(_pull_through, lambda t, weight: t @ weight, layer.weight),
        torch.linalg.matrix_norm(layer.weight, 2),
    )
    return _weighted(F.linear, layer, over), link


def _convolution(layer: nn.Conv2d, over: Enclosure) -> tuple[Enclosure, Link]:
    def transposed(t: Tensor, weight: Tensor) -> Tensor:
        return F.conv_transpose2d(t.flatten(0, 1), weight).unflatten(0, t.shape[:2])

    link = Link(
        partial(_pull_through, transposed, layer.weight),
        _convolution_norm(layer.weight, over.at.shape[-2:]),
    )
    return _weighted(F.conv2d, layer, over), link


def _weighted(
    apply: Callable[..., Tensor], layer: nn.Linear | nn.Conv2d, over: Enclosure
) -> Enclosure:
    """A linear layer's output; `apply` is ``(input, weight, bias)``."""
    size, bias = layer.weight.abs(), layer.bias
    assert bias is not None
    middle = apply((over.low + over.high) / 2, layer.weight)
    half = (over.high - over.low) / 2 + ROUNDING * over.reach()
    radius = apply(half, size, ROUNDING * bias.abs())
    low, high = (middle - radius).clamp(max=0), (middle + radius).clamp(min=0)
    return Enclosure(apply(over.at, layer.weight, bias), low, high)


def _pull_through(
    product: Callable[[Tensor, Tensor], Tensor], weight: Tensor, matrix: IntervalMatrix
) -> IntervalMatrix:
    return IntervalMatrix(product(matrix.centre, weight), product(matrix.spread(), weight.abs()))


def _convolution_norm(weight: Tensor, size: torch.Size) -> Tensor:
    """A bound on the spectral norm of an unpadded convolution of images of `size`.

    It is a part of the circular convolution, whose singular values are those of the kernel's
    Fourier transform, frequency by frequency (Sedghi, Gupta & Long 2019).
    """
    frequencies = torch.fft.rfft2(weight, s=tuple(size)).movedim((0, 1), (2, 3))
    return torch.linalg.matrix_norm(frequencies, 2).amax()


def _activation(
    function: Callable[[Tensor], Tensor], over: Enclosure, lowest: Tensor, highest: Tensor
) -> tuple[Enclosure, Link]:
    """An increasing function of every unit, with its secant slopes from the anchor."""
    at = function(over.at)
    low, high = function(over.at + over.low) - at, function(over.at + over.high) - at
    link = Link(partial(_scaled, lowest, highest), highest.flatten(1).amax(1), highest)
    return Enclosure(at, low, high), link


def _relu_slopes(over: Enclosure) -> tuple[Tensor, Tensor]:
    """Secants of a convex function: the lowest slope is to the lowest point, the highest to the
    highest. At a kink, all of [0, 1]."""
    at, low, high = over
    lowest = torch.where(at > 0, (at / low.abs()).clamp(max=1), 0.0)
    highest = torch.where(at < 0, ((at + high) / high.abs()).clamp(min=0), 1.0)
    return lowest, highest


def relu_derivatives(over: Enclosure) -> tuple[Tensor, Tensor]:
    """1 where all of the interval is above the kink, 0 where it is below; else [0, 1]."""
    at, low, high = over
    return (at + low > 0).to(at), (at + high > 0).to(at)


def _tanh_slopes(over: Enclosure) -> tuple[Tensor, Tensor]:
    """Secant slopes are means of the derivative, which is 1 / cosh² and falls with the distance
    from 0."""
    low, high = over.at + over.low, over.at + over.high
    nearest = torch.zeros_like(low).clamp(low, high)
    farthest = torch.maximum(low.abs(), high.abs())
    return farthest.cosh() ** -2, nearest.cosh() ** -2


def _reshaped(over: Enclosure) -> Link:
    shape = over.at.shape[1:]

    def pull(matrix: IntervalMatrix) -> IntervalMatrix:
        return _each(matrix, lambda t: t.flatten(2).unflatten(2, shape))

    return Link(pull, over.at.new_ones(()))


def _max_pool(size: int, over: Enclosure) -> tuple[Enclosure, Link]:
    shape = over.at.shape[-2:]

    def pull(matrix: IntervalMatrix) -> IntervalMatrix:
        everywhere = _each(matrix, lambda t: t.unsqueeze(-1))
        scaled = _scaled(lowest, highest, everywhere)
        return _each(scaled, lambda t: out_of_windows(t, size, shape))

    at, low, high = (
        in_windows(t, size) for t in (over.at, over.at + over.low, over.at + over.high)
    )
    possible = high >= low.amax(-1, keepdim=True)  # to be the largest
    alone = possible.sum(-1, keepdim=True) == 1
    lowest, highest = (possible & alone).to(at.dtype), possible.to(at.dtype)
    top = at.amax(-1)
    over = Enclosure(top, low.amax(-1) - top, high.amax(-1) - top)
    return over, Link(pull, top.new_ones(()))


def in_windows(t: Tensor, size: int) -> Tensor:
    """Images (..., H, W) as windows (..., rows, columns, size²); odd ends are out."""
    rows, columns = t.shape[-2] // size, t.shape[-1] // size
    t = t[..., : rows * size, : columns * size]
    return (
        t.unflatten(-1, (columns, size)).unflatten(-3, (rows, size)).transpose(-3, -2).flatten(-2)
    )


def out_of_windows(t: Tensor, size: int, shape: torch.Size) -> Tensor:
    """Windows (..., rows, columns, size²) as images (..., *shape), 0 at the odd ends."""
    t = t.unflatten(-1, (size, size)).transpose(-3, -2).flatten(-4, -3).flatten(-2)
    return F.pad(t, (0, shape[1] - t.shape[-1], 0, shape[0] - t.shape[-2]))


def _scaled(lowest: Tensor, highest: Tensor, matrix: IntervalMatrix) -> IntervalMatrix:
    """Columns times slopes in [lowest, highest] ≥ 0, (B, *shape)."""
    middle, half = ((highest + lowest) / 2).unsqueeze(1), ((highest - lowest) / 2).unsqueeze(1)
    centre, radius = matrix
    return IntervalMatrix(centre * middle, centre.abs() * half + radius * highest.unsqueeze(1))


def _each(matrix: IntervalMatrix, function: Callable[[Tensor], Tensor]) -> IntervalMatrix:
    return IntervalMatrix(function(matrix.centre), function(matrix.radius))


def _spectral_norm(matrices: Tensor) -> Tensor:
    """Of wide matrices (B, K, N), (B,): through the K × K products, which cost less than an SVD."""
    return square_root(torch.linalg.eigvalsh(matrices @ matrices.mT)[:, -1].clamp(min=0))
