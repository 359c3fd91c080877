"""LIME and KernelSHAP: a linear model of f_c, of which patches of the input are present.

In the call shape of all methods; not differentiable in x. `baseline` (*input_shape) stands for
absence. The linear model's coefficient of a patch is spread evenly over its features, so a sum
over features is a sum over patches. Draws have a fixed seed and are the same for every example with
as many patches. Numbers are captum's (0.9.0, Kokhlikyan et al. 2020), which draws and transforms
one sample at a time.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pipeline.core.arithmetic import square_root
from pipeline.core.dataset import patches
from pipeline.models.logits import logits

KERNEL_SHAP_SAMPLES = 1000
LIME_SAMPLES = 500
LIME_KERNEL_WIDTH = 0.25  # in cosine distances, as in Ribeiro's implementation
LIME_RIDGE = 1.0  # as there

FORWARD_BATCH = 200  # inputs per pass; on CPUs more do not fit the cache

_SEED = 0
_EXACTLY = 1e6  # the weight of samples that the linear model must agree with


class Samples(NamedTuple):
    """Which patches are `present` (S, patches), 0 or 1, in each of S samples; their `weight` (S,).

    Both float32, on the CPU.
    """

    present: Tensor
    weight: Tensor


def kernel_shap(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """Shapley values of the patches as a regression.

    Lundberg & Lee 2017, theorem 2: least squares weighted by the Shapley kernel, on random sets of
    patches. The sum is f_c(x) - f_c(b), because x and b have a weight of a million.

    x (B, *input_shape), target (B,) int64, baseline (*input_shape); returns (B, *input_shape).
    """
    from sklearn.linear_model import LinearRegression  # slow to import: not before it is run

    draw = partial(shapley_samples, KERNEL_SHAP_SAMPLES)
    return _fitted(LinearRegression, draw, model, x, target, baseline)


def lime(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """A linear model of presence near x; parameters as for `kernel_shap`.

    Ribeiro, Singh & Guestrin 2016, section 3, as in their implementation: ridge regression on
    random halves of the patches, which stand for superpixels, weighted by their closeness to x.
    """
    from sklearn.linear_model import Ridge

    draw = partial(lime_samples, LIME_SAMPLES)
    return _fitted(partial(Ridge, alpha=LIME_RIDGE), draw, model, x, target, baseline)


@lru_cache(maxsize=64)
def shapley_samples(count: int, players: int) -> Samples:
    """All, none, and random sets, drawn as the Shapley kernel weighs them; from two players on.

    The kernel of all sets of k is p(k) ∝ (M - 1) / (k (M - k)) of M players. A set of k are the
    largest k of M normal numbers.
    """
    sizes = torch.arange(players)
    kernel = (players - 1) / (sizes * (players - sizes))
    kernel[0] = 0
    of_size = torch.distributions.Categorical(kernel)
    sets = [torch.ones(1, players), torch.zeros(1, players)]
    with same_draws():
        while len(sets) < count:
            absent = players - int(of_size.sample())
            values = torch.randn(1, players)
            sets.append((values > values.kthvalue(absent).values).float())
    weight = torch.ones(len(sets))
    weight[:2] = _EXACTLY
    return Samples(torch.cat(sets), weight)


@lru_cache(maxsize=64)
def lime_samples(count: int, players: int) -> Samples:
    """Random halves, weighted by a kernel of the cosine distance between presence and ones."""
    with same_draws():
        present = torch.full((count, players), 0.5).bernoulli()
    distances = 1 - square_root(present.mean(1)).double()
    closeness = [math.exp(-(d**2) / (2 * LIME_KERNEL_WIDTH**2)) for d in distances.tolist()]
    return Samples(present, torch.tensor(closeness))


def _fitted(
    regression: Callable[[], Any],
    draw: Callable[[int], Samples],
    model: nn.Module,
    x: Tensor,
    target: Tensor,
    baseline: Tensor,
) -> Tensor:
    """Coefficients of a `regression` of f_c, for each example on its own, spread over its patches.

    Only patches unlike the baseline's are drawn: the others change nothing, so they are worth 0,
    and the regression needs fewer samples. If only one differs all are drawn, as two are needed.
    """
    patch = patches(x.shape[1:]).to(x.device)
    features = patch.flatten().bincount()
    explained = []
    for one, label in zip(x.detach(), target.tolist(), strict=True):
        differs = torch.zeros(len(features), dtype=torch.bool, device=x.device)
        differs[patch[one != baseline]] = True
        drawn = differs if differs.sum() > 1 else torch.ones_like(differs)
        samples = draw(int(drawn.sum()))
        present = torch.ones(len(samples.present), len(features), dtype=torch.bool)
        present[:, drawn.cpu()] = samples.present.bool()
        values = _logits_with(model, one, label, baseline, present[:, patch.cpu()].to(x.device))
        fitted = regression().fit(
            samples.present.numpy(), values.float().cpu().numpy(), samples.weight.numpy()
        )
        worth = torch.zeros(len(features), device=x.device)
        worth[drawn] = torch.as_tensor(fitted.coef_, dtype=worth.dtype).to(x.device)
        explained.append((worth / features * differs)[patch].to(x.dtype))
    return torch.stack(explained)


def _logits_with(
    model: nn.Module, x: Tensor, label: int, baseline: Tensor, present: Tensor
) -> Tensor:
    """f_c (S,) of an example x (*input_shape) whose features are `present` (S, *input_shape)."""
    with torch.no_grad():
        batches = (torch.where(some, x, baseline) for some in present.split(FORWARD_BATCH))
        return torch.cat([logits(model, batch)[:, label] for batch in batches])


@contextmanager
def same_draws() -> Iterator[None]:
    """Seed the global generator, from which torch and captum draw, and restore it at the end."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        yield
