"""What was printed in the notebook on self-explaining networks that the project began with.

Its weights were not printed: they are what the printed inputs and outputs leave them, and more
numbers were printed than weights are free. The numbers of the notebook on relevance propagation
are in ``tests/explanations/relprop/test_operations.py``.
"""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from pipeline.explanations.relprop.composites import lrp
from pipeline.explanations.relprop.core import propagate
from pipeline.explanations.relprop.rules import Epsilon
from pipeline.models.conceptizers import IdentityConceptizer
from pipeline.models.parameterizers import MlpParameterizer
from pipeline.models.senn import Senn

PRINTED = 0.5e-4  # of numbers with four digits, at most so much is rounding

X = torch.tensor(
    [
        [-0.9139, 1.4504, 0.2090],
        [-0.0448, 0.3841, -1.2505],
        [0.5166, 1.4903, -0.2736],
        [0.9951, -0.9236, 1.1216],
        [-0.1194, -0.5551, 0.3706],
    ]
).double()
RELEVANCES = torch.tensor(
    [
        [-2.0601, 2.3076, -2.7704],
        [-0.7508, 0.9061, -0.9987],
        [-1.9809, 0.9535, -3.1562],
        [1.6018, -2.4192, 1.9271],
        [0.7975, -0.5414, 1.2127],
    ]
).double()
LOGITS = torch.tensor([[2.6248], [0.7869], [1.5148], [-2.2901], [-0.6830]]).double()

JACOBIAN_X = torch.tensor([[0.9477, 0.1124, 0.1092]]).double()
JACOBIAN = torch.tensor([[0.7564, -0.4524, 0.4692], [-0.3818, -0.3083, -0.4885]]).double()

NET_WEIGHT = torch.tensor(
    [[-0.0993, 0.3321, -0.1209, -0.2297, -0.1050], [-0.4040, 0.3239, -0.0428, 0.2237, 0.3944]]
).double()


def solve(inputs, outputs):
    """The weights between them, and what rounding may leave of `outputs`, per column."""
    weights = torch.linalg.lstsq(inputs, outputs).solution
    rounding = PRINTED * (1 + weights.abs().sum(0))
    return weights, rounding * len(inputs) ** 0.5


def jacobian(function, x, outputs):
    """The notebook's: one copy of x for every output, and a backward pass for all of them."""
    copies = x.unsqueeze(1).repeat(1, outputs, 1).requires_grad_()
    every = torch.eye(outputs, dtype=x.dtype).repeat(len(x), 1, 1)
    return torch.autograd.grad(function(copies), copies, every)[0]


def test_senn_as_linear_regression():
    """concepts h = x, relevances θ = x w, and the notebook's aggregator (h + θ) w2."""
    w, of_relevances = solve(X, RELEVANCES)
    w2, of_logits = solve(X + RELEVANCES, LOGITS)
    senn = Senn(
        IdentityConceptizer((3,)),
        MlpParameterizer((3,), 3, 1, (), 0.0),
        lambda concepts, relevances: (concepts + relevances.squeeze(-1)) @ w2,
    ).double()
    (layer,) = senn.parameterizer.layers
    with torch.no_grad():
        layer.weight.copy_(w.T)
        layer.bias.zero_()
    output = senn(X)
    assert torch.equal(output.concepts, X)
    assert ((output.relevances.squeeze(2) - RELEVANCES).norm(dim=0) <= of_relevances).all()
    # The logits are of the relevances as they were, not of those that w gives.
    assert ((senn.aggregator(X, RELEVANCES.unsqueeze(2)) - LOGITS).norm(dim=0) <= of_logits).all()
    assert_close(output.logits, LOGITS, rtol=0, atol=3e-4)


@pytest.mark.parametrize("row", range(5))
def test_other_numbers_would_not_do(row):
    wrong = RELEVANCES.clone()
    wrong[row] += 0.01
    w, rounding = solve(X, wrong)
    assert ((X @ w - wrong).norm(dim=0) > rounding).all()


def test_jacobian_of_a_linear_map():
    """Printed transposed, as its weights: also what LRP-0 divides x into, for each output."""
    model = nn.Linear(3, 2, bias=False).double().requires_grad_(False)
    model.weight.copy_(JACOBIAN)
    assert_close(jacobian(model, JACOBIAN_X, 2)[0], JACOBIAN)
    assert_close(torch.func.jacrev(model)(JACOBIAN_X[0]), JACOBIAN)
    for output, expected in zip(torch.eye(2).double(), JACOBIAN, strict=True):
        relevance = propagate(model, JACOBIAN_X, lambda z, o=output: o * z, lrp(Epsilon()))
        assert_close(relevance[0], JACOBIAN_X[0] * expected)


def test_jacobian_of_a_relu_network():
    """A row is that of the weights where the ReLU is open, and 0, as both printed, where not."""
    net = nn.Sequential(nn.Linear(5, 2), nn.ReLU()).double().requires_grad_(False)
    net[0].weight.copy_(NET_WEIGHT)
    net[0].bias.zero_()
    x = torch.randn(50, 5, generator=torch.Generator().manual_seed(0)).double()
    is_open = (x @ NET_WEIGHT.T > 0).unsqueeze(2)
    jacobians = jacobian(net, x, 2)
    assert_close(jacobians, NET_WEIGHT * is_open)
    is_printed = (jacobians == torch.zeros(2, 5)).all((1, 2))
    assert 0 < is_printed.sum() < 50
    assert torch.equal(is_printed, (net(x) == 0).all(1))
    assert_close(propagate(net, x, torch.clone, lrp(Epsilon())), x * jacobians.sum(1))
