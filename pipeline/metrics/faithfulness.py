"""Faithfulness: do the concepts said to matter matter to the model?

Paper, section 5.2: the correlation, over concepts, between their relevance and the drop of the
predicted class's probability when each is removed.
"""

import torch
from torch import Tensor

from pipeline.explanations.method import Method, ModelT
from pipeline.metrics.batches import in_batches
from pipeline.metrics.removal import Removal

_ROUNDING = 1e-6  # relative error of attributions computed in float32


def faithfulness(
    model: ModelT,
    explain: Method[ModelT],
    x: Tensor,
    target: Tensor,
    drops: Tensor,
    removal: Removal,
) -> Tensor:
    """Pearson correlation of each example's attributions with its probability drops.

    Parameters
    ----------
    explain : any explanation method.
    x : (N, *input_shape)
    target : (N,), int64, the predicted classes.
    drops : (N, G), from `pipeline.metrics.removal.removal_drops`.
    removal : of the groups that were removed, into which attributions are pooled.

    Returns
    -------
    (N,), float64; NaN, undefined, where the attributions or the drops are constant.
    """

    def correlations(x: Tensor, target: Tensor, drops: Tensor) -> Tensor:
        attributions = removal.pool(explain(model, x, target))
        return correlation(attributions.double(), drops)

    return in_batches(correlations, x, target, drops)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of the rows of a and b, (N,); NaN where either is constant."""
    a, b = _standardised(a), _standardised(b)
    return (a * b).sum(1).clamp(-1, 1)


def _standardised(rows: Tensor) -> Tensor:
    """Rows with mean 0 and norm 1; NaN where a row is constant up to rounding."""
    centred = rows - rows.mean(1, keepdim=True)
    norm = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    constant = norm <= _ROUNDING * torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return torch.where(constant, torch.nan, centred / norm)
