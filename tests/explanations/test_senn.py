import pytest
import torch

from pipeline.explanations.senn import SENN_EXPLANATIONS, contributions, relevances
from tests.metrics.models import random_image_senn, random_table_senn


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


@pytest.mark.parametrize("name", SENN_EXPLANATIONS)
def test_an_example_does_not_depend_on_its_batch(model_and_inputs, name):
    model, x = model_and_inputs
    explain = SENN_EXPLANATIONS[name]
    alone = torch.cat([explain(model, x[i : i + 1], TARGET[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(explain(model, x, TARGET), alone)


@pytest.mark.parametrize("name", SENN_EXPLANATIONS)
def test_differentiable_in_the_input(model_and_inputs, name):
    model, x = model_and_inputs
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(SENN_EXPLANATIONS[name](model, x, TARGET).sum(), x)
    assert gradient.abs().sum() > 0
