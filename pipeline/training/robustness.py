r"""The robustness loss L_θ: how far θ(x) is from being the gradient of f with respect to h.

The paper's equation 3: L_θ = ‖∇ₓf(x) − θ(x)ᵀ Jʰₓ(x)‖. With f_c = Σ_k θ_kc h_k the product rule
gives ∇ₓf_c = Σ_k θ_kc ∇h_k + Σ_k h_k ∇θ_kc, so the residual of class c is

    r_c(x) = Σ_k h_k(x) ∇ₓθ_kc(x),

one vector-Jacobian product (VJP) through the parameterizer alone, with cotangent h: no Jacobian
of h, none of f. The published codes differentiate another target t(f) than the logits f; a variant
is the function that says how t depends on them, ∂t_c/∂f_j = a_c [c = j] − b_j (`Slope`), and

    r_c(x) = ∇t_c − θ_cᵀJʰ = Σ_k h_k a_c ∇θ_kc + (a_c − 1) Σ_k θ_kc ∇h_k − Σ_j b_j ∇f_j.

The last term is the same for all classes: the exact loss takes it from one VJP through both
networks.

`table_kernel` has this loss a second time, compiled, for the variants that `table_stepping` names;
tests/training/test_table_stepping.py holds the two equal.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor
from torch.func import vjp, vmap

from pipeline.core.kinds import kind_of
from pipeline.core.params import Robustness
from pipeline.core.params_choices import VARIANTS, Variant, implementation
from pipeline.core.params_types import Reduction
from pipeline.models.conceptizers import Latent
from pipeline.models.senn import Senn, SennNoise, SennOutput


class Slope(NamedTuple):
    """How a variant's target t depends on the logits: ∂t_c/∂f_j = a_c [c = j] − b_j.

    `a` and `b` are (B, C), or None: a = 1, b = 0.
    """

    a: Tensor | None
    b: Tensor | None


Target: TypeAlias = Callable[[Tensor], Slope]
"""What a variant is: logits (B, C) to `Slope`."""


class Linearised(NamedTuple):
    """A SENN's `output` at the batch `x`, and VJPs back to the shape of x.

    `pull_theta` takes several cotangents on θ, (D, B, K, C), to (D, *x.shape), `pull_h` one on h,
    (B, K). `at_once` says that several cost hardly more than one.
    """

    output: SennOutput
    x: Tensor
    pull_theta: Callable[[Tensor], Tensor]
    pull_h: Callable[[Tensor], Tensor]
    at_once: bool


def linearise(senn: Senn, x: Tensor, noise: SennNoise | None = None) -> Linearised:
    """Run `senn` on x (B, *input_shape), keeping what VJPs need; one VJP after the other."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        output = senn(x, noise)

    def pull(output: Tensor, cotangent: Tensor) -> Tensor:
        (pulled,) = torch.autograd.grad(
            output, x, cotangent, retain_graph=True, create_graph=torch.is_grad_enabled()
        )
        return pulled

    return Linearised(
        output,
        x,
        lambda cotangents: torch.stack([pull(output.relevances, each) for each in cotangents]),
        lambda cotangent: pull(output.concepts, cotangent),
        at_once=False,
    )


def linearise_plain(senn: Senn, x: Tensor, noise: SennNoise | None = None) -> Linearised:
    """The same for ``torch.func``, all VJPs at once; the layers of `senn` must be `plain`."""
    masks, latent_noise = (None, None) if noise is None else noise

    def conceptizer(x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        values, reconstruction, latent = senn.conceptizer(x, latent_noise)
        return values, (reconstruction, *(latent or ()))  # no None among them, for vjp

    theta, pull_theta = cast(Any, vjp(lambda x: senn.parameterizer(x, masks), x))
    h, pull_h, (reconstruction, *latent) = cast(Any, vjp(conceptizer, x, has_aux=True))
    output = SennOutput(
        senn.aggregator(h, theta), h, theta, reconstruction, Latent(*latent) if latent else None
    )
    return Linearised(
        output,
        x,
        lambda cotangents: vmap(pull_theta)(cotangents)[0],
        lambda cotangent: pull_h(cotangent)[0],
        at_once=True,
    )


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
    r = residuals(at, variant, probes).flatten(2)  # (D, B, features)
    squares = len(r) if probes is not None and not _tabular_review(variant, at.x.shape[1:]) else 1
    if reduction == "batch":
        return torch.linalg.vector_norm(r) / squares**0.5
    return torch.linalg.vector_norm(r, dim=(0, 2)).mean() / squares**0.5


def residuals(at: Linearised, variant: Variant, probes: Tensor | None = None) -> Tensor:
    """Residuals Σ_c d_c r_c in each direction d over the classes, (D, B, *input_shape).

    Exact: D = C, and the directions are the classes. With `probes` (P, B, C): D = P.

    ``review2020`` on tables, inputs (B, d), takes *one* gradient, Σ_c ∇t_c, for all classes and
    subtracts θ itself, a quirk of that code. It costs one VJP, so `probes` are not used there, and
    the result is always exact, (C, B, d).

    Raises
    ------
    ValueError
        For ``review2020`` on a table whose concepts are not its features.
    """
    h, theta, logits = at.output.concepts, at.output.relevances, at.output.logits
    classes = logits.shape[1]

    def on_theta(weights: Tensor) -> Tensor:
        """Of Σ_c weights_c f_c, (..., B, C), the cotangents on θ, (..., B, K, C)."""
        return h.unsqueeze(2) * weights.unsqueeze(-2)

    def on_h(weights: Tensor) -> Tensor:
        """The cotangent on h, (B, K), of the same; the two VJPs add up to Σ_c weights_c ∇f_c."""
        return (theta * weights.unsqueeze(1)).sum(2)

    if _tabular_review(variant, at.x.shape[1:]):
        if at.x.shape != h.shape:
            raise ValueError(
                "robustness.variant review2020 on a table needs the identity conceptizer: "
                f"inputs have shape {tuple(at.x.shape)}, concepts {tuple(h.shape)}"
            )
        q = 1 - classes * logits.softmax(1)  # Σ_c ∇t_c = Σ_c q_c ∇f_c
        summed = at.pull_theta(on_theta(q.unsqueeze(0))) + at.pull_h(on_h(q))
        return summed - theta.movedim(2, 0)

    if probes is None:
        one_hot = torch.eye(classes, dtype=theta.dtype, device=theta.device)
        d = one_hot.unsqueeze(1).expand(classes, *logits.shape)
    else:
        d = probes
    target: Target = implementation(VARIANTS[variant])
    a, b = target(logits)
    scaled = d if a is None else a * d
    if b is None:
        r = at.pull_theta(on_theta(scaled))
    elif probes is None or at.at_once:  # Σ_j b_j ∇f_j once, as one more direction
        pulled = at.pull_theta(on_theta(torch.cat([scaled, b.unsqueeze(0)])))
        r, shared = pulled.split([len(scaled), 1])
        r = r - _times(d.sum(2), shared.squeeze(0) + at.pull_h(on_h(b)))
    else:  # with every probe's own
        excess = -d.sum(2, keepdim=True) * b
        of_concepts = torch.stack([at.pull_h(on_h(weights)) for weights in excess])
        r = at.pull_theta(on_theta(scaled + excess)) + of_concepts
    if a is not None:
        r = r + torch.stack([at.pull_h(on_h(weights)) for weights in scaled - d])
    return r


def _times(factors: Tensor, x: Tensor) -> Tensor:
    """Inputs x (B, *input_shape) times factors (D, B): (D, B, *input_shape)."""
    return factors.reshape(*factors.shape, *[1] * (x.ndim - 1)) * x


def directions(robustness: Robustness, input_shape: Sequence[int]) -> int | Literal["exact"]:
    """How many random directions over the classes the loss takes of each example, or all classes.

    `robustness.probes`, but where one gradient serves all classes, which is as exact as it is
    cheap.
    """
    one_serves_all = _tabular_review(robustness.variant, input_shape)
    return "exact" if one_serves_all else robustness.probes


def draw_probes(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Rademacher signs of `shape`, independent throughout."""
    signs = torch.empty(shape, device=generator.device).bernoulli_(0.5, generator=generator)
    return signs.mul_(2).sub_(1)


def of_logits(logits: Tensor) -> Slope:
    """The logits themselves (the paper's equation 3)."""
    return Slope(None, None)


def of_log_softmax(logits: Tensor) -> Slope:
    """Their log-softmax, ∂t_c/∂f_j = [c = j] − p_j; their sigmoid σ if there is one class."""
    if logits.shape[1] == 1:
        return Slope(torch.sigmoid(logits) * torch.sigmoid(-logits), None)
    return Slope(None, logits.softmax(1))


def _tabular_review(variant: Variant, input_shape: Sequence[int]) -> bool:
    """Whether the published code for tables applies: inputs (d,) under ``review2020``."""
    return variant == "review2020" and kind_of(input_shape) == "tables"
