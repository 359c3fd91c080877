r"""Tighter enclosures before activations: backward linear bounds (CROWN, Zhang et al. 2018).

Interval arithmetic (`enclosures`) forgets, from layer to layer, that units share their inputs.
CROWN carries a linear function of a layer's outputs back to the network's input instead. Where it
meets an activation, every unit is replaced by a line above it or below it, whichever makes the
function larger:

    ReLU on [l, u], l < 0 < u:  α z ≤ relu(z) ≤ u (z − l) / (u − l),  α = 1 if u > −l, else 0;
    max-pooling, z_j the largest of its window at the anchor, d_i = z_i − z_j:
                                z_j ≤ max_i z_i ≤ z_j + Σ_{i ≠ j} (the line above relu(d_i)).

What arrives at the input is bounded on the box exactly. Units of a convolution see a window of the
input only, so every position is a small network of its own, cut out of the large one.

Convolution and max-pooling are taken as one layer. A unit of max-pooling has one of the
convolution's kernels, shifted to a place of its window, or a mixture of them. The places share most
of their inputs, which the two layers one after another, each enclosed by itself, forget.

As in `enclosures`, all is about changes from the anchor, in float64, and widened by more than its
rounding errors. The library for it, auto_LiRPA, needs a torch before 2.9.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.metrics.enclosures import ROUNDING, Enclosure, in_windows


class Step(NamedTuple):
    """A layer on the way from the input.

    `before` encloses its input; `differences`, of a max-pooling, are the `largest_differences`.
    """

    layer: nn.Module
    before: Enclosure
    differences: Tensor | None = None


class _Bound(NamedTuple):
    """Linear functions of a change, ``rows`` (B, N, *shape), plus ``constant`` (B, N)."""

    rows: Tensor
    constant: Tensor


def tightened(path: Sequence[Step], over: Enclosure) -> Enclosure:
    """`over`, the last layer's output, enclosed by its intervals and by linear bounds at once.

    Parameters
    ----------
    path : all layers from the input on; the last one is linear. If it has others than linear ones,
        ReLU and, after a convolution, max-pooling, `over` is returned as it is.
    """
    layers = [step.layer for step in path]
    if all(isinstance(layer, nn.Linear | nn.Conv2d | nn.Flatten) for layer in layers):
        return over  # linear throughout: the intervals are exact
    if not all(map(_is_known, pairwise([nn.Identity(), *layers]))):
        return over
    if isinstance(layers[-1], nn.Conv2d):
        batch, channels, height, width = over.at.shape
        low, high = (
            end.view(batch, height, width, channels).movedim(-1, 1)
            for end in _ends(_at_every_position(path, height, width), channels)
        )
    else:
        low, high = _ends(path, over.at.shape[1])
    return Enclosure(
        over.at,
        torch.maximum(over.low, low.clamp(max=0)),
        torch.minimum(over.high, high.clamp(min=0)),
    )


def _is_known(layers: tuple[nn.Module, nn.Module]) -> bool:
    match layers:
        case nn.Conv2d(), nn.MaxPool2d():
            return True
        case _, nn.Linear() | nn.Conv2d() | nn.Flatten() | nn.ReLU():
            return True
    return False


def _at_every_position(path: Sequence[Step], height: int, width: int) -> list[Step]:
    """The same layers, over what each of the outputs at height × width positions depends on.

    The positions, row by row, are part of the batch: (B · height · width, ...).
    """

    def cut(t: Tensor, size: int, stride: int) -> Tensor:
        """Windows of t (B, C, H, W, ...) as (B · height · width, C, size, size, ...)."""
        windows = t.unfold(2, size, stride).unfold(3, size, stride)[:, :, :height, :width]
        return windows.movedim(1, 3).flatten(0, 2).movedim((-2, -1), (2, 3))

    size, stride, steps = 1, 1, []
    for layer, before, differences in reversed(path):
        if isinstance(layer, nn.Conv2d):
            size += layer.weight.shape[-1] - 1
        elif isinstance(layer, nn.MaxPool2d):
            assert differences is not None
            differences = cut(differences, size, stride)
            size, stride = size * window_of(layer), stride * window_of(layer)
        over = Enclosure(*(cut(t, size, stride) for t in before))
        steps.append(Step(layer, over, differences))
    return steps[::-1]


def _ends(path: Sequence[Step], units: int) -> tuple[Tensor, Tensor]:
    """The least and the largest change of the last layer's units, each (B, units)."""
    first, last = path[0].before, path[-1]
    one = torch.eye(units).to(first.at)
    rows = torch.cat([one, -one])
    if isinstance(last.layer, nn.Conv2d):
        rows = rows.view(*rows.shape, 1, 1)
    rows = rows.expand(len(first.at), *rows.shape)
    bound = _Bound(rows, rows.new_zeros(rows.shape[:2]))
    remaining = list(path)
    while remaining:
        bound = _before(remaining, bound)
    extreme = bound.rows.clamp(max=0) * first.low.unsqueeze(1)
    extreme += bound.rows.clamp(min=0) * first.high.unsqueeze(1)
    most = _with_errors(bound, first.reach()).constant + extreme.flatten(2).sum(2)
    return -most[:, units:], most[:, :units]


def _before(path: list[Step], bound: _Bound) -> _Bound:
    """An upper bound in terms of the last layer's input, of one in terms of its output.

    Takes the layer off the path; max-pooling with the convolution before it.
    """
    layer, before, differences = path.pop()
    match layer:
        case nn.Flatten():
            return _Bound(bound.rows.unflatten(2, before.at.shape[1:]), bound.constant)
        case nn.Linear():
            bound = _with_errors(bound, F.linear(before.reach(), layer.weight.abs()))
            return _Bound(bound.rows @ layer.weight, bound.constant)
        case nn.Conv2d():
            bound = _with_errors(bound, F.conv2d(before.reach(), layer.weight.abs()))
            rows = F.conv_transpose2d(bound.rows.flatten(0, 1), layer.weight)
            return _Bound(rows.unflatten(0, bound.rows.shape[:2]), bound.constant)
        case nn.ReLU():
            return _before_relu(before, _with_errors(bound, before.reach()))
        case nn.MaxPool2d():
            convolution, source, _ = path.pop()
            assert isinstance(convolution, nn.Conv2d) and differences is not None
            size = window_of(layer)
            sizes = before.reach() + F.conv2d(source.reach(), convolution.weight.abs())
            bound = _with_errors(bound, size**2 * in_windows(sizes, size).amax(-1))
            lines = _pooling_lines(in_windows(before.at, size), differences)
            return _before_pooling(convolution, size, source, lines, bound)
    raise AssertionError(layer)


def _before_relu(before: Enclosure, bound: _Bound) -> _Bound:
    at, low, high = before.at, before.at + before.low, before.at + before.high
    undecided = (low < 0) & (high > 0)
    slope_above = torch.where(undecided, high / (high - low), (low >= 0).to(at))
    slope_below = torch.where(undecided, (high > -low).to(at), slope_above)
    above = torch.where(undecided, slope_above * (at - low) - at.relu(), 0.0)
    below = torch.where(undecided, slope_below * at - at.relu(), 0.0)
    up, down = bound.rows.clamp(min=0), bound.rows.clamp(max=0)
    rows = up * slope_above.unsqueeze(1) + down * slope_below.unsqueeze(1)
    return _Bound(rows, bound.constant + _product(up, above) + _product(down, below))


def _pooling_lines(at: Tensor, differences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Slopes above and below max-pooling, (B, O, r, c, size²), and the constant above.

    Of windows (B, O, r, c, size²), with the `largest_differences` in them.
    """
    top, j = at.max(-1, keepdim=True)
    chosen = torch.zeros_like(at).scatter_(-1, j, 1.0)
    pairs = (*at.shape[:-1], at.shape[-1], 1)
    most = differences.gather(-1, j.unsqueeze(-2).expand(pairs)).squeeze(-1)
    least = -differences.transpose(-2, -1).gather(-1, j.unsqueeze(-2).expand(pairs)).squeeze(-1)
    chord = torch.where((most > 0) & (chosen == 0), most / (most - least), 0.0)
    slopes = chord + chosen * (1 - chord.sum(-1, keepdim=True))
    return slopes, chosen, (chord * (at - top - least)).sum(-1)


def _before_pooling(
    convolution: nn.Conv2d,
    size: int,
    source: Enclosure,
    lines: tuple[Tensor, Tensor, Tensor],
    bound: _Bound,
) -> _Bound:
    """Through max-pooling and the convolution before it, of which `source` is the input."""
    above, below, constant = lines
    kernels = shifted_kernels(convolution, size)
    up, down = bound.rows.clamp(min=0), bound.rows.clamp(max=0)
    shape = source.at.shape[1:]
    rows = sum(
        through(part, torch.einsum("borcp,poiuv->borciuv", slopes, kernels), size, shape)
        for part, slopes in ((up, above), (down, below))
    )
    assert isinstance(rows, Tensor)
    return _Bound(rows, bound.constant + _product(up, constant))


def _with_errors(bound: _Bound, size: Tensor) -> _Bound:
    """More than the rounding errors of lines and sums over values of this size, (B, *shape)."""
    return _Bound(bound.rows, bound.constant + ROUNDING * _product(bound.rows.abs(), size))


def _product(rows: Tensor, values: Tensor) -> Tensor:
    """Σ rows · values, (B, N), of rows (B, N, *shape) and values (B, *shape)."""
    return (rows.flatten(2) @ values.flatten(1).unsqueeze(2)).squeeze(2)


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
    radius = F.conv2d((before.high - before.low) / 2, apart.abs(), stride=size)
    pairs = (middle + radius).unflatten(1, (size**2, size**2, -1)).movedim((1, 2), (-2, -1))
    assert convolution.bias is not None
    errors = F.conv2d(before.reach(), convolution.weight.abs(), convolution.bias.abs())
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
