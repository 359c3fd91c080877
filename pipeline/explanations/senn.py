"""SENN's own explanations: what its parameterizer says of concepts, and that brought to the input.

All are differentiable in x.
"""

from functools import partial

import torch
from torch import Tensor

from pipeline.explanations.method import Background, ExplanationMethod, Method
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


def pulled_back(model: Senn, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """Relevances pulled back to the input: (x_i - b_i) Σ_k θ_kc(x) ∂h_k/∂x_i for c = `target`.

    What the features say through the concepts, with the relevances taken at their word, as
    constants: gradient × input of Σ_k θ_kc h_k(·), one VJP through the conceptizer alone with
    cotangent θ_·c. θᵀJ^h is what a SENN's robustness loss compares with ∇f_c (paper, section 3.3):
    the difference to ∇f_c ⊙ (x - b) is -r_c ⊙ (x - b), and none where that loss is 0. Of concepts
    that are the features it is θ_ic (x_i - b_i): with b = 0 the contributions.

    Parameters
    ----------
    x : (B, *input_shape)
    target : (B,), int64
    baseline : (*input_shape), b, an input that stands for absence.

    Returns
    -------
    (B, *input_shape)
    """
    is_differentiable = x.requires_grad and torch.is_grad_enabled()
    theta = relevances(model, x, target)
    with torch.enable_grad():
        point = x if is_differentiable else x.detach().requires_grad_()
        concepts = model.conceptizer.encode(point)
        (pulled,) = torch.autograd.grad(concepts, point, theta, create_graph=is_differentiable)
    return pulled * (x - baseline)


def _pull_back(background: Background) -> Method[Senn]:
    return partial(pulled_back, baseline=background.baseline)


SENN_METHODS = (
    ExplanationMethod(
        "relevance", "Relevance θ", "self-explaining", "concepts", lambda background: relevances
    ),
    ExplanationMethod(
        "contribution",
        "Contribution θ·h",
        "self-explaining",
        "concepts",
        lambda background: contributions,
    ),
    ExplanationMethod(
        "pull_back", "Pulled-back relevance", "self-explaining", "inputs", _pull_back
    ),
)
