"""Every rule against its formula with the matrix of all z_ij written out, and against zennit."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from pipeline.core.torchvision_shim import torchvision  # noqa: F401  (zennit imports it)
from pipeline.explanations.relprop import rules
from tests.explanations.relprop.networks import LAYERS, matrix, numbers, random_weights

import zennit.rules  # isort: skip

EPSILON, LOW, HIGH = 0.3, -2.0, 3.0
Z_BOX = rules.ZBox(torch.tensor(LOW), torch.tensor(HIGH))


def explicit(z, denominator, relevance):
    """R_i = Σ_j z_ij / z_j R_j, of z (B, j, i): step by step, "1st way"."""
    share = torch.where(denominator == 0, 0.0, relevance / denominator)
    return (z * share.unsqueeze(2)).sum(1)


def lrp_0(z, w, b, r):
    return explicit(z, z.sum(2) + b, r)


def lrp_epsilon(z, w, b, r):
    output = z.sum(2) + b
    return explicit(z, output + EPSILON * output.sign(), r)


def alpha_beta(z, w, b, r):
    positive, negative = z * (z > 0), z * (z < 0)
    alpha = 1 + (negative.sum(2) != 0)
    return explicit(positive, positive.sum(2), alpha * r) - explicit(negative, negative.sum(2), r)


def z_plus(z, w, b, r):
    positive = z * (z > 0)
    return explicit(positive, positive.sum(2), r)


def w_square(z, w, b, r):
    square = w.square().expand_as(z)
    return explicit(square, square.sum(2), r)


def z_box(z, w, b, r):
    z = z - LOW * w.clamp(min=0) - HIGH * w.clamp(max=0)
    return explicit(z, z.sum(2), r)


def oriented_z_plus(z, w, b, r):
    sign = torch.where(z.sum(2) + b < 0, -1.0, 1.0).unsqueeze(2)
    return z_plus(z * sign, w, b, r)


FORMULAS = {
    "lrp_0": (rules.Epsilon(), lrp_0),
    "lrp_epsilon": (rules.Epsilon(EPSILON), lrp_epsilon),
    "alpha_beta": (rules.AlphaBeta(), alpha_beta),
    "z_plus": (rules.Z_PLUS, z_plus),
    "w_square": (rules.WSquare(), w_square),
    "z_box": (Z_BOX, z_box),
    "oriented": (rules.Oriented(rules.Z_PLUS), oriented_z_plus),
}
# Their stabilizers vanish beside what they are added to, except ε, which is a part of its rule.
TINY = 1e-200
ZENNIT = {
    "lrp_0": zennit.rules.Epsilon(epsilon=TINY),
    "lrp_epsilon": zennit.rules.Epsilon(epsilon=EPSILON),
    "alpha_beta": zennit.rules.AlphaBeta(2, 1, stabilizer=TINY, zero_params="bias"),
    "z_plus": zennit.rules.ZPlus(stabilizer=TINY, zero_params="bias"),
    "w_square": zennit.rules.WSquare(stabilizer=TINY, zero_params="bias"),
    "z_box": zennit.rules.ZBox(LOW, HIGH, stabilizer=TINY, zero_params="bias"),
}


# Pooling has no parameters for zennit to modify.
WEIGHTED = ("linear", "convolution", "circular")
COMPARED = [
    (layer, rule) for rule in ZENNIT for layer in LAYERS if layer in WEIGHTED or "lrp" in rule
]


def make_case(layer_name):
    layer, shape = LAYERS[layer_name]
    x = numbers(4, *shape, seed=1).clamp(LOW, HIGH)
    layer = random_weights(layer)
    output = layer(x)
    return layer, x, output, numbers(*output.shape, seed=2)


def has_both_signs(layer, x):
    """Of each output, whether something activates and something inhibits it, (B, outputs)."""
    z = x.flatten(1).unsqueeze(1) * matrix(layer, x.shape[1:])[0]
    return (z > 0).any(2) & (z < 0).any(2)


@pytest.fixture(params=LAYERS)
def case(request):
    return make_case(request.param)


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(case, name):
    layer, x, output, relevance = case
    rule, formula = FORMULAS[name]
    (ours,) = rule(layer, (x,), output, relevance)
    w, b = matrix(layer, x.shape[1:])
    z = x.flatten(1).unsqueeze(1) * w
    assert_close(ours, formula(z, w, b, relevance.flatten(1)).view_as(x))


@pytest.mark.parametrize(("layer_name", "name"), COMPARED)
def test_zennit(layer_name, name):
    layer, x, output, relevance = make_case(layer_name)
    if name == "alpha_beta":  # elsewhere zennit's neurons give twice what they have
        relevance = relevance * has_both_signs(layer, x).view_as(output)
    (ours,) = FORMULAS[name][0](layer, (x,), output, relevance)
    x = x.clone().requires_grad_()
    handles = ZENNIT[name].copy().register(layer)
    (theirs,) = torch.autograd.grad(layer(x), x, relevance)
    handles.remove()
    assert_close(ours, theirs)


@pytest.mark.parametrize("name", sorted(FORMULAS.keys() - {"lrp_0", "lrp_epsilon"}))
def test_conservation_in_one_layer(case, name):
    layer, x, output, relevance = case
    has_both = has_both_signs(layer, x)
    relevance = relevance.flatten(1) * has_both
    (ours,) = FORMULAS[name][0](layer, (x,), output, relevance.view_as(output))
    assert has_both.any()
    assert_close(ours.flatten(1).sum(1), relevance.sum(1))


@pytest.mark.parametrize("name", ["lrp_0", "lrp_epsilon"])
def test_what_the_bias_and_epsilon_keep(case, name):
    layer, x, output, relevance = case
    (ours,) = FORMULAS[name][0](layer, (x,), output, relevance)
    _, b = matrix(layer, x.shape[1:])
    output, relevance = output.flatten(1), relevance.flatten(1)
    epsilon = EPSILON * output.sign() if name == "lrp_epsilon" else torch.zeros_like(output)
    kept = (b + epsilon) / (output + epsilon) * relevance
    assert_close(ours.flatten(1).sum(1) + kept.sum(1), relevance.sum(1))


@pytest.mark.parametrize("rule", [rules.Z_PLUS, rules.WSquare(), Z_BOX])
def test_positivity(case, rule):
    layer, x, output, relevance = case
    (ours,) = rule(layer, (x,), output, relevance.abs())
    assert (ours >= 0).all() and (ours > 0).any()


def test_alpha_beta_where_nothing_inhibits():
    layer = nn.Linear(2, 2, bias=False).requires_grad_(False)
    layer.weight.copy_(torch.tensor([[1.0, 3.0], [1.0, -3.0]]))
    arguments = layer, (torch.ones(1, 2),), layer(torch.ones(1, 2)), torch.tensor([[4.0, 1.0]])
    (relevance,) = rules.AlphaBeta(2.0, 1.0)(*arguments)
    assert_close(relevance, torch.tensor([[1.0 + 2.0, 3.0 - 1.0]]))


def test_no_relevance_is_invented_where_nothing_contributes():
    layer = random_weights(nn.Linear(3, 2), bias="zero").float()
    x = torch.zeros(1, 3)
    for rule, _ in FORMULAS.values():
        if not isinstance(rule, rules.WSquare | rules.ZBox):
            (relevance,) = rule(layer, (x,), layer(x), torch.ones(1, 2))
            assert torch.equal(relevance, torch.zeros(1, 3))


def test_a_vanishing_denominator_does_not_overflow():
    layer = nn.Linear(1, 1, bias=False).requires_grad_(False)
    layer.weight.fill_(1e-40)
    x = torch.ones(1, 1)
    for rule, _ in FORMULAS.values():
        (relevance,) = rule(layer, (x,), layer(x), torch.ones(1, 1))
        assert relevance.isfinite().all()


def test_pass_and_rectify():
    relevance = torch.tensor([[-1.0, 2.0]])
    arguments = nn.ReLU(), (torch.ones(1, 2),), torch.ones(1, 2), relevance
    assert rules.pass_on(*arguments) == (relevance,)
    assert torch.equal(*rules.rectify(*arguments), torch.tensor([[0.0, 2.0]]))
