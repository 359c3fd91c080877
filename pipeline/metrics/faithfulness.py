"""Faithfulness: do the concepts said to matter matter to the model?

Paper, section 5.2: the correlation, over concepts, between their relevance and the drop of the
predicted class's probability when each is removed.
"""

import torch
from torch import Tensor

from pipeline.explanations.method import Method, ModelT
from pipeline.metrics.batches import in_batches
from pipeline.models.senn import Senn

_ROUNDING = 1e-6  # relative error of attributions computed in float32


def feature_drops(model: Senn, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """Drop of p(target | x) when a raw feature is set to its baseline and the model is run again.

    Parameters
    ----------
    x : (N, *input_shape)
    target : (N,), int64
    baseline : (*input_shape), the training median.

    Returns
    -------
    (N, *input_shape), float64, > 0 where removal lowers the probability.
    """

    def drops(x: Tensor, target: Tensor) -> Tensor:
        intact = _probability(model(x).logits, target)
        removed = []
        for feature in range(baseline.numel()):
            without = x.flatten(1).clone()
            without[:, feature] = baseline.flatten()[feature]
            removed.append(_probability(model(without.view_as(x)).logits, target))
        return (intact.unsqueeze(1) - torch.stack(removed, 1)).view_as(x)

    return in_batches(drops, x, target)


def concept_drops(model: Senn, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """Drop of p(target | x) when a concept is set to its baseline and the relevances are held.

    Parameters
    ----------
    x : (N, *input_shape)
    target : (N,), int64
    baseline : (K,), the training mean of each concept.

    Returns
    -------
    (N, K), float64, > 0 where removal lowers the probability.
    """
    concepts = len(baseline)
    is_removed = torch.eye(concepts, dtype=torch.bool, device=baseline.device)

    def drops(x: Tensor, target: Tensor) -> Tensor:
        h, theta = model.conceptizer.encode(x), model.parameterizer(x)
        without = torch.where(is_removed, baseline, h.unsqueeze(1))  # (B, removed, K)
        logits = model.aggregator(without.flatten(0, 1), theta.repeat_interleave(concepts, 0))
        removed = _probability(logits, target.repeat_interleave(concepts)).view_as(h)
        return _probability(model.aggregator(h, theta), target).unsqueeze(1) - removed

    return in_batches(drops, x, target)


def faithfulness(
    model: ModelT, explain: Method[ModelT], x: Tensor, target: Tensor, drops: Tensor
) -> Tensor:
    """Pearson correlation of each example's attributions with its probability drops.

    Parameters
    ----------
    explain : any explanation method.
    x : (N, *input_shape)
    target : (N,), int64, the predicted classes.
    drops : of the attributions' shape, from `feature_drops` or `concept_drops`.

    Returns
    -------
    (N,), float64; NaN, undefined, where the attributions or the drops are constant.
    """

    def correlations(x: Tensor, target: Tensor, drops: Tensor) -> Tensor:
        return _correlation(explain(model, x, target).flatten(1).double(), drops.flatten(1))

    return in_batches(correlations, x, target, drops)


def _probability(logits: Tensor, target: Tensor) -> Tensor:
    # In float64: a saturated softmax keeps the differences that its logits have in float32.
    return logits.double().softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of the rows of a and b, (N,); NaN where either is constant."""
    a, b = _standardised(a), _standardised(b)
    return (a * b).sum(1).clamp(-1, 1)


def _standardised(rows: Tensor) -> Tensor:
    """Rows with mean 0 and norm 1; NaN where a row is constant up to rounding."""
    centred = rows - rows.mean(1, keepdim=True)
    norm = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    constant = norm <= _ROUNDING * torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return torch.where(constant, torch.nan, centred / norm)
