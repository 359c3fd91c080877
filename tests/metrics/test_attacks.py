"""Attacks on concepts: known maxima, the ball, the prediction, natural distances."""

import dataclasses

import pytest
import torch

from pipeline.core.dataset import Split
from pipeline.core.params import Attack
from pipeline.metrics.attacks import attack, attack_concepts, ball
from pipeline.metrics.stability import Box
from tests.metrics.data import dataset
from tests.metrics.models import random_image_senn, senn, two_classes

SETTINGS = Attack(seeds=1, images=6, radii=(0.1, 0.3), steps=8)


def predicted(model, x):
    return model(x).logits.argmax(1)


def constant(relevances):
    """Relevances (K,) of class 0 whatever x, and their opposite of class 1."""
    return lambda x: two_classes(relevances.expand(len(x), -1))


def wide(half_width, features=1):
    return Box(torch.full((features,), half_width), -10.0, 10.0)


def test_of_a_linear_encoder_it_finds_the_corner():
    torch.manual_seed(0)
    weight = torch.randn(5)
    # One concept w·x, which is positive by far: the prediction stays.
    model = senn(constant(torch.ones(1)), lambda x: (x @ weight + 100).unsqueeze(1))
    x = torch.randn(7, 5)
    start = x + 0.05 * torch.randn(7, 5)
    attacked = attack_concepts(model, x, predicted(model, x), wide(0.3, 5), 10, start)
    moved = (attacked - x) @ weight
    torch.testing.assert_close(moved.abs(), 0.3 * weight.abs().sum().expand(7))
    torch.testing.assert_close((attacked - x).abs(), torch.full((7, 5), 0.3))


def test_of_several_concepts_it_finds_the_farthest_corner():
    torch.manual_seed(1)
    weight = torch.randn(4, 3)
    model = senn(constant(torch.ones(3)), lambda x: x @ weight + 100)
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4) * 0.2
    farthest = (corners @ weight).norm(dim=1).max()
    x = torch.randn(40, 4)
    start = x + 0.2 * (2 * torch.rand(40, 4) - 1)
    attacked = attack_concepts(model, x, predicted(model, x), wide(0.2, 4), 30, start)
    moved = ((attacked - x) @ weight).norm(dim=1)
    assert (moved <= farthest * (1 + 1e-5)).all()
    assert (moved > 0.7 * farthest).all() and moved.max() == pytest.approx(farthest.item())


def test_it_stops_where_the_prediction_changes():
    # h = x, f = ± (x + 0.1): class 1 below −0.1. In the ball ± 0.3 around 0 the farthest point
    # to the left is there, to the right it is 0.3; the data end at 0.05.
    model = senn(constant(torch.ones(1)), lambda x: x + 0.1)
    x, near = torch.zeros(1, 1), Box(torch.tensor([0.3]), -1.0, 0.05)
    start = torch.tensor([[-0.02]])
    attacked = attack_concepts(model, x, predicted(model, x), near, 60, start)
    assert predicted(model, attacked) == predicted(model, x)
    assert -0.1 < attacked.item() < -0.095


def test_where_nothing_keeps_the_prediction_nothing_moves():
    # Class 0 at x = 0 alone.
    model = senn(lambda x: two_classes(1 - 1e6 * x.abs()), lambda x: torch.ones_like(x))
    x = torch.zeros(2, 1)
    attacked = attack_concepts(model, x, predicted(model, x), wide(0.5), 5, x + 0.2)
    assert torch.equal(attacked, x)


@pytest.mark.parametrize("seed", range(5))
def test_it_never_leaves_the_ball_nor_the_data_nor_changes_a_prediction(seed):
    model, data = random_image_senn(seed=seed), dataset((1, 28, 28), 4)
    data = dataclasses.replace(data, std=0.5, low=-0.4, high=1.3)
    torch.manual_seed(seed)
    x = data.test.x[:12]
    target = predicted(model, x)
    near = ball(data, 0.3)
    assert near.half_width.unique().item() == pytest.approx(0.6)  # 0.3 of raw pixels
    start = x + torch.randn_like(x)
    attacked = attack_concepts(model, x, target, near, 10, start)
    assert (attacked - x).abs().max() <= 0.6 * (1 + 1e-6)
    assert attacked.min() >= data.low and attacked.max() <= data.high
    assert torch.equal(predicted(model, attacked), target)
    encode = model.conceptizer.encode
    moved = (encode(attacked) - encode(x)).norm(dim=1)
    assert (moved > (encode(start.clamp(*near.ends(x))) - encode(x)).norm(dim=1)).all()


def test_displacements_are_in_units_of_natural_distances():
    # Pixels are concepts 100 + x: distances are known. Relevances are the same everywhere.
    data = dataset((1, 1, 1), 2)
    test = Split(torch.tensor([0.2, 0.3, 0.5, 0.9]).view(4, 1, 1, 1), torch.tensor([0, 0, 1, 1]))
    data = dataclasses.replace(data, test=test, low=-9.0, high=9.0)
    model = senn(constant(torch.ones(1)), lambda x: x.flatten(1) + 100)
    settings = SETTINGS.model_copy(update={"images": 4})
    result = attack(model, data, settings)
    within = torch.tensor([0.1, 0.1, 0.4, 0.4]).double()
    between = torch.tensor([(0.3 + 0.7) / 2, (0.2 + 0.6) / 2, (0.3 + 0.2) / 2, (0.7 + 0.6) / 2])
    drawn = torch.randperm(4, generator=torch.Generator().manual_seed(0))
    radii = torch.tensor([0.1, 0.3]).double()
    torch.testing.assert_close(
        result["concepts_within"], radii / within[drawn].unsqueeze(1), rtol=1e-3, atol=0
    )
    torch.testing.assert_close(
        result["concepts_between"], radii / between[drawn].double().unsqueeze(1), rtol=1e-3, atol=0
    )
    assert result["relevances_within"].isnan().all() and result["relevances_between"].isnan().all()


def test_larger_balls_move_concepts_no_less():
    model, data = random_image_senn(seed=2), dataset((1, 28, 28), 4)
    result = attack(model, data, SETTINGS.model_copy(update={"radii": (0.05, 0.1, 0.2, 0.4)}))
    assert result["concepts_between"].shape == (6, 4)
    assert (result["concepts_between"].diff(dim=1) >= 0).all()
    assert (result["concepts_between"] > 0).all() and (result["relevances_within"] > 0).all()
    again = attack(model, data, SETTINGS.model_copy(update={"radii": (0.05, 0.1, 0.2, 0.4)}))
    assert all(torch.equal(values, again[name]) for name, values in result.items())
