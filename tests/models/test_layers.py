"""Both ways to run a layer against `torch.nn.functional`, with their derivatives."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from pipeline.models.layers import Linear, PerChannelLinear, PooledConv2d, TransposedConv2d, plain

Function = Callable[[Tensor, Tensor, Tensor], Tensor]  # of x, weight and bias


def pooled(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.relu(F.max_pool2d(F.conv2d(x, weight, bias), 2))


def transposed(stride: int, padding: int) -> Function:
    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv_transpose2d(x, weight, bias, stride, padding)

    return function


def per_channel(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    channels = range(x.shape[1])
    return torch.stack([F.linear(x[:, c], weight[c].T, bias[c]) for c in channels], 1)


CASES: dict[str, tuple[Callable[[], nn.Module], Function, tuple[int, ...]]] = {
    "linear": (lambda: Linear(7, 4), F.linear, (6, 7)),
    "linear, one unit": (lambda: Linear(7, 1), F.linear, (6, 7)),
    "per channel, to scalars": (lambda: PerChannelLinear(3, 5, 1), per_channel, (6, 3, 5)),
    "per channel, from scalars": (lambda: PerChannelLinear(3, 1, 5), per_channel, (6, 3, 1)),
    "convolution": (lambda: PooledConv2d(3, 4, 5), pooled, (6, 3, 12, 10)),
    "convolution, odd maps": (lambda: PooledConv2d(1, 2, 3), pooled, (6, 1, 11, 9)),
    "convolution, one example": (lambda: PooledConv2d(2, 2, 4), pooled, (1, 2, 9, 8)),
    "convolution, 1 × 1": (lambda: PooledConv2d(2, 3, 1), pooled, (4, 2, 5, 6)),
    "transposed": (lambda: TransposedConv2d(4, 3, 5), transposed(1, 0), (6, 4, 3, 5)),
    "transposed, stride 2": (
        lambda: TransposedConv2d(2, 3, 5, stride=2),
        transposed(2, 0),
        (6, 2, 4, 3),
    ),
    "transposed, padded": (lambda: TransposedConv2d(3, 1, 2, 2, 1), transposed(2, 1), (6, 3, 4, 5)),
}
WAYS = {"plain": True, "by products": False}


def derivatives(y: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    """Of Σy³ with respect to x and the weights, and of the former's square with respect to all."""
    at = [x, weight, bias]
    first = torch.autograd.grad(y.pow(3).sum(), at, create_graph=True)
    second = torch.autograd.grad(
        first[0].square().sum(), at, allow_unused=True, materialize_grads=True
    )
    return [*first, *second]


@pytest.mark.parametrize("is_plain", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize(("make", "function", "size"), CASES.values(), ids=CASES.keys())
def test_a_layer_and_its_derivatives_are_torchs(make, function, size, is_plain):
    torch.manual_seed(0)
    layer = plain(make(), is_plain).double()
    at = [torch.randn(*size, dtype=torch.float64, requires_grad=True), layer.weight, layer.bias]
    y, expected = layer(at[0]), function(*at)
    assert_close([y, *derivatives(y, *at)], [expected, *derivatives(expected, *at)])


@pytest.mark.parametrize("is_plain", WAYS.values(), ids=WAYS.keys())
def test_of_equal_maxima_the_first_gets_the_gradient(is_plain):
    # As in torch. Whole numbers, so that equal windows give exactly equal maps.
    layer = plain(PooledConv2d(1, 2, 3), is_plain).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias):
            parameter.copy_(torch.randint(-2, 3, parameter.shape, generator=generator))
    x = torch.randint(0, 2, (5, 1, 10, 10), generator=generator).double()
    x[..., 4:] = 1  # an area without contrast: all are equal there
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    weights = torch.rand(5, 2, 4, 4, generator=generator, dtype=torch.float64)
    (layer(ours) * weights).sum().backward()
    (pooled(theirs, layer.weight, layer.bias) * weights).sum().backward()
    assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        (lambda: Linear(7, 4), lambda: nn.Linear(7, 4)),
        (lambda: PooledConv2d(3, 4, 5), lambda: nn.Conv2d(3, 4, 5)),
        (lambda: TransposedConv2d(3, 4, 5, 2), lambda: nn.ConvTranspose2d(3, 4, 5, 2)),
    ],
    ids=["linear", "convolution", "transposed"],
)
def test_initialised_as_torchs_layers(ours, torchs):
    torch.manual_seed(3)
    one = ours()
    torch.manual_seed(3)
    other = torchs()
    assert torch.equal(one.weight, other.weight) and torch.equal(one.bias, other.bias)


def test_works_where_torch_cannot_be_asked_what_a_backward_pass_needs(monkeypatch):
    make, function, size = CASES["convolution"]
    monkeypatch.delattr(torch._C, "_will_engine_execute_node")
    test_a_layer_and_its_derivatives_are_torchs(make, function, size, is_plain=False)
