"""Enclosures against changes sampled in float64, against exact fractions, and by hand."""

from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pipeline.core.errors import PipelineError
from pipeline.metrics.enclosures import Enclosure, IntervalMatrix, enclose

LAYERS = {
    "linear": (lambda: nn.Linear(6, 4), (6,)),
    "convolution": (lambda: nn.Conv2d(2, 3, 3), (2, 7, 6)),
    "relu": (nn.ReLU, (9,)),
    "tanh": (nn.Tanh, (9,)),
    "max pooling": (lambda: nn.MaxPool2d(2), (2, 6, 4)),
    "max pooling, odd size": (lambda: nn.MaxPool2d(2), (2, 5, 7)),
    "max pooling by 3": (lambda: nn.MaxPool2d(3), (1, 7, 6)),
    "flatten": (nn.Flatten, (2, 3, 2)),
    "unflatten": (lambda: nn.Unflatten(1, (3, 2)), (6,)),
}


def enclosure(shape, seed=0, size=1.0, anchors=4) -> Enclosure:
    torch.manual_seed(seed)
    at, low, high = torch.randn(3, anchors, *shape, dtype=torch.double)
    return Enclosure(at, -size * low.abs(), size * high.abs())


def pointwise(values) -> Enclosure:
    return Enclosure(*(torch.tensor([[value]], dtype=torch.double) for value in values))


def identity(shape) -> IntervalMatrix:
    count = torch.Size(shape).numel()
    eye = torch.eye(count, dtype=torch.double).view(1, count, *shape)
    return IntervalMatrix(eye, torch.zeros_like(eye))


def slopes(layer, at, low, high):
    """The interval of slopes of a single unit."""
    _, link = enclose(layer, pointwise((at, low, high)))
    pulled = link.pull(identity((1,)))
    centre, radius = pulled.centre.item(), pulled.radius.item()
    return centre - radius, centre + radius


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [0.1, 2.0])
def test_sampled_changes_and_their_matrices_are_enclosed(name, size):
    make, shape = LAYERS[name]
    over = enclosure(shape, size=size)
    layer = make().double().requires_grad_(False)
    after, link = enclose(layer, over)
    assert torch.equal(after.at, layer(over.at))
    output = identity(after.at.shape[1:])
    pulled = link.pull(IntervalMatrix(*(t.expand(4, *t.shape[1:]) for t in output)))
    tolerance = 1e-12
    for sample in range(300):
        share = torch.rand_like(over.at)
        share = share.round() if sample % 3 == 0 else share
        change = over.low + share * (over.high - over.low)
        out = layer(over.at + change) - after.at
        assert (out >= after.low - tolerance).all() and (out <= after.high + tolerance).all()
        # The change is A (x' − x) for an A between the bounds: it lies between what they can make.
        d = change.unsqueeze(1)
        middle = (pulled.centre * d).flatten(2).sum(2)
        reach = (pulled.radius * d.abs()).flatten(2).sum(2)
        assert ((out.flatten(1) - middle).abs() <= reach + tolerance).all()
        ratio = out.flatten(1).norm(dim=1) / change.flatten(1).norm(dim=1)
        assert (ratio <= link.norm + tolerance).all()


@pytest.mark.parametrize("name", LAYERS)
def test_interval_matrices_stay_so_through_a_layer(name):
    make, shape = LAYERS[name]
    over = enclosure(shape)
    layer = make().double().requires_grad_(False)
    after, link = enclose(layer, over)
    centre = torch.randn(4, 1, *after.at.shape[1:], dtype=torch.double)
    radius = torch.rand_like(centre)
    pulled = link.pull(IntervalMatrix(centre, radius))
    for _ in range(100):
        # The member of the interval, of those with extreme entries, that makes most of a change.
        change = over.low + torch.rand_like(over.at).round() * (over.high - over.low)
        out = (layer(over.at + change) - after.at).unsqueeze(1)
        made = ((centre + radius * out.sign()) * out).flatten(1).sum(1)
        d = change.unsqueeze(1)
        bound = (pulled.centre * d + pulled.radius * d.abs()).flatten(1).sum(1)
        assert (made <= bound + 1e-12).all()


@pytest.mark.parametrize("name", LAYERS)
def test_the_jacobian_at_the_anchor_is_enclosed(name):
    make, shape = LAYERS[name]
    over = enclosure(shape, anchors=1)
    layer = make().double().requires_grad_(False)
    after, link = enclose(layer, over)
    pulled = link.pull(identity(after.at.shape[1:]))
    jacobian = torch.autograd.functional.jacobian(layer, over.at)
    jacobian = jacobian.reshape(pulled.centre.shape)
    assert ((jacobian - pulled.centre).abs() <= pulled.radius + 1e-12).all()


@pytest.mark.parametrize("name", ["linear", "convolution"])
def test_bounds_of_a_linear_layer_are_attained(name):
    make, shape = LAYERS[name]
    over = enclosure(shape)
    layer = make().double().requires_grad_(False)
    after, _ = enclose(layer, over)
    outputs = after.at.flatten(1).shape[1]
    for unit in (0, outputs // 2, outputs - 1):
        x = over.at.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(layer(x).flatten(1)[:, unit].sum(), x)
        highest = torch.where(gradient > 0, over.high, over.low)
        change = (layer(over.at + highest) - after.at).flatten(1)[:, unit]
        torch.testing.assert_close(after.high.flatten(1)[:, unit], change, rtol=1e-9, atol=1e-9)


def test_rounding_errors_are_enclosed():
    # Sums whose terms cancel to the last bits, against exact fractions.
    torch.manual_seed(1)
    layer = nn.Linear(30, 20).double().requires_grad_(False)
    layer.weight[:, 1::2] = -layer.weight[:, ::2]
    over = enclosure((30,), seed=2, anchors=1)
    for t in over:
        t[:, 1::2] = t[:, ::2]
    over = Enclosure(over.at, over.low, over.low * 0)
    after, _ = enclose(layer, over)
    for unit, weights in enumerate(layer.weight.tolist()):
        terms = zip(weights, over.low[0].tolist(), strict=True)
        lowest = sum(Fraction(w) * Fraction(d) for w, d in terms if w > 0)
        assert Fraction(after.low[0, unit].item()) <= lowest
    corner = layer(over.at + over.low) - after.at
    assert ((corner >= after.low) & (corner <= after.high)).all()


@pytest.mark.parametrize(
    ("at", "low", "high", "expected"),
    [
        (1.0, -3.0, 2.0, (1 / 3, 1)),  # to -2 the output falls by 1
        (-1.0, -1.0, 4.0, (0, 3 / 4)),  # to 3 it rises by 3
        (1.0, -0.5, 9.0, (1, 1)),  # always active
        (-1.0, -9.0, 0.5, (0, 0)),  # never
        (0.0, -1.0, 1.0, (0, 1)),
        (0.0, 0.0, 0.0, (0, 1)),  # a kink has any slope between
        (0.5, 0.0, 0.0, (1, 1)),
        (-0.5, 0.0, 0.0, (0, 0)),
    ],
)
def test_slopes_of_relu(at, low, high, expected):
    assert slopes(nn.ReLU(), at, low, high) == pytest.approx(expected)
    assert slopes(nn.ReLU(), at, -low * -1.0, -high * -1.0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("at", "low", "high", "lowest", "highest"),
    [
        (0.5, 0.0, 0.0, 0.5, 0.5),
        (0.5, -1.0, 0.5, 1.0, 0.0),
        (-2.0, -1.0, 0.5, -3.0, -1.5),
        (2.0, -0.5, 1.0, 3.0, 1.5),
    ],
)
def test_slopes_of_tanh_are_its_derivatives(at, low, high, lowest, highest):
    expected = tuple(1 - torch.tensor(z).double().tanh().item() ** 2 for z in (lowest, highest))
    assert slopes(nn.Tanh(), at, low, high) == pytest.approx(expected)


def test_max_pooling_passes_on_what_can_be_the_maximum():
    at = torch.tensor([5.0, 1.0, 4.9, 0.0]).double().view(1, 1, 2, 2)
    width = torch.full_like(at, 0.1)
    one = IntervalMatrix(torch.full((1, 1, 1, 1, 1), 2.0), torch.zeros(1, 1, 1, 1, 1))
    _, link = enclose(nn.MaxPool2d(2), Enclosure(at, -width, width))
    pulled = link.pull(one)
    assert (pulled.centre - pulled.radius).flatten().tolist() == [0, 0, 0, 0]
    assert (pulled.centre + pulled.radius).flatten().tolist() == [2, 0, 2, 0]
    _, link = enclose(nn.MaxPool2d(2), Enclosure(at, -width / 4, width / 4))
    pulled = link.pull(one)
    assert pulled.centre.flatten().tolist() == [2, 0, 0, 0]
    assert pulled.radius.flatten().tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_norm_of_a_convolution(seed):
    torch.manual_seed(seed)
    layer = nn.Conv2d(3, 4, 3).double().requires_grad_(False)
    pixels = torch.eye(3 * 64, dtype=torch.double).view(-1, 3, 8, 8)
    exact = torch.linalg.matrix_norm(F.conv2d(pixels, layer.weight).flatten(1), 2).item()
    _, link = enclose(layer, enclosure((3, 8, 8)))
    assert exact <= link.norm.item() <= 1.2 * exact


def test_norm_of_interval_matrices():
    torch.manual_seed(0)
    centre, radius = torch.randn(3, 4, 6).double(), torch.rand(3, 4, 6).double()
    zero = torch.zeros_like(radius)
    exact = torch.linalg.matrix_norm(centre, 2)
    torch.testing.assert_close(IntervalMatrix(centre, zero).norm(), exact)
    # All entries of one sign: the corner that is farthest from 0 has the largest norm.
    corner = torch.linalg.matrix_norm(centre.abs() + radius, 2)
    torch.testing.assert_close(IntervalMatrix(centre.abs(), radius).norm(), corner)
    bound = IntervalMatrix(centre, radius).norm()
    for _ in range(200):
        member = centre + radius * (2 * torch.rand_like(radius).round() - 1)
        assert (torch.linalg.matrix_norm(member, 2) <= bound).all()


@pytest.mark.parametrize(
    "layer", [nn.Sigmoid(), nn.Conv2d(2, 3, 3, padding=1), nn.MaxPool2d(3, stride=2)]
)
def test_unknown_layers_are_named(layer):
    with pytest.raises(PipelineError, match=type(layer).__name__):
        enclose(layer.double(), enclosure((2, 7, 7)))
