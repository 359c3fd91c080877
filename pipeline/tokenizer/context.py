"""How many characters a boundary depends on, told by their relevance."""

import torch
from torch import Tensor

HELD = 0.9  # of the absolute relevance

_ROUNDING = 1e-12


def characters_holding(relevance: Tensor, share: float = HELD) -> Tensor:
    """The fewest characters that hold `share` of Σ|R|, (N,), int64; 0 where R is 0 throughout.

    Parameters
    ----------
    relevance : R, (N, T), one number a character.
    """
    return _fewest(relevance.double().abs().sort(1, descending=True).values, share)


def reach_holding(relevance: Tensor, share: float = HELD) -> Tensor:
    """The smallest r such that r characters on either side hold `share` of Σ|R|, (N,), int64.

    Parameters
    ----------
    relevance : R, (N, T), of T / 2 characters before the boundary and as many behind it.

    Returns
    -------
    0 where R is 0 throughout.
    """
    before, behind = relevance.double().abs().chunk(2, 1)
    return _fewest(before.flip(1) + behind, share)


def _fewest(weights: Tensor, share: float) -> Tensor:
    """How many weights (N, T), from the first, hold `share` of the total."""
    held = weights.cumsum(1)
    total = held[:, -1:]
    is_enough = held >= (share - _ROUNDING) * total
    return torch.where(total[:, 0] > 0, is_enough.long().argmax(1) + 1, 0)
