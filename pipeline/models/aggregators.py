"""Aggregators g: concepts and relevances to logits."""

from collections.abc import Callable

from torch import Tensor

Aggregator = Callable[[Tensor, Tensor], Tensor]


def sum_aggregator(concepts: Tensor, relevances: Tensor) -> Tensor:
    """Logits f_c(x) = Σ_k θ_kc(x) h_k(x) (paper, definition 3.1 with g = sum).

    Parameters
    ----------
    concepts : (B, K)
    relevances : (B, K, C)

    Returns
    -------
    (B, C)
    """
    return (concepts.unsqueeze(-1) * relevances).sum(-2)


AGGREGATORS: dict[str, Aggregator] = {"sum": sum_aggregator}
