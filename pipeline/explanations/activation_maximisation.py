"""Activation maximisation: the input that a model finds most typical of a class.

    x*_c = argmax_x  log p(c|x) - λ ‖x - x̄‖²   within the range of the inputs,

where x̄ is the mean of the data (Montavon, Samek & Müller 2018, section 3.1, who regularise towards
0 or a density of the data). The log-probability is high for c and low for all other classes.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipeline.models.senn import logits

STEPS = 150  # with 400, an MNIST prototype gains at most 0.01 in log-probability
RESTARTS = 4
_RATE = 0.1  # Adam's learning rate at the start, in units of the range; falls linearly to 0
_SEED = 0


def class_prototypes(
    model: nn.Module, mean: Tensor, low: float, high: float, l2: float
) -> tuple[Tensor, Tensor]:
    """Maximise each class's objective by projected Adam, from several starts at once.

    Parameters
    ----------
    model : a `Senn`, or a module that maps (B, *input_shape) to logits (B, C).
    mean : (*input_shape), x̄, the first start; the others are uniform in the range.
    low, high : range of the inputs, onto which every step is projected.
    l2 : λ ≥ 0.

    Returns
    -------
    x : (C, *input_shape), where the best start of each class ended; ties go to the first.
    probability : (C,), of each prototype's class.
    """
    with torch.no_grad():
        classes = logits(model, mean.unsqueeze(0)).shape[1]
    target = torch.arange(classes, device=mean.device).repeat(RESTARTS)

    def objective(x: Tensor) -> Tensor:
        scores = logits(model, x).log_softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)
        return scores - l2 * (x - mean).flatten(1).square().sum(1)

    x = _starts(mean, low, high, classes)
    with torch.enable_grad():
        _ascend(x.requires_grad_(), objective, low, high)
    with torch.no_grad():
        best = objective(x).view(RESTARTS, classes).argmax(0)
        label = torch.arange(classes, device=mean.device)
        prototypes = x.detach().unflatten(0, (RESTARTS, classes))[best, label]
        probability = logits(model, prototypes).softmax(1)[label, label]
    return prototypes, probability


def _starts(mean: Tensor, low: float, high: float, classes: int) -> Tensor:
    """The mean, and random points drawn on the CPU: (RESTARTS · classes, *input_shape)."""
    generator = torch.Generator().manual_seed(_SEED)
    shape = (RESTARTS, classes, *mean.shape)
    starts = low + (high - low) * torch.rand(shape, generator=generator).to(mean)
    starts[0] = mean
    return starts.flatten(0, 1).clamp(low, high)


def _ascend(x: Tensor, objective: Callable[[Tensor], Tensor], low: float, high: float) -> None:
    """Run Adam on every example's objective separately, in place."""
    optimizer = torch.optim.Adam([x], lr=_RATE * (high - low), maximize=True, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    for _ in range(STEPS):
        (x.grad,) = torch.autograd.grad(objective(x).sum(), x)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            x.clamp_(low, high)
