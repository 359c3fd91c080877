import pytest
import torch
from torch.testing import assert_close

from pipeline.explanations.gradients import (
    gradient_times_input,
    sensitivity,
    squared_sensitivity,
)
from pipeline.explanations.method import Background
from pipeline.explanations.methods import METHODS
from tests.explanations.networks import affine
from tests.metrics.models import random_image_senn

TARGET = torch.tensor([0, 2, 1, 1, 2])


def test_closed_forms_of_an_affine_model():
    model, x = affine(6, 3), torch.randn(5, 6).double()
    w = model.weight[TARGET]
    assert_close(sensitivity(model, x, TARGET), w)
    assert_close(squared_sensitivity(model, x, TARGET), w.square())
    assert_close(gradient_times_input(model, x, TARGET), w * x)


def test_against_finite_differences():
    model = random_image_senn(classes=4).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 1, 28, 28, generator=generator).double()
    direction = torch.randn(2, 1, 28, 28, generator=generator).double()
    target, step = torch.tensor([3, 1]), 1e-6

    def logits(x):
        return model(x).logits[[0, 1], target]

    change = (logits(x + step * direction) - logits(x - step * direction)) / (2 * step)
    along = (sensitivity(model, x, target) * direction).sum((1, 2, 3))
    assert_close(along, change, rtol=1e-5, atol=1e-8)


def test_computed_without_gradients_too():
    model, x = random_image_senn(), torch.randn(2, 1, 28, 28)
    target = torch.tensor([0, 1])
    expected = sensitivity(model, x, target)
    with torch.no_grad():
        assert torch.equal(sensitivity(model, x, target), expected)


@pytest.mark.parametrize("name", ["sensitivity", "squared_sensitivity", "gradient_times_input"])
def test_differentiable_in_the_input_if_that_wants_a_gradient(name):
    explain = METHODS[name].build(Background(torch.zeros(1, 28, 28), 0.0, 1.0))
    model, x = random_image_senn(), torch.randn(2, 1, 28, 28)
    target = torch.tensor([0, 1])
    assert not explain(model, x, target).requires_grad
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(explain(model, x, target).sum(), x)
    assert gradient.abs().sum() > 0
    assert x.grad is None
    assert all(parameter.grad is None for parameter in model.parameters())
