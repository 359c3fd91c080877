"""The explanatory power index of documents, as Arras et al. 2017 define it.

"What is relevant in a text document?", sections "Condensing information into document vectors" and
"Measuring model explanatory power". A document becomes the sum of its words' vectors, each weighted
by the word's relevance. If the weights hold what tells the classes apart, its nearest neighbours
tell its class. Weights that know nothing of a model are the yardstick: uniform, and tf-idf.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.core.arithmetic import multiply, square_root
from pipeline.metrics.batches import in_batches
from pipeline.metrics.informativeness import told

_SEED = 0


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

    def of_batch(embeddings: Tensor, weights: Tensor) -> Tensor:
        return (embeddings.double() * weights.double().unsqueeze(2)).sum(1)

    return in_batches(of_batch, embeddings, weights)


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
            choose = partial(told, labels=labels[known], counts=counts)
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
