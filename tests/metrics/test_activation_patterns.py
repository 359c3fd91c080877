"""The exact local Lipschitz constant: against a fine grid, all patterns, and closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.explanations.senn import relevances
from pipeline.metrics.activation_patterns import exact_constant
from pipeline.metrics.certified import certified_constant, found_constant, jacobian
from pipeline.metrics.stability import Box
from pipeline.models.conceptizers import IdentityConceptizer
from pipeline.models.parameterizers import MlpParameterizer
from pipeline.models.senn import Senn
from tests.metrics.models import random_image_senn
from tests.metrics.test_certified import LEFT, box_1d, one_unit

MANY = 100_000


def perceptron(features, hidden, seed=0, classes=2) -> Senn:
    torch.manual_seed(seed)
    parameterizer = MlpParameterizer((features,), features, classes, hidden, 0.0)
    return Senn(IdentityConceptizer((features,)), parameterizer).eval()


def exact(model, x, target, box, branches=MANY):
    nothing = torch.zeros(len(x), dtype=torch.double)
    return exact_constant(model, x, target, box, nothing, branches)


def box_of(half_width, low=-10.0, high=10.0):
    return Box(torch.tensor(half_width), low, high)


@pytest.mark.parametrize("hidden", [(6,), (5, 4), (10, 5, 5)], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_largest_norm_on_a_fine_grid(hidden, seed):
    model = perceptron(2, hidden, seed).double()
    x, target, box = torch.tensor([[0.3, -0.2]]), torch.tensor([1]), box_of([1.5, 0.8])
    steps = torch.linspace(-1, 1, 201, dtype=torch.double)
    grid = x.double() + torch.cartesian_prod(1.5 * steps, 0.8 * steps)
    of_grid = jacobian(model, relevances, grid, target.expand(len(grid)))
    largest = torch.linalg.matrix_norm(of_grid, 2).max().item()
    here = exact(model, x, target, box).item()
    assert here >= largest * (1 - 1e-9)
    # No grid sees all patterns: a corner of one may lie between its points.
    assert here == pytest.approx(largest, rel=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_in_a_box_around_everything_all_patterns_of_one_layer_count(seed):
    # Six hyperplanes in six dimensions cut each other in one point: all 2⁶ patterns are there.
    model = perceptron(6, (6,), seed).double()
    first, last = model.parameterizer.layers
    x = torch.linalg.solve(first.weight, -first.bias).detach().unsqueeze(0)
    weight = last.weight.view(6, 2, 6)[:, 0]
    expected = max(
        torch.linalg.matrix_norm(weight * torch.tensor(pattern) @ first.weight, 2).item()
        for pattern in itertools.product((0.0, 1.0), repeat=6)
    )
    here = exact(model, x, torch.tensor([0]), box_of([1.0] * 6)).item()
    assert here == pytest.approx(expected, rel=1e-8)


def test_linear_relevances_in_closed_form():
    model = perceptron(4, (), classes=3)
    x, target = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    width = [1.0, 0.0, 2.0, 0.5]
    weight = model.parameterizer.layers[0].weight.detach().double().view(4, 3, 4)
    expected = torch.linalg.matrix_norm(
        weight[:, target].transpose(0, 1) * (torch.tensor(width) > 0), 2
    )
    torch.testing.assert_close(exact(model, x, target, box_of(width)), expected)


@pytest.mark.parametrize(
    ("x", "half_width", "expected"),
    [(1.0, 0.4, 3), (1.0, 1.0, 3), (0.0, 1.0, 3), (0.0, 0.4, 0)],
)
def test_one_unit_with_its_kink_inside_or_outside(x, half_width, expected):
    # e(x) = 3 relu(x − 0.5)
    here = exact(one_unit(-0.5), torch.tensor([[x]]), LEFT, box_1d(half_width))
    assert here.item() == pytest.approx(expected)


def test_the_box_ends_at_the_edge_of_the_data():
    model, x = one_unit(-0.5), torch.tensor([[0.0]])
    assert exact(model, x, LEFT, box_1d(1.0, high=0.4)).item() == 0
    assert exact(model, x, LEFT, box_1d(1.0, high=0.6)).item() == pytest.approx(3)


@pytest.mark.parametrize("seed", range(5))
def test_it_lies_between_found_and_certified(seed):
    model = perceptron(8, (10, 5, 5), seed, classes=3)
    x, target = torch.rand(4, 8), torch.tensor([0, 1, 2, 0])
    for size in (0.05, 0.5):
        box = Box(torch.full((8,), size), 0.0, 1.0)
        found = found_constant(model, relevances, x, target, box, steps=1, restarts=20)
        certified, _ = certified_constant(model, x, target, box)
        here = exact(model, x, target, box)
        assert (found <= here * (1 + 1e-9)).all() and (here <= certified).all()
        # What was found saves branches, and changes nothing.
        torch.testing.assert_close(exact_constant(model, x, target, box, found, MANY), here)


def test_too_many_branches_leave_it_undefined():
    model = perceptron(8, (10, 5, 5))
    x, target = torch.rand(2, 8), torch.tensor([0, 1])
    large, small = Box(torch.full((8,), 1.0), 0.0, 1.0), Box(torch.full((8,), 1e-6), 0.0, 1.0)
    assert exact(model, x, target, large, branches=5).isnan().all()
    assert exact(model, x, target, small, branches=5).isfinite().all()


def test_patterns_of_other_networks_are_refused():
    with pytest.raises(PipelineError, match="Conv2d, MaxPool2d, ReLU"):
        exact(random_image_senn(), torch.rand(1, 1, 28, 28), LEFT, box_of([[[0.1]]]))


def test_no_relevance_moves_where_no_feature_does():
    model = perceptron(3, (4,))
    here = exact(model, torch.rand(2, 3), torch.tensor([0, 1]), box_of([0.0, 0.0, 0.0]))
    assert here.tolist() == [0, 0]
    assert not math.isnan(np.sum(here.numpy()))
