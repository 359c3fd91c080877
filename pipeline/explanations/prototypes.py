"""Prototypes: what a learned concept stands for, shown by examples or by its filters.

The three ways of Alvarez-Melis & Jaakkola 2018, section 4 ("grounding"). The paper defines the
first two as optima over all inputs; here, as in the published code, they are optima over a set of
examples.
"""

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.models.conceptizers import ConvConceptizer


def highest_activation(concepts: Tensor, count: int) -> Tensor:
    """The examples with the largest h_k(x), per concept (section 4, first formula).

    Parameters
    ----------
    concepts : (N, K), concepts of the N examples to choose from.
    count : how many per concept, at most N.

    Returns
    -------
    (K, count), indices of examples, best first; ties go to the first.
    """
    order = concepts.sort(dim=0, descending=True, stable=True).indices
    return order[:count].T


def highest_contrast(concepts: Tensor, count: int) -> Tensor:
    """The examples with the largest `contrast`, per concept; as `highest_activation`."""
    return highest_activation(contrast(concepts), count)


def contrast(concepts: Tensor) -> Tensor:
    """h_k(x) - Σ_{j≠k} h_j(x), (N, K): active in one concept and not in others (section 4).

    Concepts may be negative, so an example can also score high because the others are far below 0.
    """
    return 2 * concepts - concepts.sum(1, keepdim=True)


def purity(prototypes: Tensor, labels: Tensor) -> Tensor:
    """Share of the commonest class among each concept's prototypes.

    Parameters
    ----------
    prototypes : (K, count), indices into `labels`.
    labels : (N,), class indices.

    Returns
    -------
    (K,), in [1 / count, 1].
    """
    counts = nn.functional.one_hot(labels[prototypes]).sum(1)
    return counts.max(1).values / prototypes.shape[1]


def chance_purities(labels: Tensor, count: int, draws: int = 10_000, seed: int = 0) -> Tensor:
    """`purity` of `count` different examples, at most N, drawn at random from `labels` (N,).

    Returns
    -------
    (draws,)
    """
    generator, count = np.random.default_rng(seed), min(count, len(labels))
    drawn = generator.multivariate_hypergeometric(labels.bincount().numpy(), count, draws)
    return torch.from_numpy(drawn.max(1) / count)


def filters(conceptizer: ConvConceptizer) -> list[Tensor]:
    """Those of the encoder's convolutions, first to last, (filters, channels, size, size) each.

    Those of the last are the concepts' (section 4, third way): one slice per channel of the layer
    before.
    """
    return [
        layer.weight.detach() for layer in conceptizer.convolutions if isinstance(layer, nn.Conv2d)
    ]
