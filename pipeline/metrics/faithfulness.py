"""Does what is said to matter matter to the model, and what is said to matter most, most?

*Faithfulness* (paper, section 5.2): the correlation, over concepts, between their relevance and the
drop of the predicted class's probability when each is removed. *Deletion and insertion* (Petsiuk,
Das & Saenko 2018, "RISE"): that probability as the input loses its groups, the most relevant first,
and as it gains them, the most relevant first, from nothing.
"""

import torch
from torch import Tensor

from pipeline.explanations.method import Method, ModelT
from pipeline.metrics.batches import in_batches
from pipeline.metrics.removal import Removal, probabilities, there

_ROUNDING = 1e-6  # relative error of attributions and logits computed in float32


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
    whole, drops, counted = p[:, 0], p[:, :1] - p[:, 1:], there(x, removal.groups)
    # An error of the logit moves p by p (1 - p) as much, however small the drops are.
    rounding = _ROUNDING * whole * (1 - whole) * whole.logit(eps=1e-15).abs().clamp(min=1)
    variance = _centred(drops, counted).square().sum(1) / counted.sum(1)
    drops = drops.where((variance > rounding.square()).unsqueeze(1), 0)

    def correlations(x: Tensor, target: Tensor, drops: Tensor, counted: Tensor) -> Tensor:
        attributions = removal.pool(explain(model, x, target))
        return correlation(attributions.double(), drops, counted)

    return in_batches(correlations, x, target, drops, counted)


def correlation(a: Tensor, b: Tensor, counted: Tensor | None = None) -> Tensor:
    """Pearson correlation of the rows of a and b, (N,); NaN where either is constant.

    Only the columns that are `counted` in a row, bool, as a; all by default.
    """
    counted = torch.ones_like(a, dtype=torch.bool) if counted is None else counted
    a, b = _standardised(a, counted), _standardised(b, counted)
    return (a * b).sum(1).clamp(-1, 1)


def removal_shares(groups: int, steps: int) -> Tensor:
    """Which shares of the groups are removed at the points of a curve, (P,), float64.

    From 0 to 1, of whole groups, none twice.
    """
    counts = sorted({round(groups * step / steps) for step in range(steps + 1)})
    return torch.tensor(counts, dtype=torch.float64) / groups


def removal_curves(
    model: ModelT,
    explain: Method[ModelT],
    x: Tensor,
    target: Tensor,
    removal: Removal,
    steps: int,
) -> tuple[Tensor, Tensor]:
    """p(target | x) while groups are removed (deletion), and while they are added (insertion).

    Groups of equal attribution go in their own order. What an example has none of (`there`) goes
    last, and shares are of the groups that it has, rounded to whole ones.

    Parameters
    ----------
    explain : any explanation method.
    x : (N, *input_shape)
    target : (N,), int64, the predicted classes.
    removal : of what `explain` speaks of.
    steps : at most so many, of about equally many groups each.

    Returns
    -------
    deletion, insertion : (N, P) each, float64, at the `removal_shares`.
    """
    shares = removal_shares(removal.groups, steps).to(x.device)

    def points(x: Tensor, target: Tensor) -> Tensor:
        has = there(x, removal.groups)
        pooled = removal.pool(explain(model, x, target)).where(has, -torch.inf)
        order = pooled.argsort(dim=1, descending=True, stable=True)
        rank = order.argsort(1).unsqueeze(1)  # 0 for the most relevant group
        counts = (shares * has.sum(1, keepdim=True)).round()
        deleted = rank < counts.unsqueeze(2)
        # Nothing inserted is all deleted, and all inserted is none.
        inserted = ~deleted[:, 1:-1]
        return probabilities(removal, model, x, target, torch.cat([deleted, inserted], 1))

    p = in_batches(points, x, target)
    deletion, between = p[:, : len(shares)], p[:, len(shares) :]
    return deletion, torch.cat([deletion[:, -1:], between, deletion[:, :1]], 1)


def area(positions: Tensor, curves: Tensor) -> Tensor:
    """Area under curves (N, P), by the trapezoidal rule, over the width of `positions` (P,).

    That is the curve's mean height, (N,).
    """
    positions = positions.to(curves.device)
    return torch.trapezoid(curves, positions) / (positions[-1] - positions[0])


def _standardised(rows: Tensor, counted: Tensor) -> Tensor:
    """Rows with mean 0 and norm 1 of what is counted; NaN where that is constant up to rounding."""
    centred, rows = _centred(rows, counted), rows.where(counted, 0)
    norm = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    constant = norm <= _ROUNDING * torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return torch.where(constant, torch.nan, centred / norm)


def _centred(rows: Tensor, counted: Tensor) -> Tensor:
    """Rows less the mean of what is counted in each; 0 where nothing is."""
    mean = rows.where(counted, 0).sum(1, keepdim=True) / counted.sum(1, keepdim=True)
    return (rows - mean).where(counted, 0)
