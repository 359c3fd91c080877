"""Quality of the concepts: the paper's desiderata (section 3.2) as numbers."""

import numpy as np
import torch
from torch import Tensor

from pipeline.core.arithmetic import square_root
from pipeline.metrics.batches import in_batches
from pipeline.models.senn import Senn

_ROUNDING = 1e-6  # relative error of concepts computed in float32


def encode(model: Senn, x: Tensor) -> Tensor:
    """Concepts h(x), (N, K), of inputs (N, *input_shape)."""
    return in_batches(model.conceptizer.encode, x)


def reconstruction_mse(model: Senn, x: Tensor) -> Tensor:
    """Fidelity: mean squared error over features of each reconstruction, (N,), normalised units."""
    return in_batches(lambda x: (model(x).reconstruction - x).square().flatten(1).mean(1), x)


def constant_concepts(concepts: Tensor) -> Tensor:
    """Which concepts are the same for all examples (N, K), up to rounding; (K,) bool."""
    scale = square_root(concepts.double().square().mean(0))
    return concepts.double().std(0, unbiased=False) <= _ROUNDING * scale


def correlation_matrix(concepts: Tensor) -> Tensor:
    """Pearson correlations between concepts (N, K), (K, K); NaN for constant ones."""
    correlations = torch.full((concepts.shape[1],) * 2, torch.nan, dtype=torch.float64)
    varying = ~constant_concepts(concepts).cpu()
    if varying.any():
        among = np.corrcoef(concepts[:, varying].double().cpu(), rowvar=False)
        correlations[varying.outer(varying)] = torch.from_numpy(np.ravel(among))
    return correlations


def concept_correlation(concepts: Tensor) -> float:
    """Diversity: mean |Pearson correlation| over pairs of different concepts, 0 the most diverse.

    Parameters
    ----------
    concepts : (N, K)

    Returns
    -------
    float in [0, 1]; NaN, undefined, with fewer than two concepts that are not constant. Pairs with
    a constant concept are left out.
    """
    correlations = correlation_matrix(concepts).abs()
    off_diagonal = ~torch.eye(len(correlations), dtype=torch.bool)
    return float(correlations[off_diagonal & ~correlations.isnan()].mean())


def concept_sparsity(concepts: Tensor) -> float:
    """Sparsity: mean |h_k| over examples and concepts (N, K), 0 the sparsest.

    The paper's penalty ξ‖h‖₁ per concept. It has the unit of h: compare it between models that
    share a conceptizer's architecture.
    """
    return float(concepts.double().abs().mean())
