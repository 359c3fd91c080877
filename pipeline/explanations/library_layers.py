"""Methods of captum 0.9.0 (Kokhlikyan et al. 2020) that go through a network layer by layer.

Not differentiable in x. For modules other than a `Senn`, captum finds their layers only if every
ReLU, tanh and pooling is a module of its own, and used once.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from captum.attr import DeepLift, GuidedBackprop
from torch import Tensor, nn

from pipeline.models.layered import LayeredSenn, layered


def deep_lift(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """Differences from the baseline, carried back layer by layer; the sum is f_c(x) - f_c(b).

    Shrikumar, Greenside & Kundaje 2017, rescale rule. What captum has no rule for it differentiates
    at x; of a `Senn` that would be the product θ·h, and the sum Σ_k Δθ_kc Δh_k too large. Here the
    product has its rule, see `_SecantSenn`.

    Parameters
    ----------
    x : (B, *input_shape)
    target : (B,), int64
    baseline : (*input_shape), stands for absence.

    Returns
    -------
    (B, *input_shape)
    """
    network = layered(model)
    if isinstance(network, LayeredSenn):
        network = _SecantSenn(network)
    # Where a pooling's input is the baseline's, captum takes the gradient of the batch's first
    # example (issue 1276). It adds nothing to the sum, and something to features only where their
    # changes cancel to the last bit.
    with _quietly(), _own_inputs(network):
        point, reference = x.detach().requires_grad_(), baseline.expand_as(x)
        attributions: Tensor = DeepLift(network).attribute(point, reference, target)
    return attributions.detach()


def guided_backprop(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The gradient of f_c, of which only what is positive goes back through a ReLU.

    Springenberg, Dosovitskiy, Brox & Riedmiller 2015, section 3.4. Parameters as for `deep_lift`.
    The product θ·h of a `Senn` and its tanh have their gradients.
    """
    with _quietly():
        point = x.detach().requires_grad_()
        attributions: Tensor = GuidedBackprop(layered(model)).attribute(point, target)
    return attributions.detach()


class _SecantSenn(nn.Module):
    """Σ_k θ_kc h_k of a batch of inputs and then their baselines, up to a constant for each pair.

    The other factor of θ·h is taken at the middle of input and baseline, so that what the two have
    between them is exactly the change: Δ(θh) = θ̄ Δh + h̄ Δθ, the rule for element-wise products of
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
    """Of values (2B, ...), first those of inputs, then of baselines: the constant means of both."""
    inputs, baselines = values.detach().chunk(2)
    return ((inputs + baselines) / 2).repeat(2, *(1 for _ in values.shape[1:]))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without captum's notice that it sets hooks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting (forward, )?backward hooks")
        yield


@contextmanager
def _own_inputs(network: nn.Module) -> Iterator[None]:
    """Every layer of `network` gets a copy of its input.

    captum has hooks on the outputs of layers and the inputs of the next. Where these are the same
    tensor, as of a pooling and a ReLU, the pooling gets a gradient that the ReLU's rule has not yet
    changed (issue 1104).
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
