import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.testing import assert_close

from pipeline.models.layers import plain
from pipeline.models.recurrent import Gru, Lstm, Recurrent
from tests.models.textbook import WEIGHTS

INPUTS, HIDDEN, EXAMPLES, LENGTH = 5, 8, 3, 7


@pytest.fixture(params=[Gru, Lstm])
def kind(request) -> type[Recurrent]:
    return request.param


@pytest.fixture(params=[False, True], ids=["one way", "both ways"])
def layer(request, kind) -> Recurrent:
    torch.manual_seed(0)
    return kind(INPUTS, HIDDEN, request.param).double()


def torchs(layer: Recurrent) -> nn.RNNBase:
    """The layer of torch with the same weights."""
    kind = nn.GRU if isinstance(layer, Gru) else nn.LSTM
    both_ways = layer.directions == 2
    other = kind(INPUTS, HIDDEN, batch_first=True, bidirectional=both_ways).double()
    with torch.no_grad():
        for direction, suffix in enumerate(["_l0", "_l0_reverse"][: layer.directions]):
            for name in WEIGHTS:
                getattr(other, name + suffix).copy_(getattr(layer, name)[direction])
    return other


def sequences(*sizes: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*sizes, INPUTS, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("is_plain", [False, True])
def test_values_and_derivatives_are_torchs(layer, is_plain):
    other, x = torchs(layer), sequences(EXAMPLES, LENGTH).requires_grad_()
    cotangent = torch.randn(EXAMPLES, LENGTH, layer.directions * HIDDEN, dtype=torch.float64)
    states, expected = plain(layer, is_plain)(x), other(x)[0]
    assert_close(states, expected)
    found = []
    for network, output in ((layer, states), (other, expected)):
        (first,) = torch.autograd.grad(output, x, cotangent, create_graph=True)
        second = torch.autograd.grad(first.square().sum(), [x, *network.parameters()])
        found.append((first, second))
    (first, second), (expected_first, expected_second) = found
    assert_close(first, expected_first)
    assert_close(second[0], expected_second[0])
    by_direction = zip(*(iter(expected_second[1:]),) * len(WEIGHTS), strict=True)
    for ours, *theirs in zip(second[1:], *by_direction, strict=True):
        assert_close(ours, torch.stack(theirs))


def test_a_zero_vector_is_no_input(layer):
    x = sequences(EXAMPLES, LENGTH)
    there = torch.tensor([0, 2, 3, 5, 8, 9, 10])  # anywhere, and at the end
    longer = x.new_zeros(EXAMPLES, 13, INPUTS).index_copy(1, there, x)
    assert_close(layer(longer)[:, there], layer(x), rtol=0, atol=1e-15)
    first_way = layer(longer)[..., :HIDDEN]
    assert torch.equal(first_way[:, 4], first_way[:, 3])
    assert torch.equal(layer(torch.zeros_like(x)), x.new_zeros(EXAMPLES, LENGTH, layer(x).shape[2]))


def test_its_derivatives_do_not_see_padding(layer):
    x = sequences(EXAMPLES, LENGTH).requires_grad_()

    def derivatives(x: Tensor) -> tuple[Tensor, ...]:
        states = layer(x)[:, :LENGTH]
        (first,) = torch.autograd.grad(states.sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), list(layer.parameters()))

    padded = torch.cat([x, x.new_zeros(EXAMPLES, 4, INPUTS)], 1)
    for one, other in zip(derivatives(padded), derivatives(x), strict=True):
        assert_close(one, other)


def test_an_example_does_not_see_the_others(kind):
    torch.manual_seed(0)
    layer, x = kind(INPUTS, HIDDEN, True), sequences(9, LENGTH).float()
    for examples in (1, 4, 7):
        assert_close(layer(x)[:examples], layer(x[:examples]), rtol=0, atol=1e-7)


def test_many_layers_at_once(kind):
    layers = [plain(kind(INPUTS, HIDDEN, True).double()) for _ in range(3)]
    x = sequences(EXAMPLES, LENGTH)
    stacked = {n: torch.stack([p.get_parameter(n).detach() for p in layers]) for n in WEIGHTS}

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        def norm(x: Tensor) -> Tensor:
            return functional_call(layers[0], weights, (x,)).square().sum()

        return grad(norm)(x).square().sum()

    gradients = vmap(grad(loss), (0, None))(stacked, x)
    for place, layer in enumerate(layers):
        of_layer = {name: layer.get_parameter(name).detach() for name in WEIGHTS}
        for name, expected in grad(loss)(of_layer, x).items():
            assert_close(gradients[name][place], expected)


def test_initial_distribution_is_torchs(kind):
    layer = kind(40, 16, True)
    for name in WEIGHTS:
        scaled = layer.get_parameter(name).detach() * 16**0.5
        n = scaled.numel()
        assert scaled.abs().max() <= 1
        assert scaled.square().mean().item() == pytest.approx(1 / 3, abs=5 * (4 / 45 / n) ** 0.5)
