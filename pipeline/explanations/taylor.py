"""Simple Taylor decomposition: the logit, expanded around a root point where it is 0.

    f_c(x) = f_c(x̃) + Σ_i R_i + O(‖x - x̃‖²),   R_i = ∂f_c/∂x_i |_x̃ · (x_i - x̃_i)

(Montavon, Samek & Müller 2018, section 4.2). The root decides what is explained: R says what x has
that x̃ lacks. The search goes along the gradient, or along the segment to a given point; both stay
in the data's range. At the nearest root of an affine f_c, x - x̃ is parallel to the gradient, and
R_i = f_c(x) (∂_i f_c)² / ‖∇f_c‖²: the w² rule, and squared sensitivity up to a factor.
"""

import torch
from torch import Tensor, nn

from pipeline.explanations.gradients import logit_and_gradient
from pipeline.models.senn import target_logit

_TOLERANCE = 1e-3  # of a root: |f_c(x̃)| relative to |f_c(x)|
_DESCENT_STEPS = 30
_SMALLEST_STEP = 1e-3  # relative to Newton's
_SEGMENT_POINTS = 16  # at which a segment is searched for a change of sign
_BISECTIONS = 12  # of the interval where the sign changes
_TINY = 1e-30  # a squared norm below this is that of a zero gradient


def taylor_along_gradient(
    model: nn.Module, x: Tensor, target: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """`taylor_decomposition` at `root_along_gradient`."""
    root = root_along_gradient(model, x, target, low, high)
    return taylor_decomposition(model, x, target, root)


def taylor_towards(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """`taylor_decomposition` at `root_on_segment` from x to `baseline`."""
    root = root_on_segment(model, x, target, baseline)
    return taylor_decomposition(model, x, target, root)


def taylor_decomposition(model: nn.Module, x: Tensor, target: Tensor, root: Tensor) -> Tensor:
    """R_i = ∂f_c/∂x_i |_x̃ · (x_i - x̃_i) for class c = `target`.

    x and `root`, x̃, are (B, *input_shape), like the result; target (B,) int64. At any x̃, ΣR is
    f_c(x) - f_c(x̃) up to second order.
    """
    return logit_and_gradient(model, root, target)[1] * (x - root)


def root_along_gradient(
    model: nn.Module, x: Tensor, target: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """A root near x, by Newton steps along the gradient, within the range of the inputs.

    Steps x ← x - f_c ∇f_c / ‖∇f_c‖², over the features that can move without leaving the range, are
    halved until they lower |f_c|. The first step finds the nearest root of an affine f_c if it is
    in the range. At a root, f_c is at most a thousandth of |f_c(x)|. If none is found, the point is
    the one with the lowest |f_c| met.

    x (B, *input_shape), target (B,) int64; `low` and `high` are the range of a feature. Returns
    (B, *input_shape).
    """
    point = x.detach().clone()
    value, gradient = logit_and_gradient(model, point, target)
    tolerance, size = _TOLERANCE * value.abs(), torch.ones_like(value)
    for _ in range(_DESCENT_STEPS):
        rows = ((value.abs() > tolerance) & (size >= _SMALLEST_STEP)).nonzero().squeeze(1)
        if len(rows) == 0:
            break
        step = size[rows] * value[rows]
        moved = _newton(point[rows], gradient[rows], step, low, high)
        new_value, new_gradient = logit_and_gradient(model, moved, target[rows])
        is_lower = new_value.abs() < value[rows].abs()
        size[rows] = torch.where(is_lower, 1, size[rows] / 2)
        lower = rows[is_lower]
        point[lower], value[lower] = moved[is_lower], new_value[is_lower]
        gradient[lower] = new_gradient[is_lower]
    return point


@torch.no_grad()
def root_on_segment(model: nn.Module, x: Tensor, target: Tensor, end: Tensor) -> Tensor:
    """The first root on the way from x to `end`: by change of sign, then bisection.

    If no root is found, the point is `end`.

    x (B, *input_shape), target (B,) int64; `end` is (*input_shape), or one per example. Returns
    (B, *input_shape).
    """

    def at(position: Tensor) -> Tensor:
        return torch.lerp(x, end.expand_as(x), _per_example(position, x))

    def value(position: Tensor) -> Tensor:
        return target_logit(model, at(position), target)

    grid = torch.linspace(0, 1, _SEGMENT_POINTS, dtype=x.dtype, device=x.device)
    values = torch.stack([value(position.expand(len(x))) for position in grid])
    sign = values[0].sign()
    is_across = values.sign() != sign
    first = is_across.int().argmax(0)
    left, right = grid[(first - 1).clamp(min=0)], grid[first]
    for _ in range(_BISECTIONS):
        middle = (left + right) / 2
        stays = value(middle).sign() == sign
        left, right = torch.where(stays, middle, left), torch.where(stays, right, middle)
    return at(torch.where(is_across.any(0), right, 1))


def _newton(point: Tensor, gradient: Tensor, value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Where an affine function of `gradient` is lower by `value`, or the edge of the range."""
    uphill = gradient * _per_example(value.sign(), point)
    is_held = ((point <= low) & (uphill > 0)) | ((point >= high) & (uphill < 0))
    free = gradient.masked_fill(is_held, 0)
    length = value / free.flatten(1).square().sum(1).clamp(min=_TINY)
    return (point - _per_example(length, point) * free).clamp(low, high)


def _per_example(values: Tensor, like: Tensor) -> Tensor:
    """(B,) as (B, 1, …), to go with `like` (B, *input_shape)."""
    return values.view(-1, *(1 for _ in like.shape[1:]))
