"""Methods of captum 0.9.0 (Kokhlikyan et al. 2020) in the call shape of all methods.

Not differentiable in x. `baseline` (*input_shape) stands for absence. Perturbations remove one of
the input's `patches` at a time; its value is spread evenly over its features, so a sum over
features is a sum over patches. Random methods have a fixed seed and draw the same for every
example.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from pipeline.core.dataset import patches
from pipeline.core.kinds import kind_of
from pipeline.explanations.surrogates import FORWARD_BATCH, same_draws
from pipeline.models.logits import logits

INTEGRATION_POINTS = (20, 40, 80, 160, 320, 640)  # of the quadrature; more where fewer miss
COMPLETENESS = 0.05  # by how many logits the sum may miss f_c(x) - f_c(b)
SHAPLEY_PERMUTATIONS = 25
_FAINT = 1e-20


def integrated_gradients(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """(x_i - b_i) ∫₀¹ ∂_i f_c(b + t (x - b)) dt; its sum is f_c(x) - f_c(b).

    Sundararajan, Taly & Yan 2017, equation 1, by Gauss-Legendre quadrature. A ReLU network's
    gradient jumps along the path, so the points are doubled, up to 640, for each example whose sum
    misses the difference by more than `COMPLETENESS`. Of texts the path starts with the same number
    of words, all without content: at no words at all the logits jump.

    x (B, *input_shape), target (B,) int64, baseline (*input_shape); returns (B, *input_shape).
    """
    from captum.attr import IntegratedGradients  # slow to import: not before it is run

    method = IntegratedGradients(partial(logits, model))
    attributions, rows = torch.zeros_like(x), torch.arange(len(x), device=x.device)
    is_text = kind_of(x.shape[1:]) == "texts"
    start = baseline + _FAINT * x.detach() if is_text else baseline.expand_as(x)
    for points in INTEGRATION_POINTS:
        values, errors = method.attribute(
            x[rows].detach(),
            start[rows],
            target[rows],
            n_steps=points,
            internal_batch_size=max(FORWARD_BATCH, len(rows)),
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
    from captum.attr import FeatureAblation

    ablation = FeatureAblation(partial(logits, model))
    return _per_feature(ablation.attribute, x, target, baseline)


def shapley_sampling(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """Shapley values of the patches, estimated; parameters as for `integrated_gradients`.

    The mean change that a patch makes when patches are added in random orders (Castro, Gómez &
    Tejada 2009). For any orders, the sum is f_c(x) - f_c(b).
    """
    from captum.attr import ShapleyValueSampling

    sampling = ShapleyValueSampling(partial(logits, model))
    with same_draws():
        return _per_feature(
            partial(sampling.attribute, n_samples=SHAPLEY_PERMUTATIONS), x, target, baseline
        )


def _per_feature(
    attribute: Callable[..., Tensor],
    x: Tensor,
    target: Tensor,
    baseline: Tensor,
) -> Tensor:
    """Values of patches from captum's `attribute`, spread evenly over the features of a patch."""
    mask = patches(x.shape[1:]).contiguous().unsqueeze(0).to(x.device)
    values = attribute(
        x.detach(),
        baseline.unsqueeze(0),
        target,
        feature_mask=mask,
        perturbations_per_eval=max(1, FORWARD_BATCH // len(x)),
    )
    return (values / mask.flatten().bincount()[mask]).detach().to(x.dtype)
