"""Explanatory power index: do explanations hold what tells the classes apart?

Arras et al. (2017), "What is relevant in a text document?", section "Measuring model explanatory
power": examples weighted by their relevance are classified by their nearest neighbours.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.explanations.method import Method, ModelT
from pipeline.explanations.neighbours import nearest_neighbours
from pipeline.metrics.batches import in_batches


def relevance_weighted(
    model: ModelT, explain: Method[ModelT], x: Tensor, target: Tensor, features: Tensor
) -> Tensor:
    """Examples as their explanations weight them, e ⊙ z / ‖e ⊙ z‖, (N, G), float64; 0 where 0.

    Parameters
    ----------
    explain : any explanation method.
    x : (N, *input_shape)
    target : (N,), int64, the predicted classes.
    features : z, what `explain` speaks of: the inputs (N, *input_shape) or the concepts (N, K).
    """

    def weighted(x: Tensor, target: Tensor, features: Tensor) -> Tensor:
        e = explain(model, x, target).flatten(1).double()
        return F.normalize(e * features.flatten(1), eps=1e-300)

    return in_batches(weighted, x, target, features)


def explanatory_power(vectors: Tensor, labels: Tensor, neighbours: tuple[int, ...]) -> Tensor:
    """Whether the k nearest of the other examples tell each example's class, at the best k.

    Every example is classified by all others, leave-one-out: that uses small samples fully, where
    Arras et al. draw halves at random. The mean over examples, the accuracy, is the explanatory
    power index; k is that of `neighbours` which maximises it, the smallest where several do.

    Parameters
    ----------
    vectors : (N, G), from `relevance_weighted`.
    labels : (N,), int64, the true classes.
    neighbours : k, those tried, in ascending order.

    Returns
    -------
    (N,), float64: 1 right, 0 wrong. Of classes with equally many neighbours the first counts. NaN,
    undefined, throughout where there are too few examples for the largest k.
    """
    if len(vectors) <= neighbours[-1]:
        return vectors.new_full((len(vectors),), torch.nan)
    of_class = F.one_hot(labels)[nearest_neighbours(vectors, neighbours[-1])]  # (N, k, C)
    votes = of_class.cumsum(1)[:, [k - 1 for k in neighbours]]
    right = (votes.argmax(2) == labels.unsqueeze(1)).double()
    return right[:, right.mean(0).argmax()]
