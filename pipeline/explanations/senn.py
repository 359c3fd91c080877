"""SENN's own explanations: what its parameterizer says, nothing computed after the fact."""

from torch import Tensor

from pipeline.explanations.method import Method
from pipeline.models.senn import Senn


def relevances(model: Senn, x: Tensor, target: Tensor) -> Tensor:
    """Relevances θ_kc(x) of every concept for class c = `target` (paper, definition 3.1).

    Parameters
    ----------
    x : (B, *input_shape)
    target : (B,), int64

    Returns
    -------
    (B, K), differentiable in x
    """
    theta = model.parameterizer(x)
    index = target.view(-1, 1, 1).expand(-1, theta.shape[1], 1)
    return theta.gather(2, index).squeeze(2)


def contributions(model: Senn, x: Tensor, target: Tensor) -> Tensor:
    """Contributions θ_kc(x) h_k(x) for class c = `target`; with g = sum they add up to f_c(x).

    Parameters
    ----------
    x : (B, *input_shape)
    target : (B,), int64

    Returns
    -------
    (B, K), differentiable in x
    """
    return relevances(model, x, target) * model.conceptizer.encode(x)


SENN_EXPLANATIONS: dict[str, Method[Senn]] = {
    "relevance": relevances,
    "contribution": contributions,
}
