import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from pipeline.explanations.activation_maximisation import class_prototypes
from tests.explanations.networks import affine, relu_network
from tests.metrics.models import random_image_senn

MEAN = torch.linspace(0.2, 0.7, 6).double()


@pytest.mark.parametrize("l2", [0.1, 1.0])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-5, 5)])
def test_affine_logits_satisfy_their_equation(l2, classes, low, high):
    # ∇ log p_c = w_c - Σ p_c' w_c', so the concave objective is greatest where x is the point of
    # the box that is nearest to x̄ + (w_c - Σ p_c'(x) w_c') / 2λ.
    model = affine(6, classes)
    x, probability = class_prototypes(model, MEAN, low, high, l2)
    slope = model.weight - model(x).softmax(1) @ model.weight
    assert_close(x, (MEAN + slope / (2 * l2)).clamp(low, high).detach(), atol=1e-3, rtol=0)
    assert_close(probability, model(x).softmax(1).diagonal())


def test_without_regularisation_the_corner_of_the_range():
    model = affine(6, 2)  # log p_c grows with (w_c - w_c')ᵀx
    x, _ = class_prototypes(model, MEAN, 0, 1, 0)
    assert torch.equal(x, (model.weight > model.weight.flip(0)).double())


def test_starts_beyond_the_mean_find_the_higher_of_two_maxima():
    # Two bumps on a line, the lower one at the mean; the logit of the other class is 0.
    class Bumps(nn.Module):
        def forward(self, x):
            near, far = (-((x + 3) ** 2) * 2).exp(), (-((x - 3) ** 2) / 8).exp()
            return torch.cat([near + 2 * far, torch.zeros_like(x)], 1)

    x, probability = class_prototypes(Bumps(), torch.tensor([-3.0]).double(), -5, 5, 0)
    assert x[0].item() == pytest.approx(3, abs=0.05)
    assert probability[0].item() == pytest.approx(1 / (1 + math.exp(-2)), abs=1e-3)


def test_prototypes_of_a_senn_beat_their_starts_and_stay_in_range():
    model, mean = random_image_senn().double(), torch.zeros(1, 28, 28).double()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, probability = class_prototypes(model, mean, -1, 2, 1e-3)
    assert x.shape == (4, 1, 28, 28)
    assert x.min() >= -1
    assert x.max() <= 2
    objective = probability.log() - 1e-3 * (x - mean).flatten(1).square().sum(1)
    assert (objective > model(mean[None]).logits.log_softmax(1)[0]).all()
    assert (probability > 0.3).all()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_repeatable_and_blind_to_the_global_generator():
    model = relu_network(6, 3)
    first, _ = class_prototypes(model, MEAN, 0, 1, 0.1)
    torch.manual_seed(3)
    draws = torch.random.get_rng_state()
    second, _ = class_prototypes(model, MEAN, 0, 1, 0.1)
    assert torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), draws)
