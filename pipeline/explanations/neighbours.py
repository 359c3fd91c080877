"""Are explanations alike for inputs that look alike? Nearest neighbours against random pairs.

The review looks at a few visually similar digits side by side (its "study of robustness"); this
puts a number on it. Neighbours are those in pixel distance, among the same set of examples.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_CHUNK = 512  # rows of a distance matrix held at once


class NeighbourStudy(NamedTuple):
    """Mean distances ‖θ_·ŷ(x) - θ_·ŷ(x')‖ from each example x, with ŷ its prediction, each (N,).

    `neighbours` (N, count), indices, nearest first. Distances `to_neighbours`, and `to_others`: all
    other examples, which is the expectation over random pairs. The same `within_class`, where both
    count only those x' that have the prediction ŷ too; NaN where there is none.
    """

    neighbours: Tensor
    to_neighbours: Tensor
    to_others: Tensor
    to_neighbours_within_class: Tensor
    to_others_within_class: Tensor

    def ratio(self) -> float | None:
        """Distance of neighbours over distance of random pairs: 0 equal, 1 no more alike than any.

        None if all relevances are the same, which leaves nothing to compare.
        """
        return _ratio(self.to_neighbours, self.to_others)

    def ratio_within_class(self) -> float | None:
        """As `ratio`, among examples with the same prediction: what likeness adds to the class."""
        return _ratio(self.to_neighbours_within_class, self.to_others_within_class)


def nearest_neighbours(x: Tensor, count: int) -> Tensor:
    """Indices (N, count) of the nearest other examples, by Euclidean distance, nearest first.

    Raises
    ------
    ValueError
        If there are not more than `count` examples.
    """
    if len(x) <= count:
        raise ValueError(f"{count} neighbours need more than {count} examples, got {len(x)}")
    flat = x.flatten(1).double()
    nearest = []
    for start in range(0, len(flat), _CHUNK):
        distances = torch.cdist(flat[start : start + _CHUNK], flat)
        rows = torch.arange(len(distances))
        distances[rows, rows + start] = torch.inf
        nearest.append(distances.topk(count, largest=False).indices)
    return torch.cat(nearest)


def neighbour_study(neighbours: Tensor, relevances: Tensor, predictions: Tensor) -> NeighbourStudy:
    """Compare the relevances of neighbours with those of random pairs.

    Parameters
    ----------
    neighbours : (N, count), from `nearest_neighbours`.
    relevances : (N, K, C).
    predictions : (N,), predicted classes; every distance from x is measured in its own class.
    """
    results = torch.empty(4, len(predictions))
    for label in predictions.unique():
        of_class = relevances[:, :, label]
        same = predictions == label
        for rows in same.nonzero().squeeze(1).split(_CHUNK):
            distances = (of_class[rows].unsqueeze(1) - of_class).norm(dim=2)
            near, near_same = distances.gather(1, neighbours[rows]), same[neighbours[rows]]
            results[:, rows] = torch.stack(
                [
                    near.mean(1),
                    distances.sum(1) / (len(predictions) - 1),
                    (near * near_same).sum(1) / near_same.sum(1),
                    distances[:, same].sum(1) / (same.sum() - 1),
                ]
            )
    return NeighbourStudy(neighbours, *results)


def _ratio(near: Tensor, far: Tensor) -> float | None:
    """Ratio of means over the examples for which both are defined."""
    defined = ~(near.isnan() | far.isnan())
    denominator = far[defined].sum().item()
    return near[defined].sum().item() / denominator if denominator > 0 else None
