import pytest
import torch
from torch import nn
from torch.testing import assert_close

from pipeline.explanations.gradients import gradient_times_input, squared_sensitivity
from pipeline.explanations.method import Background
from pipeline.explanations.methods import METHODS
from pipeline.explanations.taylor import (
    root_along_gradient,
    root_on_segment,
    taylor_decomposition,
)
from tests.explanations.networks import affine, relu_network

TARGET = torch.tensor([0, 2, 1, 1, 2])


def inputs(seed: int = 1) -> torch.Tensor:
    return torch.rand(5, 6, generator=torch.Generator().manual_seed(seed)).double()


class Quadratic(nn.Module):
    """f_c(x) = ½ xᵀA_c x + w_cᵀx - 1, convex."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        half = torch.randn(classes, features, features).double()
        self.curvature = half @ half.mT
        self.weight = torch.randn(classes, features).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bi,cij,bj->bc", x, self.curvature, x) / 2 + x @ self.weight.T - 1


def of_targets(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return model(x)[torch.arange(len(x)), TARGET]


def is_root(model: nn.Module, x: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
    return of_targets(model, point).abs() <= 1e-3 * of_targets(model, x).abs()


def test_nearest_root_of_an_affine_model_and_the_w2_rule():
    model, x = affine(6, 3), inputs()
    w, f = model.weight[TARGET], of_targets(model, x)
    root = root_along_gradient(model, x, TARGET, -10, 10)
    assert is_root(model, x, root).all()
    squares = w.square() / w.square().sum(1, keepdim=True)
    assert_close(root, x - f[:, None] * w / w.square().sum(1, keepdim=True))
    relevance = taylor_decomposition(model, x, TARGET, root)
    assert_close(relevance, f[:, None] * squares)
    squared = squared_sensitivity(model, x, TARGET)
    assert_close(relevance / f[:, None], squared / squared.sum(1, keepdim=True))


def test_root_on_a_segment_of_an_affine_model():
    model, x = affine(6, 3), inputs()
    end = x.flip(0) - 3
    f, g = of_targets(model, x), of_targets(model, end)
    crosses = f.sign() != g.sign()
    assert crosses.any()
    assert not crosses.all()
    root = root_on_segment(model, x, TARGET, end)
    assert is_root(model, x, root).tolist() == crosses.tolist()
    exact = x + (f / (f - g))[:, None] * (end - x)
    assert_close(root[crosses], exact[crosses], atol=1e-4, rtol=0)
    assert torch.equal(root[~crosses], end[~crosses])


def test_the_first_of_three_roots_on_a_segment():
    class Cubic(nn.Module):
        def forward(self, x):
            return ((x - 0.2) * (x - 0.5) * (x - 0.7)).sum(1, keepdim=True)

    zero, one = torch.zeros(1, 1).double(), torch.ones(1).double()
    root = root_on_segment(Cubic(), zero, torch.tensor([0]), one)
    assert root.item() == pytest.approx(0.2, abs=1e-4)


@pytest.mark.parametrize("search", ["gradient", "segment"])
def test_conservation_up_to_the_second_order(search):
    # f = ½ xᵀAx + wᵀx + b, so that f(x) - f(x̃) - ΣR is ½ (x - x̃)ᵀA(x - x̃).
    model, x = Quadratic(6, 3), inputs()
    if search == "gradient":
        root = root_along_gradient(model, x, TARGET, -10, 10)
    else:
        root = root_on_segment(model, x, TARGET, torch.zeros(6).double())
    f, rest = of_targets(model, x), of_targets(model, root)
    assert is_root(model, x, root).all()
    moved = x - root
    second_order = torch.einsum("bi,bij,bj->b", moved, model.curvature[TARGET], moved) / 2
    relevance = taylor_decomposition(model, x, TARGET, root)
    assert_close(relevance.sum(1) + second_order + rest, f)
    assert (second_order.abs() > 1e-3 * f.abs()).all()


def test_relu_network_without_biases_has_its_root_in_the_limit_at_zero():
    # f(εx) = ε f(x), ∇f(εx) = ∇f(x): at x̃ = εx the decomposition is (1 - ε) x ⊙ ∇f(x).
    model, x = relu_network(6, 3, nn.ReLU, bias=False), inputs() - 0.5
    limit = gradient_times_input(model, x, TARGET)
    assert_close(limit.sum(1), of_targets(model, x))
    for epsilon in (1e-1, 1e-3, 1e-6):
        relevance = taylor_decomposition(model, x, TARGET, epsilon * x)
        assert_close(relevance, (1 - epsilon) * limit)
    assert_close(taylor_decomposition(model, x, TARGET, 1e-9 * x), limit, rtol=1e-8, atol=1e-8)


def test_a_root_out_of_range_is_not_found_and_the_search_stays_inside():
    model = affine(6, 3)
    with torch.no_grad():
        model.bias.fill_(100)
    x = inputs()
    root = root_along_gradient(model, x, TARGET, 0, 1)
    assert not is_root(model, x, root).any()
    # The lowest that a box allows is its corner.
    assert torch.equal(root, (model.weight[TARGET] < 0).double())


def test_features_at_the_end_of_their_range_do_not_slow_the_search():
    # f = Σ w_i x_i + 1, all w > 0, all but the last feature at the lower end: only that may move.
    model = nn.Linear(4, 1).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[5.0, 5.0, 5.0, 1.0]]))
        model.bias.fill_(-0.5)
    x = torch.tensor([[0.0, 0.0, 0.0, 1.0]]).double()
    root = root_along_gradient(model, x, torch.tensor([0]), 0, 1)
    assert (model(root).abs() <= 1e-3 * model(x).abs()).all()
    assert_close(root, torch.tensor([[0.0, 0.0, 0.0, 0.5]]).double())


def test_methods_search_in_the_range_and_towards_the_baseline():
    model, x = Quadratic(6, 3), inputs()
    background = Background(torch.zeros(6).double(), -0.5, 1.0)
    roots = {
        "taylor_gradient": root_along_gradient(model, x, TARGET, -0.5, 1.0),
        "taylor_segment": root_on_segment(model, x, TARGET, background.baseline),
    }
    for name, root in roots.items():
        expected = taylor_decomposition(model, x, TARGET, root)
        assert_close(METHODS[name].build(background)(model, x, TARGET), expected)


def test_searches_leave_the_inputs_as_they_are():
    model, x = Quadratic(6, 3), inputs()
    before = x.clone()
    root_along_gradient(model, x, TARGET, -10, 10)
    root_on_segment(model, x, TARGET, torch.zeros(6).double())
    assert torch.equal(x, before)
