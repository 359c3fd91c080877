"""Neighbours, and whether their explanations are alike: nearest neighbours against random pairs.

The review seeks each digit's nearest neighbours in an autoencoder's latent space and looks at their
explanations side by side; `neighbour_study` puts a number on it.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.core.arithmetic import square_root
from pipeline.metrics.batches import in_batches

_CHUNK = 512  # rows of a distance matrix held at once
_EXACT = "donot_use_mm_for_euclid_dist"  # else equal vectors are some 1e-8 apart

Choose = Callable[[Tensor], Tensor]


def neighbours(x: Tensor, others: Tensor, choose: Choose) -> Tensor:
    """What `choose` makes of the distances (L2) between x and `others`.

    Parameters
    ----------
    x, others : (A, *shape) and (N, *shape).
    choose : distances (B, N) to (B, ...), such as `within` and `nearest`. It sees inputs that equal
        x at an infinite distance: they are no neighbours.

    Returns
    -------
    (A, ...)
    """

    def chosen(x: Tensor) -> Tensor:
        distances = apart(x, others)
        return choose(distances.where(distances > 0, torch.inf))

    return in_batches(chosen, x)


def neighbours_among(x: Tensor, choose: Choose) -> Tensor:
    """The same among the examples x (N, *shape), in float64; only an example itself is left out."""
    flat = x.flatten(1).double()

    def chosen(x: Tensor, rows: Tensor) -> Tensor:
        return choose(apart(x, flat).scatter(1, rows.unsqueeze(1), torch.inf))

    return in_batches(chosen, flat, torch.arange(len(x), device=x.device))


def within(radius: float) -> Choose:
    """Which others are at most `radius` away, (B, N) bool."""
    return lambda distances: distances <= radius


def nearest(count: int) -> Choose:
    """Which others are the `count` nearest, (B, N) bool; more where several are as near."""

    def chosen(distances: Tensor) -> Tensor:
        farthest = distances.kthvalue(min(count, distances.shape[1])).values
        return (distances <= farthest.unsqueeze(1)) & distances.isfinite()

    return chosen


def nearest_neighbours(x: Tensor, count: int) -> Tensor:
    """Indices (N, count) of the nearest other examples, nearest first; of N > `count`."""
    return neighbours_among(x, lambda distances: distances.topk(count, largest=False).indices)


def apart(x: Tensor, others: Tensor) -> Tensor:
    """Distances (L2) of x (A, *shape) and `others` (N, *shape), (A, N); 0 only between equals."""
    return torch.cdist(x.flatten(1), others.flatten(1), compute_mode=_EXACT)


class Distances(NamedTuple):
    """Distances of neighbours (`near`) and of random pairs (`far`), by example, each (N,).

    Each pair has a weight, the pairs that start at one example have weight 1 together. `near` and
    `far` are weighted sums over the pairs that an example is in, at whichever end;
    `near_weights` and `far_weights` are the weights' sums.
    """

    near: Tensor
    near_weights: Tensor
    far: Tensor
    far_weights: Tensor

    def ratio(self) -> float | None:
        """Distance of neighbours over distance of random pairs: 0 equal, 1 no more alike than any.

        None if all distances are 0, or there are no pairs, which leaves nothing to compare.
        """
        if not (self.near_weights.sum() > 0 and self.far.sum() > 0):
            return None
        return (_mean(self.near, self.near_weights) / _mean(self.far, self.far_weights)).item()

    def standard_error(self) -> float | None:
        """Of `ratio`, over examples; None where there is no ratio.

        Pairs with an example in common are not independent: what counts is each example's influence
        through all pairs that it is in. Infinitesimal jackknife (Efron 1982, section 6.3); up to a
        term of lower order the dyadic cluster-robust error (Aronow, Samii and Assenova 2015).
        """
        ratio = self.ratio()
        if ratio is None:
            return None
        near, far = (
            2 * (sums - _mean(sums, weights) * weights) / weights.sum()
            for sums, weights in ((self.near, self.near_weights), (self.far, self.far_weights))
        )
        influence = (near - ratio * far) / _mean(self.far, self.far_weights)
        return square_root(influence.square().sum()).item()


class NeighbourStudy(NamedTuple):
    """How far neighbours' explanations are apart, beside those of random pairs.

    Attributes
    ----------
    neighbours : (N, count), indices, nearest first.
    relevances : ‖θ_·ŷ(x) - θ_·ŷ(x')‖, with ŷ the prediction for x.
    within_class : the same, counting only those x' that have the prediction ŷ too: what likeness
        adds to the class.
    concepts : ‖h(x) - h(x')‖.

    Random pairs are all pairs, which is the expectation over them.
    """

    neighbours: Tensor
    relevances: Distances
    within_class: Distances
    concepts: Distances


def neighbour_study(
    neighbours: Tensor, concepts: Tensor, relevances: Tensor, predictions: Tensor
) -> NeighbourStudy:
    """Compare the explanations of neighbours with those of random pairs.

    Parameters
    ----------
    neighbours : (N, count), from `nearest_neighbours`.
    concepts : (N, K).
    relevances : (N, K, C).
    predictions : (N,), predicted classes; every distance from x is measured in its own class.
    """
    count = len(predictions)
    of_relevances, within_class, of_concepts = (
        torch.zeros(4, count, dtype=torch.float64) for _ in range(3)
    )
    everyone = torch.ones(count, dtype=torch.bool)
    for label in predictions.unique():
        same = predictions == label
        for rows in same.nonzero().squeeze(1).split(_CHUNK):
            of_class = apart(relevances[rows, :, label], relevances[:, :, label])
            for sums, distances, counted in (
                (of_relevances, of_class, everyone),
                (within_class, of_class, same),
                (of_concepts, apart(concepts[rows], concepts), everyone),
            ):
                _add(sums, distances, rows, neighbours[rows], counted)
    return NeighbourStudy(
        neighbours, Distances(*of_relevances), Distances(*within_class), Distances(*of_concepts)
    )


def _mean(sums: Tensor, weights: Tensor) -> Tensor:
    """Mean distance over pairs; each pair is in the sums of both its ends, and in both weights."""
    return sums.sum() / weights.sum()


def _add(sums: Tensor, distances: Tensor, rows: Tensor, near: Tensor, counted: Tensor) -> None:
    """Add pairs from `rows` to others that are `counted`, as `rows` are, to a `Distances`.

    Rows without a near pair are left out of the far ones too, so that both are of the same rows.
    """
    weights = counted[near].to(sums)
    is_kept = weights.any(1)
    weights /= weights.sum(1, keepdim=True).clamp(min=1)
    for field, values in ((0, distances.gather(1, near) * weights), (1, weights)):
        sums[field, rows] += values.sum(1)
        sums[field].index_add_(0, near.flatten(), values.flatten())

    kept, others = rows[is_kept], counted.nonzero().squeeze(1)
    weight = 1 / max(len(others) - 1, 1)
    far = distances if len(others) == len(counted) else distances[is_kept][:, others]
    sums[2, kept] += weight * far.sum(1, dtype=sums.dtype)  # from each row to itself it is 0
    sums[2, others] += weight * far.sum(0, dtype=sums.dtype)
    sums[3, kept] += 1 - weight  # its own column is no pair
    sums[3, others] += len(kept) * weight
