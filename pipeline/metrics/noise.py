"""Noise stability: how far an explanation moves as noise is added to the input."""

import torch
from torch import Tensor

from pipeline.explanations.method import Method, ModelT
from pipeline.metrics.batches import in_batches


def noise_distances(
    model: ModelT,
    explain: Method[ModelT],
    x: Tensor,
    target: Tensor,
    noise: Tensor,
    levels: tuple[float, ...],
) -> Tensor:
    """Relative distance ‖e(x + σ n) − e(x)‖ / ‖e(x)‖ at every noise level σ.

    Parameters
    ----------
    explain : any explanation method.
    x : (N, *input_shape)
    target : (N,), int64, the classes predicted at x.
    noise : n, as x: Gaussian, of each feature's standard deviation; the same at all levels.
    levels : σ, in standard deviations of each feature.

    Returns
    -------
    (N, levels), float64; NaN, undefined, where the explanation at x is 0 throughout.
    """

    def distances(x: Tensor, target: Tensor, noise: Tensor) -> Tensor:
        e = explain(model, x, target).flatten(1).double()
        moved = [explain(model, x + level * noise, target).flatten(1) for level in levels]
        lengths = [torch.linalg.vector_norm(other - e, dim=1) for other in moved]
        return torch.stack(lengths, 1) / _length_or_nan(e)

    return in_batches(distances, x, target, noise)


def _length_or_nan(e: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(e, dim=1, keepdim=True)
    return length.where(length > 0, torch.nan)
