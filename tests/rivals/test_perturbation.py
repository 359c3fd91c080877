"""The regressions are scikit-learn's; SHAP is what it estimates where that is known."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge
from torch._subclasses.fake_tensor import FakeTensorMode

from pipeline.core.dataset import patches
from pipeline.explanations.perturbation import LIME_KERNEL_WIDTH, LIME_RIDGE, occlusion
from pipeline.models.layers import plain
from pipeline.models.senn import logits
from pipeline.rivals.perturbation import explained_by, lime_draw, occlusion_draw, shap_draw
from tests.metrics.models import random_image_senn, random_table_senn


@pytest.fixture(params=[(random_table_senn, (6,), 6), (random_image_senn, (1, 28, 28), 49)])
def explained(request):
    build, shape, groups = request.param
    x = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    return build(), x[:3], torch.tensor([1, 0, 2]), x[3], groups


def seeded():
    return torch.Generator().manual_seed(7)


def answers(model, x, target, baseline, present):
    """f_c of one example with the patches that are present in each sample."""
    inputs = torch.where(present[:, patches(x.shape)], x, baseline)
    with torch.no_grad():
        return logits(model, inputs)[:, target].double().numpy()


def pooled(e, groups):
    patch = patches(e.shape[1:]).flatten()
    return torch.stack([torch.bincount(patch, one.flatten(), groups) for one in e])


def test_occlusion_is_the_librarys(explained):
    model, x, target, baseline, groups = explained
    mine = explained_by(occlusion_draw(groups), baseline)(model, x, target)
    theirs = occlusion(model, x, target, baseline)
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_lime_is_ridge_regression_weighted_by_closeness(explained, count):
    model, x, target, baseline, groups = explained
    draw = lime_draw(seeded(), count, 100, groups)
    mine = pooled(explained_by(draw, baseline)(model, x, target), groups)
    for i in range(3):
        present = draw.present[i % count]
        distance = 1 - present.double().mean(1).sqrt().numpy()
        weight = np.exp(-((distance / LIME_KERNEL_WIDTH) ** 2) / 2)
        y = answers(model, x[i], int(target[i]), baseline, present)
        theirs = Ridge(LIME_RIDGE).fit(present.double().numpy(), y, weight).coef_
        np.testing.assert_allclose(mine[i], theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_kernel_shap_is_weighted_least_squares(explained, count):
    model, x, target, baseline, groups = explained
    draw = shap_draw(seeded(), count, 100, groups)
    mine = pooled(explained_by(draw, baseline)(model, x, target), groups)
    for i in range(3):
        present = draw.present[i % count]
        assert present[0].all() and not present[1].any()
        y = answers(model, x[i], int(target[i]), baseline, present)
        weight = np.r_[1e6, 1e6, np.ones(98)]
        theirs = LinearRegression().fit(present.double().numpy(), y, weight).coef_
        np.testing.assert_allclose(mine[i], theirs, rtol=1e-3, atol=2e-5)
        # Efficiency: the values add up to the difference from the baseline.
        assert mine[i].sum() == pytest.approx(y[0] - y[1], abs=1e-4)


def test_kernel_shap_tends_to_the_shapley_values():
    model, players = random_table_senn(4), 4
    x = torch.rand(2, 4, generator=torch.Generator().manual_seed(1))
    x, baseline, target = x[:1], x[1], torch.tensor([1])
    value = {}
    for some in itertools.product((False, True), repeat=players):
        value[some] = answers(model, x[0], 1, baseline, torch.tensor([some]))[0]
    shapley = np.zeros(players)
    for some in value:
        for i in range(players):
            if not some[i]:
                size = sum(some)
                share = math.factorial(size) * math.factorial(players - size - 1)
                with_i = (*some[:i], True, *some[i + 1 :])
                shapley[i] += share / math.factorial(players) * (value[with_i] - value[some])
    draw = shap_draw(seeded(), 1, 20_000, players)
    estimated = explained_by(draw, baseline)(model, x, target)[0].numpy()
    np.testing.assert_allclose(estimated, shapley, atol=0.02 * np.abs(shapley).max())


def test_kernel_shap_of_a_single_feature_is_the_difference_from_the_baseline():
    model, baseline = random_table_senn(1), torch.tensor([0.2])
    x, target = torch.tensor([[0.9], [0.4]]), torch.tensor([0, 2])
    with torch.no_grad():
        at, away = logits(model, x), logits(model, baseline.expand(2, 1))
    expected = (at - away).gather(1, target.unsqueeze(1))
    for count in (1, 2):
        e = explained_by(shap_draw(seeded(), count, 100, 1), baseline)(model, x, target)
        torch.testing.assert_close(e, expected)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("build", "shape", "groups"),
    [(random_table_senn, (6,), 6), (random_image_senn, (1, 28, 28), 49)],
)
def test_explanations_stay_on_the_device_of_what_they_explain(build, shape, groups, count):
    there = torch.device("meta")
    model, draw = plain(build().to(there)), lime_draw(seeded(), count, 20, groups)
    method = explained_by(draw, torch.empty(shape, device=there))
    with FakeTensorMode(allow_non_fake_inputs=True):
        x, target = torch.empty(3, *shape, device=there), torch.ones(3, device=there).long()
        e = method(model, x, target)
    assert e.shape == x.shape and e.device == there


def test_an_explanation_does_not_depend_on_its_batch(explained):
    model, x, target, baseline, groups = explained
    method = explained_by(lime_draw(seeded(), 1, 50, groups), baseline)
    alone = torch.cat(
        [method(model, *one) for one in zip(x.split(1), target.split(1), strict=True)]
    )
    torch.testing.assert_close(method(model, x, target), alone, rtol=1e-4, atol=1e-6)


def test_sets_are_as_likely_as_the_shapley_kernel_says():
    sizes = shap_draw(seeded(), 200, 102, 5).present[:, 2:].sum(2).flatten()
    kernel = np.array([1 / (k * (5 - k)) for k in range(1, 5)])
    shares = np.bincount(sizes.numpy(), minlength=6)[1:5] / len(sizes)
    np.testing.assert_allclose(shares, kernel / kernel.sum(), atol=0.01)
