import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from pipeline.core.errors import PipelineError
from pipeline.explanations.relprop.composites import lrp
from pipeline.explanations.relprop.core import CHOOSING, propagate
from pipeline.explanations.relprop.rules import Epsilon, WSquare
from tests.explanations.relprop.networks import convolutional, numbers, perceptron, random_weights

LRP_0 = lrp(Epsilon())


class Functional(nn.Module):
    """`function` of x and of what a linear layer makes of it."""

    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.function = function

    def forward(self, x):
        return self.function(x, self.linear(x))


def whole(logits):
    return logits


def test_max_pooling_gives_relevance_to_the_winner():
    x = torch.tensor([[[[1.0, 5.0], [3.0, 2.0]]]])
    expected = torch.tensor([[[[0.0, 7.0], [0.0, 0.0]]]])
    model = nn.MaxPool2d(2)
    assert torch.equal(
        propagate(model, x, lambda _: torch.full((1, 1, 1, 1), 7.0), LRP_0), expected
    )


def test_reshaping_moves_relevance_with_its_value():
    x, relevance = numbers(2, 1, 12, 12), numbers(2, 144, seed=1)
    model = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (4, 36)), nn.Flatten(), nn.Dropout(0.5))
    assert torch.equal(propagate(model.eval(), x, lambda _: relevance, LRP_0), relevance.view_as(x))


def test_relu_passes_relevance_even_where_it_is_closed():
    model = random_weights(nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
    x = torch.tensor([[-1.0, 2.0, -3.0, 4.0]]).double()
    share = propagate(model, x, torch.ones_like, lrp(WSquare()))
    square = model[1].weight.square()
    assert_close(share, (square / square.sum(1, keepdim=True)).sum(0, keepdim=True))


def test_branches_add_up():
    model = random_weights(Functional(lambda x, y: torch.cat([y, x, y], 1)))
    x, relevance = numbers(3, 4), numbers(3, 12, seed=1)
    one, through, two = relevance.chunk(3, 1)
    direct = propagate(model.linear, x, lambda _: one + two, LRP_0)
    assert_close(propagate(model, x, lambda _: relevance, LRP_0), direct + through)


@pytest.mark.parametrize("make", [perceptron, convolutional])
def test_an_example_does_not_depend_on_its_batch(make):
    model, x = make(), numbers(5, *((6,) if make is perceptron else (2, 9, 9)))
    alone = torch.cat([propagate(model, one.unsqueeze(0), whole, LRP_0) for one in x])
    assert_close(propagate(model, x, whole, LRP_0), alone)


def test_the_first_layer_is_the_one_before_which_no_other_comes():
    seen = []

    class Named(Epsilon):
        def __init__(self, place):
            super().__init__()
            object.__setattr__(self, "place", place)

        def __call__(self, layer, inputs, output, relevance):
            seen.append((self.place, layer))
            return super().__call__(layer, inputs, output, relevance)

    model = convolutional()
    composite = lrp(Named("rest"))
    composite.first.append(((nn.Conv2d, nn.Linear), Named("first")))
    propagate(model, numbers(2, 2, 9, 9), whole, composite)
    linear = [layer for layer in model if isinstance(layer, nn.Conv2d | nn.Linear)]
    places = ["rest"] * (len(linear) - 1) + ["first"]
    assert seen == list(zip(places, reversed(linear), strict=True))


def test_the_model_is_left_as_it_was():
    model = perceptron().requires_grad_(True)
    x = numbers(2, 6).requires_grad_()
    before, state = model(x), {name: value.clone() for name, value in model.state_dict().items()}
    relevance = propagate(model, x, whole, LRP_0)
    assert not relevance.requires_grad and x.grad is None
    with pytest.raises(ZeroDivisionError):
        propagate(model, x, lambda _: 1 / 0, LRP_0)
    with pytest.raises(RuntimeError):
        propagate(model, numbers(2, 5), whole, LRP_0)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(x), before)
    (gradient,) = torch.autograd.grad(before.sum(), x)
    assert_close(gradient, torch.autograd.grad(model(x).sum(), x)[0])


def test_no_rule():
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU())
    with pytest.raises(PipelineError, match=r"type GELU: there are rules for .*Conv2d.*ReLU"):
        propagate(model, torch.ones(1, 4), whole, LRP_0)


def test_a_subclass_is_another_type():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    with pytest.raises(PipelineError, match="type Doubled"):
        propagate(Doubled(4, 4), torch.ones(1, 4), whole, LRP_0)


@pytest.mark.parametrize(
    ("function", "node"),
    [
        (lambda x, y: x + y, "AddBackward0"),
        (lambda x, y: x * y, "MulBackward0"),
        (lambda x, y: F.relu(y), "ReluBackward0"),
    ],
)
def test_what_is_computed_outside_of_layers_is_not_passed_over(function, node):
    with pytest.raises(PipelineError, match=node):
        propagate(Functional(function), torch.ones(1, 4), whole, LRP_0)


def test_layers_that_change_their_input_in_place():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    with pytest.raises(PipelineError, match="ReLU that overwrites its input"):
        propagate(model, torch.ones(1, 4), whole, LRP_0)


def test_dropout_at_work():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    with pytest.raises(PipelineError, match="evaluation mode"):
        propagate(model, torch.ones(1, 4), whole, LRP_0)


def test_arguments_by_keyword():
    class Keyword(nn.Sequential):
        def forward(self, x):
            return self[0](input=x)

    with pytest.raises(PipelineError, match="call Linear without keyword arguments"):
        propagate(Keyword(nn.Linear(4, 4)), torch.ones(1, 4), whole, LRP_0)


def test_layers_that_only_choose_have_no_rule():
    assert not {known for types, _ in LRP_0.layers for known in types} & set(CHOOSING)
