"""Linear layers as rules of relevance propagation see them: Σ_i x_i w_ij with any x and w."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models.layered import WeightedSum
from pipeline.models.senn import sum_aggregator
from pipeline.models.standard import Joined, Sum

LINEAR = (nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, WeightedSum, Joined, Sum)


class LinearMap(NamedTuple):
    """A linear layer and its input: ``output = apply(x, weight) + bias``.

    `apply` is linear in each of its arguments. `bias` can be broadcast to the output. ``adjoint(s,
    weight)`` is wᵀ s; where it is None, autograd computes that.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    x: Tensor
    weight: Tensor
    bias: Tensor
    output: Tensor
    adjoint: Callable[[Tensor, Tensor], Tensor] | None = None

    def negative(self) -> "LinearMap":
        """The map with the output negated."""
        return self._replace(weight=-self.weight, bias=-self.bias, output=-self.output)


def linear_map(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> LinearMap:
    """A layer of one of the types `LINEAR` as a linear map of its first input.

    The weights of average pooling and of a sum are equal, and rules depend on their ratios alone,
    so one weight of 1 stands for them. The product of a SENN is linear in its concepts; its weights
    are the relevances θ.
    """
    x, none = inputs[0], output.new_zeros(())
    match layer:
        case nn.Linear() | Joined():
            bias = none if layer.bias is None else layer.bias.detach()
            return LinearMap(F.linear, x, layer.weight.detach(), bias, output, torch.matmul)
        case nn.Conv2d():
            bias = none if layer.bias is None else layer.bias.detach()[:, None, None]
            return LinearMap(
                lambda x, weight: layer._conv_forward(x, weight, None),
                x,
                layer.weight.detach(),
                bias,
                output,
            )
        case nn.AvgPool2d() | nn.AdaptiveAvgPool2d() | Sum():
            one = output.new_ones(())
            return LinearMap(lambda x, weight: layer.forward(x) * weight, x, one, none, output)
        case WeightedSum():
            return LinearMap(sum_aggregator, x, inputs[1], none, output)
    raise TypeError(f"{type(layer).__name__} is not linear")


Part = tuple[Tensor, Tensor]


def distribute(
    linear: LinearMap,
    relevance: Tensor,
    parts: Sequence[Part],
    bias: Tensor | float = 0.0,
    epsilon: float = 0.0,
) -> Tensor:
    """R_i = Σ_j z_ij / z_j R_j with z_ij = Σ_parts x_i w_ij and z_j = Σ_i z_ij + b_j.

    Computed without forming the z_ij: s = R / z, c = wᵀ s, R_i = x_i c_i (Montavon, Samek and
    Müller 2018).

    Parameters
    ----------
    linear : LinearMap
    relevance : R_j, shaped like its output
    parts : pairs (x, w)
        Shaped like ``linear.x`` and ``linear.weight``.
    bias : b_j
    epsilon : float
        Added to z_j with the sign of z_j.

    Returns
    -------
    R_i, shaped like ``linear.x``
    """
    by_autograd = linear.adjoint is None
    with torch.set_grad_enabled(by_autograd):
        inputs = [x.detach().requires_grad_(by_autograd) for x, _ in parts]
        weights = [weight.detach() for _, weight in parts]
        z = reduce(torch.add, map(linear.apply, inputs, weights))
    shares = _quotient(relevance, z.detach() + bias, epsilon)
    if linear.adjoint is None:
        back = torch.autograd.grad(z, inputs, shares)
    else:
        back = tuple(linear.adjoint(shares, weight) for weight in weights)
    return reduce(torch.add, (x.detach() * one for x, one in zip(inputs, back, strict=True)))


def _quotient(relevance: Tensor, z: Tensor, epsilon: float) -> Tensor:
    """R / z, and 0 where z is 0 or so close to 0 that the quotient could overflow."""
    if epsilon:
        z = torch.where(z < 0, z - epsilon, z + epsilon)
    is_zero = z.abs() < torch.finfo(z.dtype).tiny ** 0.5
    return torch.where(is_zero, 0.0, relevance / z.masked_fill(is_zero, 1.0))
