"""Layers of a bank against `torch.nn.functional`, model by model, with their derivatives."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from pipeline.models.layers import (
    Linear,
    PerChannelLinear,
    PooledConv2d,
    TransposedConv2d,
    images_first,
    rows_first,
)

Function = Callable[[Tensor, Tensor, Tensor], Tensor]  # of one model's x, weight and bias


def pooled(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return rows_first(F.relu(F.max_pool2d(F.conv2d(images_first(x), weight, bias), 2)))


def transposed(stride: int, padding: int) -> Function:
    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return rows_first(F.conv_transpose2d(images_first(x), weight, bias, stride, padding))

    return function


def per_channel(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    channels = range(x.shape[1])
    return torch.stack([F.linear(x[:, c], weight[c].T, bias[c]) for c in channels], 1)


CASES: dict[str, tuple[Callable[[], nn.Module], Function, tuple[int, ...]]] = {
    "linear": (lambda: Linear(7, 4), F.linear, (6, 7)),
    "linear, one unit": (lambda: Linear(7, 1), F.linear, (6, 7)),
    "per channel, to scalars": (lambda: PerChannelLinear(3, 5, 1), per_channel, (6, 3, 5)),
    "per channel, from scalars": (lambda: PerChannelLinear(3, 1, 5), per_channel, (6, 3, 1)),
    "convolution": (lambda: PooledConv2d(3, 4, 5), pooled, (12, 3, 10, 6)),
    "convolution, odd maps": (lambda: PooledConv2d(1, 2, 3), pooled, (11, 1, 9, 6)),
    "convolution, one example": (lambda: PooledConv2d(2, 2, 4), pooled, (9, 2, 8, 1)),
    "convolution, 1 × 1": (lambda: PooledConv2d(2, 3, 1), pooled, (5, 2, 6, 4)),
    "transposed": (lambda: TransposedConv2d(4, 3, 5), transposed(1, 0), (3, 4, 5, 6)),
    "transposed, stride 2": (
        lambda: TransposedConv2d(2, 3, 5, stride=2),
        transposed(2, 0),
        (4, 2, 3, 6),
    ),
    "transposed, padded": (lambda: TransposedConv2d(3, 1, 2, 2, 1), transposed(2, 1), (4, 3, 5, 6)),
}


def stacked(layer: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """`layer` with random weights of as many layers as `shape` holds."""
    torch.manual_seed(0)
    for name in ("weight", "bias"):
        value = torch.randn(*shape, *getattr(layer, name).shape, dtype=torch.float64)
        setattr(layer, name, nn.Parameter(value))
    return layer


def derivatives(y: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    """Of Σy³ with respect to x and the weights, and of the former's square with respect to all."""
    at = [x, weight, bias]
    first = torch.autograd.grad(y.pow(3).sum(), at, create_graph=True)
    second = torch.autograd.grad(
        first[0].square().sum(), at, allow_unused=True, materialize_grads=True
    )
    return [*first, *second]


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)], ids=str)
@pytest.mark.parametrize(("make", "function", "size"), CASES.values(), ids=CASES.keys())
def test_each_model_of_a_bank(make, function, size, shape):
    layer = stacked(make(), shape)
    x = torch.randn(*shape, *size, dtype=torch.float64, requires_grad=True)
    assert_models_equal(layer, function, x, shape)


@pytest.mark.parametrize(("make", "function", "size"), CASES.values(), ids=CASES.keys())
def test_models_that_share_their_input(make, function, size):
    shape = (2, 3)
    layer = stacked(make(), shape)
    shared = torch.randn(2, 1, *size, dtype=torch.float64).expand(*shape, *size)
    x = shared.detach().requires_grad_()  # every model has a gradient of its own
    assert_models_equal(layer, function, x, shape)


def assert_models_equal(
    layer: nn.Module, function: Function, x: Tensor, shape: tuple[int, ...]
) -> None:
    of_bank = [layer(x), *derivatives(layer(x), x, layer.weight, layer.bias)]
    for index in itertools.product(*map(range, shape)):
        at = [t[index].detach().clone().requires_grad_() for t in (x, layer.weight, layer.bias)]
        of_model = [function(*at), *derivatives(function(*at), *at)]
        for ours, theirs in zip(of_bank, of_model, strict=True):
            assert_close(ours[index], theirs)


def no_answer(node: object) -> bool:
    raise RuntimeError("not supported")


@pytest.mark.parametrize("change", ["gone", "raises"])
@pytest.mark.parametrize(("make", "function", "size"), CASES.values(), ids=CASES.keys())
def test_gradients_do_not_need_torchs_private_question(make, function, size, change, monkeypatch):
    # Whether a gradient is wanted saves work; where torch cannot say, all are computed.
    layer = stacked(make(), (2,))
    x = torch.randn(2, *size, dtype=torch.float64, requires_grad=True)

    def results() -> list[Tensor]:
        (to_x,) = torch.autograd.grad(layer(x).pow(3).sum(), x)  # the weights' are not wanted
        return [layer(x), to_x, *derivatives(layer(x), x, layer.weight, layer.bias)]

    expected = results()
    if change == "gone":
        monkeypatch.delattr(torch._C, "_will_engine_execute_node")
    else:
        monkeypatch.setattr(torch._C, "_will_engine_execute_node", no_answer)
    for ours, theirs in zip(results(), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_of_equal_maxima_the_first_gets_the_gradient():
    # As in torch. Whole numbers, so that equal windows give exactly equal maps.
    layer = PooledConv2d(1, 2, 3).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias):
            parameter.copy_(torch.randint(-2, 3, parameter.shape, generator=generator))
    x = torch.randint(0, 2, (10, 1, 10, 5), generator=generator).double()
    x[:, :, 4:] = 1  # an area without contrast: all are equal there
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    weights = torch.rand(4, 2, 4, 5, generator=generator, dtype=torch.float64)
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
