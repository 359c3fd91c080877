"""Methods of captum 0.9.0 (Kokhlikyan et al. 2020) in the call shape of all methods.

Not differentiable in x. `baseline` (*input_shape) stands for absence. DeepLIFT and guided
backpropagation go through a network layer by layer: in modules other than a `Senn`, captum finds
the layers only if every ReLU, tanh and pooling is a separate module that is used once.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from pipeline.core.kinds import kind_of
from pipeline.explanations.perturbation import FORWARD_BATCH
from pipeline.metrics.batches import at_once
from pipeline.models.layered import LayeredSenn, layered
from pipeline.models.senn import logits

INTEGRATION_POINTS = (20, 40, 80, 160, 320, 640)  # of the quadrature; more where fewer miss
COMPLETENESS = 0.05  # by how many logits the sum may miss f_c(x) - f_c(b)
_FAINT = 1e-20


def integrated_gradients(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """(x_i - b_i) ∫₀¹ ∂_i f_c(b + t (x - b)) dt; its sum is f_c(x) - f_c(b).

    Sundararajan, Taly & Yan 2017, equation 1, by Gauss-Legendre quadrature. A ReLU network's
    gradient jumps along the path, so the points are doubled, up to 640, for each example whose sum
    misses the difference by more than `COMPLETENESS`. Of texts the path starts with the same number
    of words, all without content: at no words at all the logits jump.
    """
    from captum.attr import IntegratedGradients  # slow to import: not before it is run

    method = IntegratedGradients(partial(logits, model))
    attributions, rows = torch.zeros_like(x), torch.arange(len(x), device=x.device)
    is_text = kind_of(x.shape[1:]) == "texts"
    start = baseline + _FAINT * x.detach() if is_text else baseline.expand_as(x)
    for points in INTEGRATION_POINTS:
        values, errors = method.attribute(
            x[rows].detach(),
            start[rows],
            target[rows],
            n_steps=points,
            internal_batch_size=max(at_once(FORWARD_BATCH, x), len(rows)),
            return_convergence_delta=True,
        )
        attributions[rows] = values.detach().to(x.dtype)
        rows = rows[errors.abs() > COMPLETENESS]
        if len(rows) == 0:
            break
    return attributions


def deep_lift(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """Differences from the baseline, propagated back by layer; the sum is f_c(x) - f_c(b).

    Shrikumar, Greenside & Kundaje 2017, rescale rule. Where captum has no rule it differentiates at
    x. For the product θ·h of a `Senn` that would make the sum too large, by Σ_k Δθ_kc Δh_k; here
    the product has a rule, see `_SecantSenn`.
    """
    from captum.attr import DeepLift  # slow to import: not before it is run

    network = layered(model)
    if isinstance(network, LayeredSenn):
        network = _SecantSenn(network)
    # Where a pooling's input equals the baseline's, captum takes the gradient of the batch's first
    # example (issue 1276). That adds nothing to the sum, and changes a feature's value only where
    # changes cancel to the last bit.
    with _quietly(), _copied_inputs(network):
        point, reference = x.detach().requires_grad_(), baseline.expand_as(x)
        attributions: Tensor = DeepLift(network).attribute(point, reference, target)
    return attributions.detach()


def guided_backprop(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The gradient of f_c, of which only the positive part passes back through a ReLU.

    Springenberg, Dosovitskiy, Brox & Riedmiller 2015, section 3.4. The product θ·h of a
    `Senn` and its tanh pass back their ordinary gradients.
    """
    from captum.attr import GuidedBackprop

    with _quietly():
        point = x.detach().requires_grad_()
        attributions: Tensor = GuidedBackprop(layered(model)).attribute(point, target)
    return attributions.detach()


class _SecantSenn(nn.Module):
    """Σ_k θ_kc h_k of a batch of inputs followed by their baselines, up to a constant per pair.

    Each factor of θ·h is weighted by the other's mean over input and baseline, so that the two
    shares add up to the change: Δ(θh) = θ̄ Δh + h̄ Δθ. This is the rule for element-wise products of
    Shrikumar et al. 2016 (arXiv 1605.01713), and the Shapley values of the two factors.
    """

    def __init__(self, senn: LayeredSenn) -> None:
        super().__init__()
        self.concepts, self.relevances, self.product = senn.concepts, senn.relevances, senn.product

    def forward(self, x: Tensor) -> Tensor:
        h, theta = self.concepts(x), self.relevances(x)
        linearised: Tensor = self.product(h, _middle(theta)) + self.product(_middle(h), theta)
        return linearised


def _middle(values: Tensor) -> Tensor:
    """Constant means of inputs and baselines, from values (2B, ...): inputs, then baselines."""
    inputs, baselines = values.detach().chunk(2)
    return ((inputs + baselines) / 2).repeat(2, *(1 for _ in values.shape[1:]))


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence captum's notice that it sets hooks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting (forward, )?backward hooks")
        yield


@contextmanager
def _copied_inputs(network: nn.Module) -> Iterator[None]:
    """Give every layer of `network` a copy of its input.

    captum hooks both a layer's output and the next layer's input. If these are one tensor, as
    between a pooling and a ReLU, the pooling gets a gradient to which the ReLU's rule has not yet
    been applied (issue 1104).
    """
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: tuple(value.clone() for value in inputs))
        for layer in network.modules()
        if layer is not network and next(layer.children(), None) is None
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
