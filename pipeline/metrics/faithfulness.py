"""Does what is said to matter matter to the model, and what is said to matter most, most?

*Faithfulness* (paper, section 5.2): the correlation, over concepts, between their relevance and the
drop of the predicted class's probability when each is removed. *Deletion and insertion* (Petsiuk,
Das & Saenko 2018, "RISE"): that probability as the input loses its groups, the most relevant first,
and as it gains them, the most relevant first, from nothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.explanations.method import Method, ModelT
from pipeline.metrics.batches import in_batches
from pipeline.metrics.removal import Removal, probabilities

_ROUNDING = 1e-6  # relative error of attributions and logits computed in float32


class RemovalCurves(NamedTuple):
    """p(target | x) while groups are removed (`deletion`) or added (`insertion`).

    Both (N, P), float64, at the `removal_shares` (P,).
    """

    deletion: Tensor
    insertion: Tensor


def faithfulness(
    model: ModelT,
    explain: Method[ModelT],
    x: Tensor,
    target: Tensor,
    p: Tensor,
    removal: Removal,
) -> Tensor:
    """Pearson correlation of each example's attributions with its probability drops.

    Parameters
    ----------
    explain : any explanation method.
    x : (N, *input_shape)
    target : (N,), int64, the predicted classes.
    p : (N, 1 + G), from `pipeline.metrics.removal.leave_one_out`.
    removal : of the groups that were removed, into which attributions are pooled.

    Returns
    -------
    (N,), float64; NaN, undefined, where the attributions or the drops are constant up to rounding.
    """
    whole, drops = p[:, 0], p[:, :1] - p[:, 1:]
    # An error of the logit moves p by p (1 - p) as much, however small the drops are.
    rounding = _ROUNDING * whole * (1 - whole) * whole.logit(eps=1e-15).abs().clamp(min=1)
    drops = drops.where((drops.std(1, unbiased=False) > rounding).unsqueeze(1), 0)

    def correlations(x: Tensor, target: Tensor, drops: Tensor) -> Tensor:
        attributions = removal.pool(explain(model, x, target))
        return correlation(attributions.double(), drops)

    return in_batches(correlations, x, target, drops)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of the rows of a and b, (N,); NaN where either is constant."""
    a, b = _standardised(a), _standardised(b)
    return (a * b).sum(1).clamp(-1, 1)


def removal_counts(groups: int, steps: int) -> list[int]:
    """How many of the groups are removed at each point of a curve: 0, …, all, no number twice."""
    return sorted({round(groups * step / steps) for step in range(steps + 1)})


def removal_shares(groups: int, steps: int) -> Tensor:
    """`removal_counts` as shares of the groups, (P,), float64."""
    return torch.tensor(removal_counts(groups, steps), dtype=torch.float64) / groups


def removal_curves(
    model: ModelT,
    explain: Method[ModelT],
    x: Tensor,
    target: Tensor,
    removal: Removal,
    steps: int,
) -> RemovalCurves:
    """Deletion and insertion curves of each example.

    Groups of equal attribution go in their own order.

    Parameters
    ----------
    explain : any explanation method.
    x : (N, *input_shape)
    target : (N,), int64, the predicted classes.
    removal : of what `explain` speaks of.
    steps : at most so many, of about equally many groups each.
    """
    counts = torch.tensor(removal_counts(removal.groups, steps), device=x.device)

    def points(x: Tensor, target: Tensor) -> Tensor:
        order = removal.pool(explain(model, x, target)).argsort(dim=1, descending=True, stable=True)
        rank = order.argsort(1).unsqueeze(1)  # 0 for the most relevant group
        deleted = rank < counts.view(1, -1, 1)
        # Nothing inserted is all deleted, and all inserted is none.
        inserted = ~deleted[:, 1:-1]
        return probabilities(removal, model, x, target, torch.cat([deleted, inserted], 1))

    p = in_batches(points, x, target)
    deletion, between = p[:, : len(counts)], p[:, len(counts) :]
    return RemovalCurves(deletion, torch.cat([deletion[:, -1:], between, deletion[:, :1]], 1))


def area(positions: Tensor, curves: Tensor) -> Tensor:
    """Area under curves (N, P), by the trapezoidal rule, over the width of `positions` (P,).

    That is the curve's mean height, (N,).
    """
    return torch.trapezoid(curves, positions) / (positions[-1] - positions[0])


def _standardised(rows: Tensor) -> Tensor:
    """Rows with mean 0 and norm 1; NaN where a row is constant up to rounding."""
    centred = rows - rows.mean(1, keepdim=True)
    norm = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    constant = norm <= _ROUNDING * torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return torch.where(constant, torch.nan, centred / norm)
