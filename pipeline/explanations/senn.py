"""SENN's own explanations: relevances and contributions of concepts, and their pull-back to inputs.

All are differentiable in x.
"""

import torch
from torch import Tensor

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

    Parameters and result as for `relevances`.
    """
    return relevances(model, x, target) * model.conceptizer.encode(x)


def pulled_back(model: Senn, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """Relevances pulled back to the input: (x_i - b_i) Σ_k θ_kc(x) ∂h_k/∂x_i for c = `target`.

    Gradient × input of Σ_k θ_kc h_k(·) with the relevances held constant: one VJP through the
    conceptizer alone, with cotangent θ_·c. A SENN's robustness loss compares θᵀJ^h with ∇f_c
    (paper, section 3.3), so this differs from ∇f_c ⊙ (x - b) by -r_c ⊙ (x - b), which vanishes
    where that loss is 0. If the concepts are the features it is θ_ic (x_i - b_i), the contributions
    for b = 0.

    x and target as for `relevances`; `baseline` (*input_shape) is b, which stands for absence.
    Returns (B, *input_shape).
    """
    is_differentiable = x.requires_grad and torch.is_grad_enabled()
    theta = relevances(model, x, target)
    with torch.enable_grad():
        point = x if is_differentiable else x.detach().requires_grad_()
        concepts = model.conceptizer.encode(point)
        (pulled,) = torch.autograd.grad(concepts, point, theta, create_graph=is_differentiable)
    return pulled * (x - baseline)
