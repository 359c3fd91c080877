"""Methods that see an input with some of its patches absent, each a linear function of the answers.

Occlusion, KernelSHAP and LIME ask a model for its logits f_c where some patches are replaced by the
baseline, and answer with a linear function of them, the same for all inputs once it is drawn which
patches are present. So here the draw comes first, and explains any number of inputs: quickly, and
with the same noise in all. `explanations.perturbation` has the same regressions by scikit-learn,
one example at a time; tests/rivals/test_perturbation.py compares.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.core.dataset import patches
from pipeline.explanations.method import Method
from pipeline.explanations.perturbation import (
    EXACTLY,
    FORWARD_BATCH,
    LIME_KERNEL_WIDTH,
    LIME_RIDGE,
)
from pipeline.explanations.senn import relevances
from pipeline.metrics.batches import rows
from pipeline.models.senn import Senn, target_logit

_TINY = 1e-6  # a ridge for what few samples leave open
_NUMBERS = FORWARD_BATCH * 28 * 28  # of the inputs of one pass


class Draw(NamedTuple):
    """Which patches are `present` (R, S, G) bool, and what `worth` (R, G, S) makes of f_c there.

    R draws of S samples: one that explains all inputs, or one for each of them.
    """

    present: Tensor
    worth: Tensor


def occlusion_draw(groups: int) -> Draw:
    """f_c(x) - f_c(x without the patch): nothing random (Zeiler & Fergus 2014)."""
    one = torch.eye(groups)
    present = torch.cat([torch.zeros(1, groups), one]) == 0
    return Draw(present[None], torch.cat([torch.ones(groups, 1), -one], 1)[None].double())


def shap_draw(generator: torch.Generator, count: int, samples: int, groups: int) -> Draw:
    """KernelSHAP: all patches, none, and random sets as the Shapley kernel weighs them.

    Lundberg & Lee 2017, theorem 2, as `explanations.perturbation.kernel_shap`. One group has all
    and none alone: it is worth f_c(x) - f_c(b).
    """
    others = samples - 2 if groups > 1 else 0
    sizes = torch.arange(1, groups, dtype=torch.float64)
    likely = (1 / (sizes * (groups - sizes))).cumsum(0)
    drawn = torch.rand(count, others, generator=generator, dtype=torch.float64)
    size = 1 + torch.searchsorted(likely, drawn * likely[-1:])
    rank = torch.rand(count, others, groups, generator=generator).argsort(2).argsort(2)
    ends = torch.tensor([1, 0]).view(1, 2, 1).expand(count, 2, groups)
    present = torch.cat([ends.bool(), rank < size.unsqueeze(2)], 1)
    weight = torch.ones(count, 2 + others, dtype=torch.float64)
    weight[:, :2] = EXACTLY
    return Draw(present, _regression(present, weight, _TINY))


def lime_draw(generator: torch.Generator, count: int, samples: int, groups: int) -> Draw:
    """LIME: random halves of the patches, weighted by their closeness to all of them.

    Ribeiro, Singh & Guestrin 2016, as `explanations.perturbation.lime`.
    """
    present = torch.rand(count, samples, groups, generator=generator) < 0.5
    away = [1 - math.sqrt(some / groups) for some in range(groups + 1)]
    closeness = [math.exp(-((one / LIME_KERNEL_WIDTH) ** 2) / 2) for one in away]
    weight = torch.tensor(closeness, dtype=torch.float64)[present.sum(2)]
    return Draw(present, _regression(present, weight, LIME_RIDGE))


def explained_by(draw: Draw, baseline: Tensor) -> Method[nn.Module]:
    """The method that a draw makes; the worth of a patch is spread evenly over its features.

    Parameters
    ----------
    draw : of one for all inputs, or of as many as inputs are then explained.
    baseline : (*input_shape), what stands for absence.
    """
    patch = patches(baseline.shape)
    features = patch.flatten().bincount().to(baseline.device)
    patch = patch.to(baseline.device)
    draw = Draw(*(part.to(baseline.device) for part in draw))
    present = draw.present[:, :, patch]
    samples = present.shape[1]

    @torch.no_grad()
    def method(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        worth = []
        of_all = len(draw.present) == 1
        for some in torch.arange(len(x), device=x.device).split(rows(_NUMBERS // samples, x)):
            shown = present if of_all else present[some]
            inputs = torch.where(shown, x[some].unsqueeze(1), baseline)
            asked = target[some].repeat_interleave(inputs.shape[1])
            answers = _logit(model, inputs.flatten(0, 1), asked)
            of_target = answers.view(inputs.shape[:2]).double()
            operator = draw.worth if of_all else draw.worth[some]
            worth.append((operator @ of_target.unsqueeze(2)).squeeze(2).to(x.dtype))
        return (torch.cat(worth) / features)[:, patch]

    return method


def _logit(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """f_c(x) (B,); of a `Senn` without the other classes, which a million inputs notice."""
    if isinstance(model, Senn):
        theta = relevances(model, x, target).unsqueeze(2)
        return model.aggregator(model.conceptizer.encode(x), theta).squeeze(1)
    return target_logit(model, x, target)


def _regression(present: Tensor, weight: Tensor, ridge: float) -> Tensor:
    """Answers to the coefficients of a weighted ridge regression with an intercept, (R, G, S)."""
    z, weights = present.double().numpy(), weight.unsqueeze(2).numpy()
    centred = z - (weights * z).sum(1, keepdims=True) / weights.sum(1, keepdims=True)
    weighted = (weights * centred).swapaxes(1, 2)
    gram = weighted @ centred + ridge * np.eye(z.shape[2])
    return torch.from_numpy(np.linalg.solve(gram, weighted))
