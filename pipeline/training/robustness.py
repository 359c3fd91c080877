r"""The robustness loss L_θ: how far θ(x) is from being the gradient of f with respect to h.

The paper's equation 3: L_θ = ‖∇ₓf(x) − θ(x)ᵀ Jʰₓ(x)‖. With f_c = Σ_k θ_kc h_k the product rule
gives ∇ₓf_c = Σ_k θ_kc ∇h_k + Σ_k h_k ∇θ_kc, so the residual of class c is

    r_c(x) = Σ_k h_k(x) ∇ₓθ_kc(x),

one vector-Jacobian product (VJP) through the parameterizer alone, with cotangent h: no Jacobian
of h, none of f. The published codes differentiate something else than the logits f; their
residuals are VJPs too, with other cotangents on θ and h. A variant is the function that says which
(`of_logits`, `of_log_softmax`), all else is shared.

`table_kernel` has this loss a second time, compiled, for the variants that `table_stepping` names;
tests/training/test_table_stepping.py holds the two equal.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from pipeline.core.params import Robustness
from pipeline.core.params_choices import VARIANTS, Variant, implementation
from pipeline.core.params_types import Reduction
from pipeline.models.senn import Senn, SennNoise, SennOutput

Cotangents: TypeAlias = tuple[Tensor, Tensor | None]
Target: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], Cotangents]
"""What a variant is, ``(h, theta, logits, d)`` to `Cotangents`; see `of_logits`."""


class Linearised(NamedTuple):
    """A SENN's `output` at the batch `x`, kept so that VJPs can be taken back to x."""

    output: SennOutput
    x: Tensor


def linearise(senn: Senn, x: Tensor, noise: SennNoise | None = None) -> Linearised:
    """Run `senn` on x (B, *input_shape), keeping what VJPs need."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return Linearised(senn(x, noise), x)


def robustness_loss(
    at: Linearised,
    variant: Variant,
    reduction: Reduction,
    probes: Tensor | None = None,
) -> Tensor:
    """L_θ of one batch, a scalar.

    Parameters
    ----------
    at : the SENN linearised at the batch; its aggregator is the sum.
    variant : ``paper2018``, the paper's equation 3 on the logits; ``review2020`` and
        ``authors2018``, on their log-softmax, as in the published codes (see `residuals`).
    reduction : ``batch``, the Frobenius norm over the whole batch tensor, as published;
        ``example``, the mean over examples of the per-example norm, independent of the batch size.
    probes : (P, B, C) random signs for the estimate E‖Σ_c ε_c r_c‖² = Σ_c ‖r_c‖², one VJP a probe;
        None for the exact loss, one VJP a class. The estimated square is unbiased; its root is
        biased low (Jensen), hardly so under ``batch``, where the squares of all examples are
        summed before the root.
    """
    r = residuals(at, variant, probes)
    features = at.x.ndim - at.output.logits.ndim + 1
    r = r.flatten(-features)  # (*M, D, B, features)
    squares = r.shape[-3] if probes is not None and not _tabular_review(at, variant) else 1
    if reduction == "batch":
        return torch.linalg.vector_norm(r, dim=(-3, -2, -1)) / squares**0.5
    return torch.linalg.vector_norm(r, dim=(-3, -1)).mean(-1) / squares**0.5


def residuals(at: Linearised, variant: Variant, probes: Tensor | None = None) -> Tensor:
    """Residuals Σ_c d_c r_c in each direction d over the classes, (D, B, *input_shape) of a model.

    Exact: D = C, and the directions are the classes. With `probes` (P, B, C): D = P.

    What a variant differentiates is its function in `params_choices`; from the gradient θᵀJʰ is
    subtracted. ``review2020`` on tables, inputs (B, d), takes *one* gradient,
    Σ_c ∇ℓ_c, for all classes and subtracts θ itself, a quirk of that code. It costs one VJP, so
    `probes` are not used there, and the result is always exact, (C, B, d).

    Raises
    ------
    ValueError
        For ``review2020`` on a table whose concepts are not its features.
    """
    h, theta, logits = at.output.concepts, at.output.relevances, at.output.logits
    classes = logits.shape[-1]
    if _tabular_review(at, variant):
        if at.x.shape != h.shape:
            raise ValueError(
                "robustness.variant review2020 on a table needs the identity conceptizer: "
                f"inputs have shape {tuple(at.x.shape)}, concepts {tuple(h.shape)}"
            )
        q = 1 - classes * logits.softmax(-1)  # Σ_c ∇ℓ_c = Σ_c q_c ∇f_c
        summed = _vjp(at, h.unsqueeze(-1) * q.unsqueeze(-2), (theta * q.unsqueeze(-2)).sum(-1))
        return summed.unsqueeze(-3) - theta.movedim(-1, -3)
    if probes is None:
        one_hot = torch.eye(classes, dtype=theta.dtype, device=theta.device)
        probes = one_hot.reshape(classes, *[1] * (logits.ndim - 1), classes)
    target: Target = implementation(VARIANTS[variant])
    pulled = [_vjp(at, *target(h, theta, logits, d)) for d in probes]
    return torch.stack(pulled, logits.ndim - 2)


def directions(robustness: Robustness, input_shape: Sequence[int]) -> int | Literal["exact"]:
    """How many random directions over the classes the loss takes of each example, or all classes.

    `robustness.probes`, but where one gradient serves all classes, which is as exact as it is
    cheap.
    """
    is_table = len(input_shape) == 1
    return "exact" if robustness.variant == "review2020" and is_table else robustness.probes


def draw_probes(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Rademacher signs of `shape`, independent throughout."""
    signs = torch.empty(shape, device=generator.device).bernoulli_(0.5, generator=generator)
    return signs.mul_(2).sub_(1)


def of_logits(h: Tensor, theta: Tensor, logits: Tensor, d: Tensor) -> Cotangents:
    """Cotangents on θ (B, K, C) and on h (B, K), or None for 0, whose VJPs sum to Σ_c d_c r_c.

    Of the logits f: h on θ_c, in proportion to d_c (see the top of this file).

    Parameters
    ----------
    h, theta, logits : (B, K), (B, K, C) and (B, C), what the model says.
    d : (B, C) or (C,), the direction over the classes.
    """
    return h.unsqueeze(-1) * d.unsqueeze(-2), None


def of_log_softmax(h: Tensor, theta: Tensor, logits: Tensor, d: Tensor) -> Cotangents:
    """As `of_logits`, of the logits' log-softmax; of their sigmoid if there is one class.

    With target t(f), ∇t_c = Σ_j T_cj ∇f_j, the residual ∇t_c − θ_cᵀJʰ has Σ_j T_cj h on θ_j, and
    Σ_j T_cj θ_j − θ_c on h. T is 1 − p for log-softmax (T_cj = [c=j] − p_j), σ(1 − σ) for the
    sigmoid; for logits it would be the identity.
    """
    if logits.shape[-1] == 1:
        slope = torch.sigmoid(logits) * torch.sigmoid(-logits)
        weights, excess = slope * d, (slope - 1) * d
    else:
        excess = -d.sum(-1, keepdim=True) * logits.softmax(-1)
        weights = d + excess
    on_h = (theta * excess.unsqueeze(-2)).sum(-1)
    return h.unsqueeze(-1) * weights.unsqueeze(-2), on_h


def _vjp(at: Linearised, on_theta: Tensor, on_h: Tensor | None) -> Tensor:
    """Cotangents on θ and h, pulled back to the shape of x; differentiable if gradients are on."""
    outputs, cotangents = [at.output.relevances], [on_theta]
    if on_h is not None:
        outputs, cotangents = [*outputs, at.output.concepts], [*cotangents, on_h]
    (pulled,) = torch.autograd.grad(
        outputs, at.x, cotangents, retain_graph=True, create_graph=torch.is_grad_enabled()
    )
    return pulled


def _tabular_review(at: Linearised, variant: Variant) -> bool:
    """Whether the published code for tables applies: inputs (B, d) under ``review2020``."""
    return variant == "review2020" and at.x.ndim == at.output.logits.ndim
