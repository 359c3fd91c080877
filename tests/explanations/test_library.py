import warnings

import captum.attr
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from pipeline.explanations.gradients import sensitivity
from pipeline.explanations.library import (
    COMPLETENESS,
    INTEGRATION_POINTS,
    deep_lift,
    guided_backprop,
    integrated_gradients,
)
from pipeline.explanations.method import Background
from pipeline.explanations.methods import METHODS
from pipeline.explanations.perturbation import kernel_shap, lime, occlusion, shapley_sampling
from pipeline.models.senn import target_logit
from tests.explanations.networks import affine, relu_network
from tests.metrics.models import random_image_senn, random_table_senn
from tests.models.textbook import Architecture

TARGET = torch.tensor([0, 2, 1, 1, 2])
LIBRARY = (
    "guided_backprop",
    "deep_lift",
    "integrated_gradients",
    "occlusion",
    "shapley_sampling",
    "kernel_shap",
    "lime",
)
COMPLETE = (integrated_gradients, shapley_sampling, kernel_shap, deep_lift)


def table(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Five inputs of six features, and a baseline."""
    drawn = torch.randn(6, 6, generator=torch.Generator().manual_seed(seed)).double()
    return drawn[:5], drawn[5]


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Two images of 28 × 28, and a baseline."""
    drawn = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(1)).double()
    return drawn[:2], drawn[2]


def change(model, x, target, baseline):
    """f_c(x) - f_c(b)."""
    return target_logit(model, x, target) - target_logit(model, baseline.expand_as(x), target)


@pytest.mark.parametrize("explain", (*COMPLETE, occlusion))
def test_affine_models_in_closed_form(explain):
    model, (x, baseline) = affine(6, 3), table()
    expected = model.weight[TARGET] * (x - baseline)
    assert_close(explain(model, x, TARGET, baseline), expected, atol=1e-5, rtol=1e-5)


def test_lime_of_affine_models_is_the_closed_form_shrunk_by_the_ridge():
    model, (x, baseline) = affine(6, 3), table()
    expected = model.weight[TARGET] * (x - baseline)
    # Σ of weights times the variance of presence is some 60 against a ridge of 1.
    assert_close(lime(model, x, TARGET, baseline), expected, atol=0.02, rtol=0.05)


def test_lime_of_one_feature_that_differs():
    # f(x) = x² is 0 or 9, whatever the weights, but for the ridge.
    class Square(nn.Module):
        def forward(self, x):
            return x.square().sum(1, keepdim=True)

    x, zero = torch.tensor([[3.0, 0.0]]).double(), torch.zeros(2).double()
    explained = lime(Square(), x, torch.tensor([0]), zero)
    assert explained[0, 0].item() == pytest.approx(9, rel=0.05)
    assert explained[0, 1].item() == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("explain", COMPLETE)
@pytest.mark.parametrize("kind", ["relu", "tanh", "table senn", "image senn"])
def test_completeness(explain, kind):
    # Of a SENN the product θ·h is nonlinear in both of its factors.
    if kind == "image senn":
        model, (x, baseline), target = random_image_senn().double(), images(), TARGET[:2]
    else:
        (x, baseline), target = table(), TARGET
        model = {
            "relu": lambda: relu_network(6, 3),
            "tanh": lambda: relu_network(6, 3, nn.Tanh),
            "table senn": lambda: random_table_senn().double(),
        }[kind]()
    expected = change(model, x, target, baseline)
    tolerance = {
        integrated_gradients: 1e-5 if kind == "tanh" else 0.1,  # quadrature over kinks
        shapley_sampling: 1e-4,  # adds in float32
        kernel_shap: 1e-4,  # by a weight of a million
        deep_lift: 1e-10,
    }[explain]
    error = explain(model, x, target, baseline).flatten(1).sum(1) - expected
    assert error.abs().max() < tolerance * expected.abs().max()


def test_quadrature_is_exact_for_polynomials():
    # f(x) = Σ x_i³ and b: ∫ 3 (b + t(x - b))² dt (x - b) = x³ - b³.
    class Cubes(nn.Module):
        def forward(self, x):
            return x.pow(3).sum(1, keepdim=True)

    x, baseline = table()
    explained = integrated_gradients(Cubes(), x, torch.zeros(5, dtype=torch.int64), baseline)
    assert_close(explained, x.pow(3) - baseline.pow(3), atol=1e-5, rtol=1e-5)


class Kink(nn.Module):
    """f(x) = 20 max(0, x - 0.4), of which a quadrature on the way from 0 misses the kink."""

    def forward(self, x):
        return 20 * (x - 0.4).relu()


def test_more_points_where_the_quadrature_is_not_complete():
    x = torch.linspace(0.1, 2, 40).unsqueeze(1).double()
    target, baseline = torch.zeros(40, dtype=torch.int64), torch.zeros(1).double()
    explained = integrated_gradients(Kink(), x, target, baseline)
    expected = change(Kink(), x, target, baseline)
    assert (explained.squeeze(1) - expected).abs().max() <= COMPLETENESS
    few = captum.attr.IntegratedGradients(Kink()).attribute(
        x, baseline.unsqueeze(0), target, n_steps=INTEGRATION_POINTS[0]
    )
    misses = (few.squeeze(1) - expected).abs()
    assert misses.max() > 5 * COMPLETENESS
    # Others are left as they are, and so is each example beside others.
    enough = misses <= COMPLETENESS
    assert torch.equal(explained[enough], few[enough])
    alone = [integrated_gradients(Kink(), one, target[:1], baseline) for one in x.split(1)]
    assert_close(torch.cat(alone), explained)


def test_the_quadrature_ends_where_no_number_of_points_would_do():
    class Step(nn.Module):
        """A jump of 1 with no slope: no gradient sees it."""

        def forward(self, x):
            return (x > 0.5).to(x) + 0 * x

    x, target = torch.ones(2, 1).double(), torch.zeros(2, dtype=torch.int64)
    assert not integrated_gradients(Step(), x, target, torch.zeros(1).double()).any()


class Product(nn.Module):
    """f(x) = x₀x₁ + x₂."""

    def forward(self, x):
        return (x[:, 0] * x[:, 1] + x[:, 2]).unsqueeze(1)


@pytest.mark.parametrize("explain", [shapley_sampling, kernel_shap])
def test_shapley_values_of_a_product(explain):
    # With a baseline of 0 the two factors share x₀x₁ equally, up to the chance of the draws: of 25
    # orders the one comes last in 12.5 ± 2.5, which makes 3 ± 0.6.
    x = torch.tensor([[2.0, 3.0, 5.0]]).double()
    values = explain(Product(), x, torch.tensor([0]), torch.zeros(3).double())[0]
    assert values.sum().item() == pytest.approx(11, abs=1e-3)
    assert values[2].item() == pytest.approx(5, abs=0.2)
    assert values[:2].tolist() == pytest.approx([3, 3], abs=1)


def test_occlusion_is_the_change_when_a_patch_is_removed():
    model, (x, baseline), target = random_image_senn().double(), images(), TARGET[:2]
    explained = occlusion(model, x, target, baseline)
    without = x.clone()
    without[:, :, 8:12, 20:24] = baseline[:, 8:12, 20:24]
    expected = target_logit(model, x, target) - target_logit(model, without, target)
    patch = explained[:, :, 8:12, 20:24]
    assert_close(patch.sum((1, 2, 3)), expected, atol=1e-6, rtol=1e-5)
    assert_close(patch, patch[:, :, :1, :1].expand_as(patch))
    sliding = captum.attr.Occlusion(lambda x: model(x).logits).attribute(
        x, (1, 4, 4), strides=(1, 4, 4), baselines=baseline[None], target=target
    )
    assert_close(explained * 16, sliding.double(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("explain", [occlusion, shapley_sampling, kernel_shap, lime])
def test_patches_that_do_not_differ_from_the_baseline_are_worth_nothing(explain):
    model, (x, baseline), target = random_image_senn().double(), images(), TARGET[:2]
    part = baseline.repeat(2, 1, 1, 1)
    part[:, :, 4:8, 8:20] = x[:, :, 4:8, 8:20]
    explained = explain(model, part, target, baseline)
    assert (explained[:, :, 4:8, 8:20] != 0).all()
    explained[:, :, 4:8, 8:20] = 0
    assert (explained == 0).all()
    nothing = explain(model, baseline[None], target[:1], baseline)
    assert (nothing == 0).all()


def test_rescale_rule_of_one_hidden_layer():
    torch.manual_seed(0)
    model, (x, baseline) = relu_network(6, 3)[:2].append(affine(16, 3)), table()
    first, last = model[0], model[2]
    before, reference = first(x), first(baseline)
    slope = (before.relu() - reference.relu()) / (before - reference)
    expected = (x - baseline) * ((slope * last.weight[TARGET]) @ first.weight)
    assert_close(deep_lift(model, x, TARGET, baseline), expected)


def test_deep_lift_through_neighbouring_pooling_and_relu():
    # captum alone gives the pooling a gradient to which ReLU's rule has not been applied.
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 3, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(432, 3)
    model, (x, baseline), target = nn.Sequential(*layers).double(), images(), TARGET[:2]
    expected = change(model, x, target, baseline)
    assert_close(deep_lift(model, x, target, baseline).sum((1, 2, 3)), expected)
    with warnings.catch_warnings(action="ignore"):
        plain = captum.attr.DeepLift(model).attribute(x, baseline.expand_as(x), target)
    assert (plain.sum((1, 2, 3)) - expected).abs().max() > 0.01 * expected.abs().max()


def test_guided_backprop_of_two_hidden_layers():
    model, (x, _) = relu_network(6, 3), table()
    first, second, last = model[0], model[2], model[4]
    a = first(x)
    b = second(a.relu())
    signal = last.weight[TARGET].relu() * (b > 0)
    signal = (signal @ second.weight).relu() * (a > 0)
    assert_close(guided_backprop(model, x, TARGET), signal @ first.weight)


def test_guided_backprop_of_a_senn_with_linear_relevances_is_the_gradient():
    model = Architecture((6,), 6, 3).senn().double().eval()
    x, _ = table()
    assert_close(guided_backprop(model, x, TARGET), sensitivity(model, x, TARGET))


@pytest.mark.parametrize("name", LIBRARY)
def test_silent_and_the_same_every_time(name):
    model, (x, baseline) = random_table_senn().double(), table()
    explain = METHODS[name].build(Background(baseline, -3, 3))
    with warnings.catch_warnings(action="error"):
        first = explain(model, x[:2], TARGET[:2])
        torch.manual_seed(5)
        assert torch.equal(explain(model, x[:2], TARGET[:2]), first)
