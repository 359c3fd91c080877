"""The robustness losses as their papers define them: plain autograd, one gradient at a time."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.models.textbook import Textbook


def gradient(output: Tensor, x: Tensor) -> Tensor:
    """∇ₓ of every example's output (B,), which no other example's input enters; shaped like x."""
    if not output.requires_grad:  # a constant
        return torch.zeros_like(x)
    (result,) = torch.autograd.grad(
        output.sum(), x, create_graph=True, allow_unused=True, materialize_grads=True
    )
    return result


def robustness_residual(
    network: Textbook, x: Tensor, variant: str, masks: list[Tensor] | None = None
) -> Tensor:
    """∇ₓ target − θ(x)ᵀ Jʰₓ(x), the residual of every class, (B, C, features)."""
    x = x.detach().requires_grad_()
    logits, h, theta, *_ = network(x, masks)
    classes = logits.shape[1]
    if variant == "paper2018":
        target = logits
    elif variant == "authors2018" and classes == 1:
        target = torch.sigmoid(logits)
    elif variant in ("review2020", "authors2018"):
        target = F.log_softmax(logits, 1)
    else:
        raise ValueError(f"the textbook has no robustness loss {variant}")
    if variant == "review2020" and x.ndim == 2:
        # The review's compas_robustness_loss: ones as grad_outputs, and θ for θᵀJʰ.
        once = gradient(target.sum(1), x)
        return torch.stack([once - theta[:, :, c] for c in range(classes)], 1)
    jacobian = torch.stack([gradient(h[:, k], x).flatten(1) for k in range(h.shape[1])], 1)
    of_target = torch.stack([gradient(target[:, c], x).flatten(1) for c in range(classes)], 1)
    explained = torch.stack(
        [torch.einsum("bk,bkd->bd", theta[:, :, c], jacobian) for c in range(classes)], 1
    )
    return of_target - explained


def robustness_loss(
    network: Textbook,
    x: Tensor,
    variant: str,
    reduction: str,
    masks: list[Tensor] | None = None,
    probes: Tensor | None = None,
) -> Tensor:
    """The residual's Frobenius norm over the batch, or the mean of the examples' norms.

    With `probes` (P, B, C), the root of their mean of squared norms of Σ_c ε_c r_c.
    """
    residual = robustness_residual(network, x, variant, masks)
    if probes is not None and not (variant == "review2020" and x.ndim == 2):
        sums = [(signs.unsqueeze(2) * residual).sum(1) for signs in probes]
        residual = torch.stack(sums, 1) / len(probes) ** 0.5
    return residual.norm() if reduction == "batch" else residual.flatten(1).norm(dim=1).mean()
