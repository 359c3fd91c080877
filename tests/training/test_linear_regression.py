"""The project's first test case: on a linear regression, relevances are the coefficients.

y = x · w + noise, concepts are the features, one output, squared error. Any θ with θ(x) · x = w · x
fits the data as well; only the robustness loss, which is 0 for constant θ, singles out θ(x) = w.
"""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from pipeline.models.conceptizers import IdentityConceptizer
from pipeline.models.parameterizers import MlpParameterizer
from pipeline.models.senn import Senn
from pipeline.training.robustness import linearise, robustness_loss

COEFFICIENTS = torch.tensor([2.0, -1.0, 0.5, 0.0])
STEPS = 600


class Regression(NamedTuple):
    """Data, and their least squares: the estimate and its standard errors."""

    x: Tensor
    y: Tensor
    estimate: Tensor
    errors: Tensor


@pytest.fixture(scope="module")
def regression() -> Regression:
    generator = torch.Generator().manual_seed(0)
    n, d = 200, len(COEFFICIENTS)
    x = torch.randn(n, d, generator=generator)
    y = x @ COEFFICIENTS + 0.1 * torch.randn(n, generator=generator)
    estimate = torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
    variance = (y - x @ estimate).square().sum() / (n - d)
    return Regression(x, y, estimate, (variance * (x.T @ x).inverse().diagonal()).sqrt())


def relevances(data: Regression, robust_reg: float, reduction: str) -> Tensor:
    """Relevances (N, d) of a SENN trained on `data`, all of it at every step."""
    torch.manual_seed(0)
    d = len(COEFFICIENTS)
    senn = Senn(IdentityConceptizer((d,)), MlpParameterizer((d,), d, 1, (16,), 0.0))
    adam = torch.optim.Adam(senn.parameters(), lr=0.02)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(adam, STEPS)
    for _ in range(STEPS):
        at = linearise(senn, data.x)
        loss = (at.output.logits[:, 0] - data.y).square().mean()
        loss = loss + robust_reg * robustness_loss(at, "paper2018", reduction)
        adam.zero_grad()
        loss.backward()
        adam.step()
        decay.step()
    return senn(data.x).relevances[..., 0].detach()


# The norm over a batch of N weighs as much as sqrt(N) times the mean norm of its examples.
@pytest.mark.parametrize(("reduction", "robust_reg"), [("batch", 1.0), ("example", 200**0.5)])
def test_robustness_loss_recovers_the_coefficients(regression, reduction, robust_reg):
    theta = relevances(regression, robust_reg, reduction)
    # With θ constant the loss is least at least squares; Adam stops within a fraction of its
    # standard errors (.007 to .009), at every one of the examples.
    optimisation = 0.5 * regression.errors
    assert (theta - regression.estimate).abs().max(0).values.lt(optimisation).all()
    # Least squares itself is this far from the truth, once in a million.
    statistical = 5 * regression.errors
    assert (theta - COEFFICIENTS).abs().max(0).values.lt(statistical + optimisation).all()


def test_without_it_relevances_are_not_the_coefficients(regression):
    theta = relevances(regression, 0.0, "batch")
    fitted = (theta * regression.x).sum(1)
    assert (
        fitted - regression.y
    ).square().mean() < 0.1**2  # the data are fitted, down to the noise
    # Yet relevances are off by more than the 5.5 standard errors granted above, on average too.
    off = (theta - COEFFICIENTS).abs() / regression.errors
    assert off.max(0).values.min() > 20
    assert off.square().mean().sqrt() > 5.5
