"""Methods of captum 0.9.0 (Kokhlikyan et al. 2020) in the call shape of all methods.

Not differentiable in x. `baseline` (*input_shape) stands for absence. Perturbations remove one of
the input's `patches` at a time; its value is spread evenly over its features, so a sum over
features is a sum over patches. Random methods have a fixed seed and draw the same for every
example.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import (
    FeatureAblation,
    IntegratedGradients,
    KernelShap,
    Lime,
    ShapleyValueSampling,
)
from torch import Tensor, nn

from pipeline.core.arithmetic import square_root
from pipeline.core.dataset import patches
from pipeline.models.logits import logits

INTEGRATION_POINTS = (20, 40, 80, 160, 320, 640)  # of the quadrature; more where fewer miss
COMPLETENESS = 0.05  # by how many logits the sum may miss f_c(x) - f_c(b)
SHAPLEY_PERMUTATIONS = 25
KERNEL_SHAP_SAMPLES = 1000
LIME_SAMPLES = 500
LIME_KERNEL_WIDTH = 0.25  # in cosine distances, as in Ribeiro's implementation
LIME_RIDGE = 1.0  # as there

_SEED = 0
_FORWARD_BATCH = 200  # inputs per pass; on CPUs more do not fit the cache


def integrated_gradients(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """(x_i - b_i) ∫₀¹ ∂_i f_c(b + t (x - b)) dt; its sum is f_c(x) - f_c(b).

    Sundararajan, Taly & Yan 2017, equation 1, by Gauss-Legendre quadrature. A ReLU network's
    gradient jumps along the path, so the points are doubled, up to 640, for each example whose sum
    misses the difference by more than `COMPLETENESS`.

    x (B, *input_shape), target (B,) int64, baseline (*input_shape); returns (B, *input_shape).
    """
    method = IntegratedGradients(partial(logits, model))
    attributions, rows = torch.zeros_like(x), torch.arange(len(x), device=x.device)
    for points in INTEGRATION_POINTS:
        values, errors = method.attribute(
            x[rows].detach(),
            baseline.unsqueeze(0),
            target[rows],
            n_steps=points,
            internal_batch_size=max(_FORWARD_BATCH, len(rows)),
            return_convergence_delta=True,
        )
        attributions[rows] = values.detach().to(x.dtype)
        rows = rows[errors.abs() > COMPLETENESS]
        if len(rows) == 0:
            break
    return attributions


def occlusion(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """The change f_c(x) - f_c(x without the patch); parameters as for `integrated_gradients`.

    Zeiler & Fergus 2014, section 4.2, with patches that do not overlap.
    """
    ablation = FeatureAblation(partial(logits, model))
    return _per_feature(ablation.attribute, x, target, baseline)


def shapley_sampling(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """Shapley values of the patches, estimated; parameters as for `integrated_gradients`.

    The mean change that a patch makes when patches are added in random orders (Castro, Gómez &
    Tejada 2009). For any orders, the sum is f_c(x) - f_c(b).
    """
    sampling = ShapleyValueSampling(partial(logits, model))
    with _same_draws():
        return _per_feature(
            partial(sampling.attribute, n_samples=SHAPLEY_PERMUTATIONS), x, target, baseline
        )


def kernel_shap(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """Shapley values of the patches as a regression; parameters as for `integrated_gradients`.

    Lundberg & Lee 2017, theorem 2: least squares weighted by the Shapley kernel, on random sets of
    patches. The sum is f_c(x) - f_c(b), because x and b have a weight of a million.
    """
    shap = KernelShap(partial(logits, model))
    return _one_by_one(partial(shap.attribute, n_samples=KERNEL_SHAP_SAMPLES), x, target, baseline)


def lime(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """A linear model of presence near x; parameters as for `integrated_gradients`.

    Ribeiro, Singh & Guestrin 2016, section 3, as in their implementation: ridge regression on
    random halves of the patches, which stand for superpixels, weighted by `_closeness`.
    """
    surrogate = SkLearnRidge(alpha=LIME_RIDGE)
    explainer = Lime(partial(logits, model), surrogate, similarity_func=_closeness)
    return _one_by_one(partial(explainer.attribute, n_samples=LIME_SAMPLES), x, target, baseline)


def _closeness(original: Tensor, perturbed: Tensor, presence: Tensor, **_: Any) -> float:
    """LIME's kernel, of the cosine distance between presence (1, patches), 0 or 1, and ones."""
    distance = 1 - square_root(presence.float().mean()).item()
    return math.exp(-(distance**2) / (2 * LIME_KERNEL_WIDTH**2))


def _per_feature(
    attribute: Callable[..., Tensor],
    x: Tensor,
    target: Tensor,
    baseline: Tensor,
    players: Tensor | None = None,
) -> Tensor:
    """Values of `players` from captum's `attribute`, spread evenly over the features of a patch.

    `players` (1, *input_shape) numbers what is added at a time; all patches if not given.
    """
    mask = patches(x.shape[1:]).unsqueeze(0).to(x.device)
    values = attribute(
        x.detach(),
        baseline.unsqueeze(0),
        target,
        feature_mask=mask if players is None else players,
        perturbations_per_eval=max(1, _FORWARD_BATCH // len(x)),
    )
    return (values / mask.flatten().bincount()[mask]).detach().to(x.dtype)


def _one_by_one(
    attribute: Callable[..., Tensor], x: Tensor, target: Tensor, baseline: Tensor
) -> Tensor:
    """`_per_feature` with the same draws for each example, of the patches unlike the baseline's.

    The other patches change nothing, so they are worth 0; without them the regression needs fewer
    draws. If only one patch differs, captum gets all of them, as it needs at least two.
    """
    mask = patches(x.shape[1:]).unsqueeze(0).to(x.device)
    explained = []
    for one, label in zip(x.split(1), target.split(1), strict=True):
        differs = torch.zeros(int(mask.max()) + 1, dtype=torch.bool, device=x.device)
        differs[mask[one != baseline]] = True
        numbers = (differs.cumsum(0) - 1).clamp(min=0)
        players = numbers[mask] if differs.sum() > 1 else mask
        with _same_draws(), torch.no_grad():
            values = _per_feature(attribute, one, label, baseline, players)
        explained.append(values * differs[mask])
    return torch.cat(explained)


@contextmanager
def _same_draws() -> Iterator[None]:
    """Seed the global generator, from which captum draws on the CPU, and restore it at the end."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        yield
