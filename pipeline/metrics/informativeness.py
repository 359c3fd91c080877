"""How much explanations tell their reader, and how much they ask him to look at.

The explanatory power index says whether they hold what tells the classes apart: examples weighted
by their relevance are classified by their nearest neighbours (Arras et al. 2017, "What is relevant
in a text document?", section "Measuring model explanatory power"). Complexity is the effective
number of features.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.explanations.method import Method, ModelT
from pipeline.metrics.batches import in_batches
from pipeline.metrics.neighbours import neighbours_among

_ROUNDING = 1e-6  # of a distance between vectors of length 1, computed in float32


def relevance_weighted(
    model: ModelT, explain: Method[ModelT], x: Tensor, target: Tensor, features: Tensor
) -> Tensor:
    """Examples as their explanations weight them, e ⊙ z / ‖e ⊙ z‖, (N, G), float64; 0 where 0.

    Of a text, with e of its words, it is the sum over words: Σ_t e_t z_t / ‖Σ_t e_t z_t‖, (N, D).

    Parameters
    ----------
    explain : any explanation method.
    x : (N, *input_shape)
    target : (N,), int64, the predicted classes.
    features : z, what `explain` speaks of: the inputs (N, *input_shape), embeddings (N, T, D) of a
        text's words, or the concepts (N, K).
    """

    def weighted(x: Tensor, target: Tensor, features: Tensor) -> Tensor:
        e = explain(model, x, target).double()
        is_of_words = e.ndim < features.ndim
        weights = (e.unsqueeze(2) * features).sum(1) if is_of_words else e * features
        return F.normalize(weights.flatten(1), eps=1e-300)

    return in_batches(weighted, x, target, features)


def explanatory_power(vectors: Tensor, labels: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Whether the k nearest of the other examples tell each example's class, at the best k.

    Every example is classified by all others, leave-one-out: that uses small samples fully, where
    Arras et al. draw halves at random (`documents.power_of_halves`). The mean over examples, the
    accuracy, is the explanatory power index; k is that of `counts` which maximises it, the smallest
    where several do.

    Parameters
    ----------
    vectors : (N, G), from `relevance_weighted`.
    labels : (N,), int64, the true classes.
    counts : k, those tried, in ascending order.

    Returns
    -------
    (N,), float64: 1 right, 0 wrong. NaN, undefined, throughout where there are too few examples for
    the largest k.
    """
    if len(vectors) <= counts[-1]:
        return vectors.new_full((len(vectors),), torch.nan)
    choose = partial(told, labels=labels, counts=counts)
    right = (neighbours_among(vectors, choose) == labels.unsqueeze(1)).double()
    return right[:, right.mean(0).argmax()]


def told(distances: Tensor, labels: Tensor, counts: tuple[int, ...]) -> Tensor:
    """The class that the k nearest of N others tell, (B, K), for each k of `counts`.

    Neighbours at the same distance, up to rounding, share the votes that are left for them, so that
    the order of the others does not matter. Of classes with equally many votes the first counts.

    Parameters
    ----------
    distances : (B, N), to the others, as of vectors of length 1.
    labels : (N,), int64, the others' classes.
    """
    is_of_class, k = F.one_hot(labels).double(), torch.tensor(counts, device=labels.device)
    farthest = distances.sort(1).values[:, k - 1].unsqueeze(2)
    beyond = distances.unsqueeze(1) - farthest  # (B, K, N)
    nearer, tied = (beyond < -_ROUNDING).double(), (beyond.abs() <= _ROUNDING).double()
    places = k.view(-1, 1) - nearer.sum(2, keepdim=True)
    # Times a number that makes them whole.
    votes = nearer @ is_of_class * tied.sum(2, keepdim=True) + places * (tied @ is_of_class)
    return votes.argmax(2)


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
