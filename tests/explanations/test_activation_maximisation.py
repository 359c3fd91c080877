import pytest
import torch
from torch import nn
from torch.testing import assert_close

from pipeline.explanations.activation_maximisation import class_prototypes, log_probability, logit
from tests.explanations.networks import affine, relu_network
from tests.metrics.models import random_image_senn

MEAN = torch.linspace(0.2, 0.7, 6).double()


@pytest.mark.parametrize("l2", [0.1, 1.0])
def test_affine_logits_in_closed_form(l2):
    # w_cᵀx - λ‖x - x̄‖² is greatest at x̄ + w_c / 2λ, and, one term per feature, in a box at the
    # nearest point of it.
    model = affine(6, 3)
    prototypes = class_prototypes(model, MEAN, 0, 1, l2, score=logit)
    expected = (MEAN + model.weight / (2 * l2)).clamp(0, 1).detach()
    assert_close(prototypes.x, expected, atol=1e-3, rtol=0)
    penalty = l2 * (expected - MEAN).square().sum(1)
    assert_close(prototypes.objective, model(expected).diagonal() - penalty, atol=1e-5, rtol=0)
    assert_close(prototypes.probability, model(prototypes.x).softmax(1).diagonal())


def test_log_probability_of_two_classes_satisfies_its_equation():
    # ∇ log p_c = (1 - p_c)(w_c - w_c'), so x = x̄ + (1 - p_c(x)) (w_c - w_c') / 2λ.
    model, l2 = affine(6, 2), 0.3
    prototypes = class_prototypes(model, MEAN, -5, 5, l2, score=log_probability)
    apart = model.weight - model.weight.flip(0)
    expected = MEAN + (1 - prototypes.probability)[:, None] * apart / (2 * l2)
    assert_close(prototypes.x, expected.detach(), atol=1e-3, rtol=0)


def test_without_regularisation_the_corner_of_the_range():
    model = affine(6, 3)
    prototypes = class_prototypes(model, MEAN, 0, 1, 0, score=logit)
    assert torch.equal(prototypes.x, (model.weight > 0).double())


def test_starts_beyond_the_mean_find_the_higher_of_two_maxima():
    # Two bumps on a line, the lower one at the mean.
    class Bumps(nn.Module):
        def forward(self, x):
            near, far = (-((x + 3) ** 2) * 2).exp(), (-((x - 3) ** 2) / 8).exp()
            return near + 2 * far

    prototypes = class_prototypes(Bumps(), torch.tensor([-3.0]).double(), -5, 5, 0, score=logit)
    assert prototypes.x.item() == pytest.approx(3, abs=0.05)
    assert prototypes.objective.item() == pytest.approx(2, abs=1e-3)


def test_total_variation_flattens_images():
    # f(x) = Σ w·x of two neighbouring pixels, w = (1, 0): τ above ½ pulls them together.
    class TwoPixels(nn.Module):
        def forward(self, x):
            return x[:, 0, :1, 0]

    mean = torch.zeros(1, 1, 2).double()
    # x₀ - λ(x₀² + x₁²) - τ|x₀ - x₁|: apart (1 - τ, τ) / 2λ while τ < ½, then both at 1 / 4λ.
    for tau, expected in ((0.0, (0.5, 0.0)), (0.2, (0.4, 0.1)), (0.8, (0.25, 0.25))):
        prototypes = class_prototypes(TwoPixels(), mean, -2, 2, 1.0, tau, logit)
        assert_close(prototypes.x[0, 0, 0].tolist(), list(expected), atol=2e-3, rtol=0)


def test_prototypes_of_a_senn_beat_their_starts_and_stay_in_range():
    model, mean = random_image_senn().double(), torch.zeros(1, 28, 28).double()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prototypes = class_prototypes(model, mean, -1, 2, 1e-3, 1e-4)
    assert prototypes.x.shape == (4, 1, 28, 28)
    assert prototypes.x.min() >= -1
    assert prototypes.x.max() <= 2
    assert (prototypes.objective > model(mean[None]).logits.log_softmax(1)[0]).all()
    assert (prototypes.probability > 0.3).all()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_repeatable_and_blind_to_the_global_generator():
    model = relu_network(6, 3)
    first = class_prototypes(model, MEAN, 0, 1, 0.1)
    torch.manual_seed(3)
    draws = torch.random.get_rng_state()
    second = class_prototypes(model, MEAN, 0, 1, 0.1)
    assert torch.equal(first.x, second.x)
    assert torch.equal(torch.random.get_rng_state(), draws)
