"""Latent traversal: what changes in the reconstruction when one concept is moved.

The review traverses from -q to q, with q = μ - 1.645 σ a quantile of the posterior: around 0,
wherever the input's μ(x) lies, over a range that depends on μ(x), and with the other concepts at a
random sample. Here every concept is moved around the input's own μ(x), by the same steps for every
input, with the others held at μ(x): the middle of every strip is the reconstruction of the input.
"""

import torch
from torch import Tensor

from pipeline.models.conceptizers import Conceptizer


def traverse(mean: Tensor, scale: Tensor, steps: int, width: float) -> Tensor:
    """Concept vectors with one concept at a time moved along mean ± width · scale.

    Parameters
    ----------
    mean : (K,), the concepts of one input.
    scale : (K,), how far a step of 1 is for each concept, such as its `latent_spread`.
    steps : number of equally spaced points; an odd number includes `mean` itself.
    width : how far to go, in units of `scale`.

    Returns
    -------
    (K, steps, K): the first index says which concept is moved.
    """
    concepts = len(mean)
    offsets = torch.linspace(-width, width, steps, dtype=mean.dtype, device=mean.device)
    moves = torch.diag(scale).unsqueeze(1) * offsets.view(1, -1, 1)
    return mean.expand(concepts, steps, concepts) + moves


@torch.no_grad()
def prototype_strips(
    conceptizer: Conceptizer, mean: Tensor, scale: Tensor, steps: int, width: float
) -> Tensor:
    """Reconstructions along every concept's traversal around `mean`, (K, steps, *input_shape).

    In normalised units; parameters as for `traverse`.
    """
    latents = traverse(mean, scale, steps, width)
    return conceptizer.decode(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
