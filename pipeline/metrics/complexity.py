"""Complexity: how many features an explanation asks its reader to look at."""

import torch
from torch import Tensor

from pipeline.explanations.method import Method, ModelT
from pipeline.metrics.batches import in_batches


def effective_features(model: ModelT, explain: Method[ModelT], x: Tensor, target: Tensor) -> Tensor:
    """Effective number of features, exp H of the shares |e_i| / Σ|e|: from 1 to all of them.

    H is the complexity of Bhatt, Weller & Moura (2020), "Evaluating and aggregating feature-based
    model explanations", definition 4: the entropy of the shares. Its exponential is the number of
    features that, all of equal weight, would have the same entropy.

    Parameters
    ----------
    explain : any explanation method.
    x : (N, *input_shape)
    target : (N,), int64

    Returns
    -------
    (N,), float64; NaN, undefined, where the explanation is 0 throughout.
    """

    def numbers(x: Tensor, target: Tensor) -> Tensor:
        weights = explain(model, x, target).flatten(1).double().abs()
        shares = weights / weights.sum(1, keepdim=True)  # 0 / 0 is NaN
        return torch.special.entr(shares).sum(1).exp()

    return in_batches(numbers, x, target)
