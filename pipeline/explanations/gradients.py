"""Explanations by the gradient of the target's logit with respect to the input.

Differentiable in x where x requires a gradient.
"""

import torch
from torch import Tensor, nn

from pipeline.models.senn import target_logit


def sensitivity(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """∂f_c/∂x_i for class c = `target`: the direction that makes an input more of its class.

    The saliency map of Simonyan, Vedaldi & Zisserman 2014, section 3, is its absolute value.
    """
    return logit_and_gradient(model, x, target)[1]


def squared_sensitivity(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """(∂f_c/∂x_i)² for class c = `target`.

    Decomposes ‖∇f_c‖², the local variation of the logit (Montavon, Samek & Müller 2018, section
    4.1): unlike the gradient it is never negative, and its sum has a meaning. Up to a factor it is
    also the simple Taylor decomposition at the nearest root of an affine f_c, see `taylor`.
    """
    return sensitivity(model, x, target).square()


def gradient_times_input(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """x_i ∂f_c/∂x_i for class c = `target`.

    For a ReLU network without biases this is the simple Taylor decomposition at the root point
    lim_{ε→0} εx: the network is positively homogeneous, so its gradient there is that at x, and the
    sum is f_c(x) (Montavon, Samek & Müller 2018, section 4.2).
    """
    return sensitivity(model, x, target) * x


def logit_and_gradient(model: nn.Module, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """f_c(x) (B,) and ∇_x f_c (B, *input_shape), in x's graph if it has one, else detached.

    Leaves no gradient behind in the model or in x.
    """
    is_differentiable = x.requires_grad and torch.is_grad_enabled()
    with torch.enable_grad():
        point = x if is_differentiable else x.detach().requires_grad_()
        logit = target_logit(model, point, target)
        (gradient,) = torch.autograd.grad(logit.sum(), point, create_graph=is_differentiable)
    return (logit, gradient) if is_differentiable else (logit.detach(), gradient)
