"""How much explanations tell their reader, and how much they ask him to look at.

The explanatory power index says whether they hold what tells the classes apart: examples weighted
by their relevance are classified by their nearest neighbours (Arras et al. 2017, "What is relevant
in a text document?", section "Measuring model explanatory power"). Complexity is the effective
number of features.

Of documents the index is also as Arras et al. define it (`power_of_halves`). A document becomes the
sum of its words' vectors, each weighted by the word's relevance (section "Condensing information
into document vectors"). Weights that know nothing of a model are the yardstick: uniform, and
tf-idf.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.core.arithmetic import multiply, square_root
from pipeline.explanations.method import Method, ModelT
from pipeline.metrics.batches import in_batches
from pipeline.metrics.neighbours import neighbours_among

_ROUNDING = 1e-6  # of a distance between vectors of length 1, computed in float32
_SEED = 0  # of the halves


def relevance_weighted(
    model: ModelT, explain: Method[ModelT], x: Tensor, target: Tensor, features: Tensor
) -> Tensor:
    """Examples as their explanations weight them, e ⊙ z / ‖e ⊙ z‖, (N, G), float64; 0 where 0.

    Of a text, with e of its words, it is the sum over words: Σ_t e_t z_t / ‖Σ_t e_t z_t‖, (N, D).

    Parameters
    ----------
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
    Arras et al. draw halves at random (`power_of_halves`). The mean over examples, the accuracy, is
    the explanatory power index; k is that of `counts` which maximises it, the smallest where
    several do.

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
    choose = partial(_told, labels=labels, counts=counts)
    right = (neighbours_among(vectors, choose) == labels.unsqueeze(1)).double()
    return right[:, right.mean(0).argmax()]


def _told(distances: Tensor, labels: Tensor, counts: tuple[int, ...]) -> Tensor:
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

    Returns
    -------
    (N,), float64; NaN, undefined, where the explanation is 0 throughout.
    """

    def numbers(x: Tensor, target: Tensor) -> Tensor:
        weights = explain(model, x, target).flatten(1).double().abs()
        shares = weights / weights.sum(1, keepdim=True)  # 0 / 0 is NaN
        return torch.special.entr(shares).sum(1).exp()

    return in_batches(numbers, x, target)


def one_hot_documents(words: Tensor, weights: Tensor) -> Tensor:
    """Σ_t R_t 1_{w_t}, (N, V), float64, of V words that occur.

    Parameters
    ----------
    words : (N, T), int64, any number for each word.
    weights : R, (N, T); 0 for padding.
    """
    _, places = words.unique(return_inverse=True)
    vectors = torch.zeros(len(words), int(places.max()) + 1, dtype=torch.float64)
    return vectors.scatter_add(1, places, weights.double())


def embedded_documents(embeddings: Tensor, weights: Tensor) -> Tensor:
    """Σ_t R_t x_t, (N, D), float64, of embeddings x (N, T, D) and weights R (N, T)."""
    return in_batches(
        lambda x, r: (x.double() * r.double().unsqueeze(2)).sum(1), embeddings, weights
    )


def idf(words: Tensor, is_word: Tensor, vocabulary: int) -> Tensor:
    """log(N / n_w), (vocabulary,): inverse frequencies of words in N documents, 0 where n_w = 0.

    The weight of one occurrence of a word; its sum over a document's occurrences is tf-idf.

    Parameters
    ----------
    words : (N, T), int64, the training documents.
    is_word : (N, T), bool, False for padding.
    """
    seen = torch.zeros(len(words), vocabulary, dtype=torch.bool)
    rows = torch.arange(len(words)).unsqueeze(1).expand_as(words)
    seen[rows[is_word], words[is_word]] = True
    count = seen.sum(0).double()
    return torch.where(count > 0, (len(words) / count.clamp(min=1)).log(), 0.0)


def power_of_halves(
    vectors: Tensor, labels: Tensor, counts: tuple[int, ...], halves: int
) -> Tensor:
    """How often the k nearest documents tell a document's class, at the best k.

    A random half of the documents, scaled to length 1, is classified by the other half, `halves`
    times; the mean accuracy, at the k that maximises it, is the explanatory power index. Halves are
    drawn in pairs: of each division into two either half is classified by the other, so that every
    document is classified equally often, and the index is the mean over documents.

    Parameters
    ----------
    vectors : (N, G), such as `embedded_documents`; one that is 0 throughout stays 0.
    labels : (N,), int64.
    counts : k, those tried, in ascending order.
    halves : even.

    Returns
    -------
    (N,), float64: the share of times that the document's class was told. NaN, undefined, throughout
    where half the documents are too few for the largest k.
    """
    if len(vectors) // 2 < counts[-1]:
        return torch.full((len(vectors),), torch.nan, dtype=torch.float64)
    distances = _distances(vectors)
    generator = torch.Generator().manual_seed(_SEED)
    right = torch.zeros(len(vectors), len(counts), dtype=torch.float64)
    for _ in range(halves // 2):
        one, other = torch.randperm(len(vectors), generator=generator).tensor_split(2)
        for asked, known in ((one, other), (other, one)):
            choose = partial(_told, labels=labels[known], counts=counts)
            classes = in_batches(choose, distances[asked][:, known])
            right[asked] += (classes == labels[asked].unsqueeze(1)).double()
    right /= halves // 2
    return right[:, right.mean(0).argmax()]


def _distances(vectors: Tensor) -> Tensor:
    """√(2 - 2 cos), (N, N): of vectors scaled to length 1. Equal ones are some 1e-8 apart."""
    unit = F.normalize(vectors.double(), eps=1e-300)
    size = len(unit)
    cosines = multiply(unit, unit.mT, unit.new_empty(size, size))
    squares = cosines.diagonal()
    apart = squares.unsqueeze(1) + squares - 2 * cosines
    return square_root(apart.clamp(min=1e-18))
