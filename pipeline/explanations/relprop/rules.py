"""Rules of relevance propagation, each by what sets it apart.

All rules for linear layers are R_i = Σ_j z_ij / Σ_i' z_i'j R_j and differ in z_ij. A neuron hands
on all its relevance (conservation) wherever the denominator is not 0 and contains nothing but the
z_ij. LRP-0 and LRP-ε include the bias b_j in the denominator, because it is part of the neuron's
output; the relevance that falls to the bias is lost. The other rules leave the bias out.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.explanations.relprop.linear import LinearMap, distribute, linear_map
from pipeline.models.senn import sum_aggregator

Relevances = tuple[Tensor | None, ...]
Inputs = tuple[Tensor, ...]


class LinearRule:
    """A rule for the types `linear.LINEAR`: relevance goes to their first input.

    For the product of a SENN these are the concepts. The relevances θ act as a gate, which scales
    the signal h and gets nothing (like the gates of LSTMs in Arras et al. 2017).
    """

    def share(self, linear: LinearMap, relevance: Tensor) -> Tensor:
        """Relevance of ``linear.x``, given that of the output."""
        raise NotImplementedError

    def __call__(
        self, layer: nn.Module, inputs: Inputs, output: Tensor, relevance: Tensor
    ) -> Relevances:
        shared = self.share(linear_map(layer, inputs, output), relevance)
        return shared, *(None for _ in inputs[1:])


@dataclass(frozen=True)
class Epsilon(LinearRule):
    """LRP-ε: z_ij = x_i w_ij over z_j + b_j + ε sign(z_j + b_j) (Bach et al. 2015, eq. 58).

    With ε = 0 it is LRP-0 (eq. 56), which deep Taylor decomposition calls the z rule.
    """

    epsilon: float = 0.0

    def share(self, linear: LinearMap, relevance: Tensor) -> Tensor:
        parts = [(linear.x, linear.weight)]
        return distribute(linear, relevance, parts, linear.bias, self.epsilon)


@dataclass(frozen=True)
class AlphaBeta(LinearRule):
    """LRP-αβ: α z_ij⁺ / z_j⁺ - β z_ij⁻ / z_j⁻ (Bach et al. 2015, eq. 60), where α - β = 1.

    z_ij = x_i w_ij is positive if x_i and w_ij have the same sign. Where nothing inhibits, z_j⁻ = 0
    and the formula is undefined: there the activating part gets α - β = 1, so that every neuron
    with an activating part conserves relevance.
    """

    alpha: float = 2.0
    beta: float = 1.0

    def share(self, linear: LinearMap, relevance: Tensor) -> Tensor:
        (x_pos, x_neg), (w_pos, w_neg) = _signs(linear.x), _signs(linear.weight)
        activating, inhibiting = [(x_pos, w_pos), (x_neg, w_neg)], [(x_pos, w_neg), (x_neg, w_pos)]
        if self.beta == 0:
            return self.alpha * distribute(linear, relevance, activating)
        inhibition = torch.stack([linear.apply(x, weight) for x, weight in inhibiting]).sum(0)
        beta = relevance.new_full((), self.beta).where(inhibition != 0, 0.0)
        alpha = self.alpha - self.beta + beta
        activated = distribute(linear, alpha * relevance, activating)
        return activated - distribute(linear, beta * relevance, inhibiting)


Z_PLUS = AlphaBeta(alpha=1.0, beta=0.0)
"""z⁺: z_ij = x_i w_ij⁺ for x ≥ 0 (Montavon et al. 2017).

For x of either sign this is α = 1, β = 0, which agrees with z⁺ where x ≥ 0.
"""


class WSquare(LinearRule):
    """w²: z_ij = w_ij², for x anywhere in ℝ^d (Montavon et al. 2017)."""

    def share(self, linear: LinearMap, relevance: Tensor) -> Tensor:
        parts = [(torch.ones_like(linear.x), linear.weight.square())]
        return distribute(linear, relevance, parts)


@dataclass(frozen=True)
class ZBox(LinearRule):
    """z^B: z_ij = x_i w_ij - l w_ij⁺ - h w_ij⁻ for l ≤ x ≤ h (Montavon et al. 2017)."""

    low: Tensor
    high: Tensor

    def share(self, linear: LinearMap, relevance: Tensor) -> Tensor:
        x, (positive, negative) = linear.x, _signs(linear.weight)
        low, high = (end.to(x).expand_as(x) for end in (self.low, self.high))
        parts = [(x, linear.weight), (low, -positive), (high, -negative)]
        return distribute(linear, relevance, parts)


@dataclass(frozen=True)
class Oriented(LinearRule):
    """`rule` for outputs that may be negative because no ReLU follows: logits, concepts.

    z⁺, z^B and αβ ask what makes a neuron's output max(0, z_j) large. A negative output is instead
    decomposed as -z_j = Σ_i x_i (-w_ij) - b_j, so that what makes it negative shares its relevance.
    Where a ReLU follows, a negative z_j has no relevance, and this is `rule` itself.
    """

    rule: LinearRule

    def share(self, linear: LinearMap, relevance: Tensor) -> Tensor:
        is_negative = linear.output < 0
        shared = self.rule.share(linear, relevance.masked_fill(is_negative, 0.0))
        of_negative = relevance.masked_fill(~is_negative, 0.0)
        if of_negative.any():
            shared = shared + self.rule.share(linear.negative(), of_negative)
        return shared


@dataclass(frozen=True)
class SplitProduct:
    """Half the relevance of θ_kc h_k goes to the concept h_k, and half to the relevance θ_kc.

    These are the Shapley values of the two factors of a product, with 0 as absence. Only for the
    product of a SENN.
    """

    rule: LinearRule

    def __call__(
        self, layer: nn.Module, inputs: Inputs, output: Tensor, relevance: Tensor
    ) -> Relevances:
        of_concepts = linear_map(layer, inputs, output)
        concepts, relevances = inputs
        of_relevances = of_concepts._replace(
            apply=lambda theta, h: sum_aggregator(h, theta), x=relevances, weight=concepts
        )
        half = relevance / 2
        return self.rule.share(of_concepts, half), self.rule.share(of_relevances, half)


class Transposed(LinearRule):
    """Send the signal back through the transposed layer (Zeiler and Fergus 2014, section 2.1)."""

    def share(self, linear: LinearMap, relevance: Tensor) -> Tensor:
        with torch.enable_grad():
            x = linear.x.detach().requires_grad_()
            z = linear.apply(x, linear.weight.detach())
        (signal,) = torch.autograd.grad(z, x, relevance)
        return signal


def pass_on(layer: nn.Module, inputs: Inputs, output: Tensor, relevance: Tensor) -> Relevances:
    """Give an activation function's input the relevance of its output."""
    return (relevance,)


def signal_takes_all(
    layer: nn.Module, inputs: Inputs, output: Tensor, relevance: Tensor
) -> Relevances:
    """The signal takes all relevance of signal ⊙ gate, the gate none (Arras et al. 2017b).

    "Explaining recurrent neural network predictions in sentiment analysis", section 2.2: the gate
    lies in [0, 1] and decides already in the forward pass how much of the signal goes on.
    """
    return relevance, None


@dataclass(frozen=True)
class Relprop:
    """Give each input `share` times what the layer's ``relprop`` method gives it (`operations`)."""

    share: float = 1.0

    def __call__(self, layer: Any, inputs: Inputs, output: Tensor, relevance: Tensor) -> Relevances:
        answer = layer.relprop(relevance, *inputs)
        of_each = answer if isinstance(answer, tuple) else (answer,)
        return tuple(self.share * one for one in of_each)


def rectify(layer: nn.Module, inputs: Inputs, output: Tensor, relevance: Tensor) -> Relevances:
    """Stop the negative part of the signal at a ReLU (Zeiler and Fergus 2014, section 2.1)."""
    return (relevance.clamp(min=0.0),)


def _signs(values: Tensor) -> tuple[Tensor, Tensor]:
    """The positive and the negative part."""
    return values.clamp(min=0.0), values.clamp(max=0.0)
