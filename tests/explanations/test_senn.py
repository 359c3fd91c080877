import pytest
import torch

from pipeline.explanations.method import Background
from pipeline.explanations.methods import METHODS
from pipeline.explanations.senn import contributions, pulled_back, relevances
from tests.metrics.models import random_image_senn, random_table_senn, senn


@pytest.fixture(params=["table", "image"])
def model_and_inputs(request):
    if request.param == "table":
        return random_table_senn(classes=4), torch.rand(7, 6)
    return random_image_senn(classes=4), torch.randn(7, 1, 28, 28)


TARGET = torch.tensor([0, 3, 1, 1, 2, 0, 3])


def test_relevances_are_those_of_each_examples_class(model_and_inputs):
    model, x = model_and_inputs
    theta = model(x).relevances
    expected = torch.stack([theta[i, :, c] for i, c in enumerate(TARGET.tolist())])
    assert torch.equal(relevances(model, x, TARGET), expected)


def test_contributions_sum_to_the_logit(model_and_inputs):
    model, x = model_and_inputs
    output = model(x)
    explained = contributions(model, x, TARGET)
    assert explained.shape == output.concepts.shape
    expected = torch.stack([output.logits[i, c] for i, c in enumerate(TARGET.tolist())])
    torch.testing.assert_close(explained.sum(1), expected)
    torch.testing.assert_close(explained, relevances(model, x, TARGET) * output.concepts)


def test_pull_back_is_theta_on_the_jacobian_of_the_concepts():
    model, x = random_image_senn().double(), torch.randn(3, 1, 28, 28).double()
    target, baseline = torch.tensor([2, 0, 3]), torch.randn(1, 28, 28).double()
    theta = model(x).relevances
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda one: model.conceptizer.encode(one[None])[0], x[i]
        )
        pulled = torch.einsum("k,kchw->chw", theta[i, :, target[i]], jacobian)
        expected = pulled * (x[i] - baseline)
        actual = pulled_back(model, x[i : i + 1], target[i : i + 1], baseline)
        torch.testing.assert_close(actual[0], expected)
    together = pulled_back(model, x, target, baseline)
    torch.testing.assert_close(together[2:], actual)


def test_pull_back_of_concepts_that_are_the_features():
    model, x = random_table_senn(classes=4), torch.rand(7, 6)
    baseline = torch.rand(6)
    theta = relevances(model, x, TARGET)
    torch.testing.assert_close(pulled_back(model, x, TARGET, baseline), theta * (x - baseline))
    zero = torch.zeros(6)
    contributed = contributions(model, x, TARGET)
    torch.testing.assert_close(pulled_back(model, x, TARGET, zero), contributed)


def test_pull_back_of_affine_concepts_sums_to_the_change_with_theta_held():
    torch.manual_seed(0)
    a, offset = torch.randn(3, 5).double(), torch.randn(3).double()
    model = senn(
        lambda x: torch.stack([x[:, :3].sin(), x[:, 2:].cos()], 2), lambda x: x @ a.T + offset
    )
    x, baseline, target = torch.randn(4, 5).double(), torch.randn(5).double(), TARGET[:4] % 2
    theta, h = relevances(model, x, target), model.conceptizer.encode
    expected = (theta * (h(x) - h(baseline))).sum(1)
    torch.testing.assert_close(pulled_back(model, x, target, baseline).sum(1), expected)


def test_pull_back_differs_from_gradient_times_input_by_the_residual_of_the_robustness_loss():
    # r_c = Σ_k h_k ∇θ_kc, in closed form for θ_kc = Σ_d A_kcd x_d.
    torch.manual_seed(0)
    a, mixing = torch.randn(3, 2, 5).double(), torch.randn(3, 5).double()
    model = senn(lambda x: torch.einsum("kcd,bd->bkc", a, x), lambda x: (x @ mixing.T).tanh())
    x, target = torch.randn(4, 5).double(), TARGET[:4] % 2
    baseline = torch.randn(5).double()
    residual = torch.einsum("bk,kbd->bd", model.conceptizer.encode(x), a[:, target])
    gradient = _gradient(model, x, target)
    expected = (gradient - residual) * (x - baseline)
    torch.testing.assert_close(pulled_back(model, x, target, baseline), expected)


def _gradient(model, x, target):
    x = x.clone().requires_grad_()
    logits = model(x).logits[torch.arange(len(x)), target]
    return torch.autograd.grad(logits.sum(), x)[0]


@pytest.mark.parametrize("name", ["relevance", "contribution", "pull_back"])
def test_an_example_does_not_depend_on_its_batch(model_and_inputs, name):
    model, x = model_and_inputs
    explain = METHODS[name].build(_background(x))
    alone = torch.cat([explain(model, x[i : i + 1], TARGET[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(explain(model, x, TARGET), alone)


@pytest.mark.parametrize("name", ["relevance", "contribution", "pull_back"])
def test_differentiable_in_the_input(model_and_inputs, name):
    model, x = model_and_inputs
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(
        METHODS[name].build(_background(x))(model, x, TARGET).sum(), x
    )
    assert gradient.abs().sum() > 0


def _background(x):
    return Background(torch.full(x.shape[1:], 0.2), 0.0, 1.0)
