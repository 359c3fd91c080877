"""How far a VAE's latent variables range, and how many of them say anything about the input."""

from torch import Tensor

from pipeline.core.arithmetic import square_root
from pipeline.models.conceptizers import Latent

ACTIVE_VARIANCE = 0.01


def latent_spread(latent: Latent) -> Tensor:
    """Standard deviation of each latent variable over examples and noise together, (K,).

    By the law of total variance, Var μ(x) + E σ²(x): near 1 wherever the aggregate posterior is
    near the prior, whether the latent variable carries information or not.
    """
    variance = latent.mean.var(0, correction=0) + latent.logvar.exp().mean(0)
    return square_root(variance)


def active_units(latent: Latent) -> int:
    """How many latent variables depend on the input: Var μ_k(x) > 0.01.

    Burda, Grosse and Salakhutdinov 2016, section 5.2; the others have collapsed to the prior.
    """
    return int((latent.mean.var(0, correction=0) > ACTIVE_VARIANCE).sum())
