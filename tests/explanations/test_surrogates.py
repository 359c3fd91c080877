"""LIME and KernelSHAP are captum's, to the last bit; how good they are: tests of the library."""

import math
from functools import partial

import captum.attr
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge

from pipeline.core.dataset import patches
from pipeline.explanations.surrogates import (
    FORWARD_BATCH,
    KERNEL_SHAP_SAMPLES,
    LIME_KERNEL_WIDTH,
    LIME_RIDGE,
    LIME_SAMPLES,
    kernel_shap,
    lime,
    same_draws,
)
from pipeline.models.logits import logits
from tests.metrics.models import random_image_senn, random_table_senn


def closeness(original, perturbed, presence, **_):
    """Of presence to ones: the cosine of a vector of 0 and 1 is the root of its mean."""
    distance = 1 - presence.float().mean().rsqrt().reciprocal().item()
    return math.exp(-(distance**2) / (2 * LIME_KERNEL_WIDTH**2))


METHODS = {
    kernel_shap: (captum.attr.KernelShap, KERNEL_SHAP_SAMPLES),
    lime: (
        partial(
            captum.attr.Lime,
            interpretable_model=SkLearnRidge(alpha=LIME_RIDGE),
            similarity_func=closeness,
        ),
        LIME_SAMPLES,
    ),
}


@pytest.mark.parametrize("explain", METHODS)
@pytest.mark.parametrize(
    ("build", "shape"), [(random_table_senn, (6,)), (random_image_senn, (1, 28, 28))]
)
def test_as_captum(build, shape, explain):
    method, samples = METHODS[explain]
    model, target = build(), torch.tensor([1, 0])
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    x, baseline = x[:2], x[2]
    players = patches(x.shape[1:])[None]
    explained = explain(model, x, target, baseline)
    for one, label, mine in zip(x.split(1), target.split(1), explained, strict=True):
        with same_draws():
            theirs = method(partial(logits, model)).attribute(
                one,
                baseline[None],
                label,
                feature_mask=players,
                n_samples=samples,
                perturbations_per_eval=FORWARD_BATCH,
            )
        assert torch.equal(mine, (theirs / players.flatten().bincount()[players])[0])
