"""Tensor operations as layers that propagate relevance: the parts of attention networks.

``layer(*inputs)`` computes the output. ``layer.relprop(relevance, *inputs)`` maps the relevance of
the output to that of each tensor among `inputs`. The rules are those of Chefer, Gur and Wolf (2021)
for transformers; `jax_port` has the same for JAX.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.core.errors import PipelineError
from pipeline.explanations.relprop.linear import linear_map
from pipeline.explanations.relprop.rules import AlphaBeta


def safe_divide(a: Tensor, b: Tensor) -> Tensor:
    """a / (b + 1e-9), and 0 where b = 0, as published.

    The formula is meant to move b away from 0 but always moves it up: a negative b above -1e-9
    turns positive, which flips the sign of the quotient; one just below moves towards 0; -1e-9
    counts as 1e-9.
    """
    divisor = b.clamp(min=1e-9) + b.clamp(max=1e-9)
    divisor = divisor + divisor.eq(0).to(divisor.dtype) * 1e-9
    return a / divisor * b.ne(0).to(b.dtype)


class MatMul(nn.Module):
    """Matrix product a @ b; each operand gets *all* relevance, by LRP-0 with the other held fixed.

    Together the operands get twice the product's relevance. To propagate through both, take half of
    each, as the composites here do.
    """

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.matmul(a, b)

    def relprop(self, relevance: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
            z = torch.matmul(a, b)
        of_a, of_b = torch.autograd.grad(z, (a, b), safe_divide(relevance, z.detach()))
        return a.detach() * of_a, b.detach() * of_b


class Add(nn.Module):
    """Sum a + b of two tensors of shape (B, ...), such as a residual connection.

    LRP-0 gives a_i R_i / (a_i + b_i), which is huge where a and b cancel. So the relevance of each
    operand is rescaled to a share of R: the magnitude of its total over that of both totals,
    |Σ_i R_i^a| / (|Σ_i R_i^a| + |Σ_i R_i^b|). The published code sums over the batch; here the sums
    are per example, so that examples are independent. An example's relevance is conserved, unless
    both totals are 0.
    """

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        if a.shape != b.shape:
            shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
            raise PipelineError(f"Add needs two tensors of one shape, got {shapes}")
        return torch.add(a, b)

    def relprop(self, relevance: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        share = safe_divide(relevance, self(a, b))
        of_a, of_b = a * share, b * share
        sum_a, sum_b, total = map(_per_example, (of_a, of_b, relevance))
        magnitude = sum_a.abs() + sum_b.abs()
        scale_a = safe_divide(safe_divide(sum_a.abs(), magnitude) * total, sum_a)
        scale_b = safe_divide(safe_divide(sum_b.abs(), magnitude) * total, sum_b)
        return of_a * scale_a, of_b * scale_b


def _per_example(values: Tensor) -> Tensor:
    """Sums over all dimensions but the first, (B, 1, ...)."""
    return values.sum(list(range(1, values.ndim)), keepdim=True) if values.ndim > 1 else values


class IndexSelect(nn.Module):
    """``torch.index_select``: relevance goes back to where the value came from.

    The published rule x R / x does the same, but loses the relevance of values that are 0.
    """

    def forward(self, x: Tensor, dim: int, indices: Tensor) -> Tensor:
        return torch.index_select(x, dim, indices)

    def relprop(self, relevance: Tensor, x: Tensor, dim: int, indices: Tensor) -> Tensor:
        return torch.zeros_like(x).index_add(dim, indices, relevance)


class Clone(nn.Module):
    """The same tensor for each of `number` branches, whose relevances add up.

    The published rule x Σ R / x does the same, but loses the relevance of values that are 0.
    """

    def forward(self, x: Tensor, number: int) -> list[Tensor]:
        return [x] * number

    def relprop(self, relevances: Sequence[Tensor], x: Tensor) -> Tensor:
        return torch.stack(list(relevances)).sum(0)


class Dense(nn.Linear):
    """A linear layer with LRP-αβ, β = α - 1 (`rules.AlphaBeta`); the bias gets nothing."""

    def relprop(self, relevance: Tensor, x: Tensor, alpha: float = 1.0) -> Tensor:
        linear = linear_map(self, (x,), relevance)
        return AlphaBeta(alpha, alpha - 1).share(linear, relevance)
