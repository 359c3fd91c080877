"""Occlusion, Shapley values and LIME are captum's; how good they are: tests of the library."""

import math
from functools import partial
from itertools import permutations

import captum.attr
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from torch import nn
from torch.testing import assert_close

from pipeline.core.dataset import patches
from pipeline.explanations.perturbation import (
    FORWARD_BATCH,
    KERNEL_SHAP_SAMPLES,
    LIME_KERNEL_WIDTH,
    LIME_RIDGE,
    LIME_SAMPLES,
    SHAPLEY_PERMUTATIONS,
    kernel_shap,
    lime,
    occlusion,
    shapley_sampling,
)
from pipeline.models.senn import logits
from tests.metrics.models import random_image_senn, random_table_senn


def closeness(original, perturbed, presence, **_):
    """Of presence to ones: the cosine of a vector of 0 and 1 is the root of its mean."""
    distance = 1 - presence.float().mean().rsqrt().reciprocal().item()
    return math.exp(-(distance**2) / (2 * LIME_KERNEL_WIDTH**2))


CAPTUMS = {
    occlusion: (captum.attr.FeatureAblation, {}),
    shapley_sampling: (captum.attr.ShapleyValueSampling, {"n_samples": SHAPLEY_PERMUTATIONS}),
    kernel_shap: (captum.attr.KernelShap, {"n_samples": KERNEL_SHAP_SAMPLES}),
    lime: (
        partial(
            captum.attr.Lime,
            interpretable_model=SkLearnRidge(alpha=LIME_RIDGE),
            similarity_func=closeness,
        ),
        {"n_samples": LIME_SAMPLES},
    ),
}


def inputs(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Two inputs, and a baseline from which every feature differs."""
    drawn = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    return drawn[:2], drawn[2]


def captums(explain, model, x, target, baseline):
    """What captum says of each example on its own."""
    method, options = CAPTUMS[explain]
    players = patches(x.shape[1:]).contiguous()[None]
    said = []
    for one, label in zip(x.split(1), target.split(1), strict=True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            values = method(partial(logits, model)).attribute(
                one,
                baseline[None],
                label,
                feature_mask=players,
                perturbations_per_eval=FORWARD_BATCH,
                **options,
            )
        said.append(values / players.flatten().bincount()[players])
    return torch.cat(said)


def assert_as_captum(explain, *arguments) -> torch.Tensor:
    """Up to rounding: what a model says in float32 depends on the batch in the last bit."""
    here, there = explain(*arguments), captums(explain, *arguments)
    assert_close(here, there, atol=1e-5 * there.abs().max().item(), rtol=0)
    return here


@pytest.mark.parametrize("explain", CAPTUMS)
@pytest.mark.parametrize(
    ("build", "shape"), [(random_table_senn, (6,)), (random_image_senn, (1, 28, 28))]
)
def test_as_captum(build, shape, explain):
    model, target, (x, baseline) = build(), torch.tensor([1, 0]), inputs(shape)
    assert_as_captum(explain, model, x, target, baseline)


@pytest.mark.parametrize("explain", [occlusion, shapley_sampling])
def test_patches_like_the_baseline_change_nothing_in_captum_either(explain):
    model, target, (x, baseline) = random_image_senn(), torch.tensor([1, 0]), inputs((1, 28, 28))
    x[0, :, :8], x[1, :, :, 12:] = baseline[:, :8], baseline[:, :, 12:]
    here = assert_as_captum(explain, model, x, target, baseline)
    assert not here[0, :, :8].any() and not here[1, :, :, 12:].any()


class Asked(nn.Module):
    """f(x) = x₀ x₁ + x₁ x₂ + x₃, and how many inputs it was asked about."""

    asked = 0

    def forward(self, x):
        self.asked += len(x)
        return (x[:, 0] * x[:, 1] + x[:, 1] * x[:, 2] + x[:, 3]).unsqueeze(1)


NONE, ONE, ALL = [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 7.0], [2.0, 3.0, 5.0, 7.0]


def said_of(explain, x: list[float]) -> tuple[torch.Tensor, int]:
    """What a method says of one input of `Asked`, and how many inputs it asks about."""
    model = Asked()
    said = explain(model, torch.tensor([x]), torch.tensor([0]), torch.zeros(4))
    return said[0], model.asked


@pytest.mark.parametrize(
    ("explain", "asked"), [(occlusion, 1 + 4), (shapley_sampling, 2**4), (kernel_shap, 2**4)]
)
def test_no_set_of_patches_is_asked_about_twice(explain, asked):
    assert said_of(explain, ALL)[1] == asked
    assert said_of(occlusion, ONE)[1] == said_of(shapley_sampling, ONE)[1] == 2


@pytest.mark.parametrize("explain", CAPTUMS)
def test_where_one_patch_differs_or_none(explain):
    said, _ = said_of(explain, ONE)
    assert not said[:3].any()
    assert said[3].item() == pytest.approx(7, abs=0.2 if explain is lime else 1e-3)
    assert not said_of(explain, NONE)[0].any()


@pytest.mark.parametrize("explain", CAPTUMS)
def test_of_one_feature(explain):
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.bias.fill_(1.0)
    (said,) = explain(model, torch.tensor([[3.0]]), torch.tensor([0]), torch.zeros(1))
    if explain is lime:  # absence is far away, and weighs less than the ridge
        assert said.shape == (1,) and 0 < said.item() < 6
    else:
        assert said.tolist() == pytest.approx([6], abs=1e-4)


def test_the_mean_over_all_orders_is_the_shapley_value(monkeypatch):
    orders = torch.tensor(list(permutations(range(4))))
    for name, value in (("SHAPLEY_PERMUTATIONS", 24), ("shapley_turns", lambda *_: orders)):
        monkeypatch.setattr(f"pipeline.explanations.perturbation.{name}", value)
    said, _ = said_of(shapley_sampling, ALL)
    assert_close(said, torch.tensor([3.0, 10.5, 7.5, 7.0]))  # products are shared equally
