"""A VAE's latent variables: which ones carry information, their range, and what moving one draws.

A traversal moves one concept at a time around the input's own μ(x), in the same steps for every
input, and holds the others at μ(x): the middle of every strip is the reconstruction of the input.
The review traverses from -q to q, where q = μ - 1.645 σ is a quantile of the posterior. Its strips
are centred on 0 whatever μ(x) is, their width depends on μ(x), and the other concepts are sampled.
"""

import torch
from torch import Tensor

from pipeline.core.arithmetic import square_root
from pipeline.models.conceptizers import Conceptizer, Latent

ACTIVE_VARIANCE = 0.01


def active_units(latent: Latent) -> int:
    """How many latent variables depend on the input: Var μ_k(x) > 0.01.

    Burda, Grosse and Salakhutdinov 2016, section 5.2. The others have collapsed to the prior.
    """
    return int((latent.mean.var(0, correction=0) > ACTIVE_VARIANCE).sum())


def latent_spread(latent: Latent) -> Tensor:
    """Standard deviation of each latent variable over examples and encoder noise, (K,).

    By the law of total variance, Var μ(x) + E σ²(x). It is near 1 wherever the aggregate posterior
    is near the prior, whether or not the latent variable carries information.
    """
    variance = latent.mean.var(0, correction=0) + latent.logvar.exp().mean(0)
    return square_root(variance)


@torch.no_grad()
def prototype_strips(
    conceptizer: Conceptizer, mean: Tensor, scale: Tensor, steps: int, width: float
) -> Tensor:
    """Reconstructions while one concept at a time moves along mean ± width · scale.

    Parameters
    ----------
    mean : (K,), the concepts of one input.
    scale : (K,), the unit of `width` for each concept, such as its `latent_spread`.
    steps : number of equally spaced points; an odd number includes `mean` itself.
    width : how far to go, in units of `scale`.

    Returns
    -------
    (K, steps, *input_shape), in normalised units: the first index says which concept moves.
    """
    offsets = torch.linspace(-width, width, steps, dtype=mean.dtype, device=mean.device)
    latents = mean + torch.diag(scale).unsqueeze(1) * offsets.view(1, -1, 1)  # (K, steps, K)
    return conceptizer.decode(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
