"""Linear bounds: valid, and never looser than intervals, on random networks.

Convolution and max-pooling as one are compared with the two layers of torch one after another.
"""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pipeline.explanations.senn import relevances
from pipeline.metrics.certified import certified_constant, changes, found_constant
from pipeline.metrics.enclosures import Enclosure, enclose, in_windows, out_of_windows
from pipeline.metrics.linear_bounds import (
    Step,
    largest_differences,
    shifted_kernels,
    through,
    tightened,
)
from pipeline.metrics.stability import Box, Search, lipschitz_local, to_inputs
from pipeline.models.conceptizers import IdentityConceptizer
from pipeline.models.parameterizers import ConvParameterizer, MlpParameterizer
from pipeline.models.senn import Senn

SHAPE = (2, 9, 8)  # after a 3 × 3 kernel 7 × 6: the odd end is out


def random_network(seed: int) -> Senn:
    """Perceptrons and convolutional networks of random sizes."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    torch.manual_seed(seed)
    concepts, classes = draw(1, 4), draw(2, 3)
    if seed % 4:
        sizes = tuple(draw(2, 12) for _ in range(draw(1, 3)))
        parameterizer = MlpParameterizer((concepts,), concepts, classes, sizes, 0.0)
        return Senn(IdentityConceptizer((concepts,)), parameterizer).eval()
    channels = tuple(draw(1, 4) for _ in range(draw(1, 2)))
    hidden = (draw(2, 6),) if seed % 8 else ()
    shape = (1, 11, 11)
    parameterizer = ConvParameterizer(shape, concepts, classes, channels, 3, hidden, 0.5)
    return Senn(IdentityConceptizer(shape), parameterizer).eval()


def box_and_anchors(model: Senn, seed: int, anchors: int = 2) -> tuple[Box, torch.Tensor]:
    """Images with a blank margin; some features do not move."""
    torch.manual_seed(1000 + seed)
    shape = model.conceptizer.input_shape
    x = torch.rand(anchors, *shape)
    if len(shape) == 3:
        x = x * (torch.arange(11) > 3)
    size = 10.0 ** torch.empty(()).uniform_(-3, 0)
    moves = torch.rand(shape) > 0.1
    moves.view(-1)[0] = True
    return Box(size * moves * torch.rand(shape), 0.0, 1.0), x


@pytest.mark.parametrize("block", range(10))
def test_lower_found_and_certified_are_in_order_on_200_networks(block):
    for seed in range(20 * block, 20 * block + 20):
        model = random_network(seed)
        box, x = box_and_anchors(model, seed)
        target = model(x).logits.argmax(1) if len(x.shape) == 2 else torch.tensor([0, 1])
        found = found_constant(model, relevances, x, target, box, steps=3, restarts=2)
        certified, intervals = certified_constant(model, x, target, box)
        assert (found <= certified).all()
        assert (certified <= intervals).all()
        search = Search(Box(box.half_width.double(), 0.0, 1.0), 1e-9, 5, 1)
        exactly = copy.deepcopy(model).double()
        lower = lipschitz_local(exactly, relevances, x.double(), target, to_inputs, search)
        assert (lower <= (1 + 1e-6) * certified).all()  # a quotient of small differences


def enclosures(model: Senn, x, box):
    """Of the outputs of all linear layers: by intervals alone, and by linear bounds too."""
    plain = tight = Enclosure(x.double(), *changes(x, box))
    path, pairs, network = [], [], model.double().parameterizer.as_layers()
    for index, layer in enumerate(network):
        differences = None
        if isinstance(layer, nn.MaxPool2d):
            differences = largest_differences(network[index - 1], path[-1].before, tight, 2)
        path.append(Step(layer, tight, differences))
        plain, tight = (enclose(layer, over)[0] for over in (plain, tight))
        if isinstance(layer, nn.Linear | nn.Conv2d):
            tight = tightened(path, tight)
            pairs.append((index, plain, tight))
    return network, pairs


@pytest.mark.parametrize("seed", [0, 1, 4, 5, 8, 12, 16, 20])
def test_sampled_units_are_enclosed(seed):
    model = random_network(seed)
    box, x = box_and_anchors(model, seed)
    with torch.no_grad():
        network, pairs = enclosures(model, x, box)
        low, high = changes(x, box)
        for sample in range(60):
            share = torch.rand_like(low)
            share = share.round() if sample % 3 == 0 else share
            change = low + share * (high - low)
            for index, _, tight in pairs:
                units = nn.Sequential(*network[: index + 1])(x.double() + change) - tight.at
                assert (units <= tight.high + 1e-12).all()
                assert (units >= tight.low - 1e-12).all()


def test_enclosures_of_deep_layers_are_tighter_by_far():
    model = random_network(16)  # two convolutions
    torch.manual_seed(0)
    x = torch.rand(3, 1, 11, 11)
    box = Box(torch.full((1, 11, 11), 0.02), 0.0, 1.0)
    with torch.no_grad():
        _, pairs = enclosures(model, x, box)
    (_, plain, tight), *rest = pairs
    assert torch.equal(plain.high, tight.high)  # a linear layer of the input: exact
    assert rest
    for _, plain, tight in rest:
        assert (tight.high <= plain.high).all() and (tight.low >= plain.low).all()
        assert (tight.high - tight.low).mean() < 0.9 * (plain.high - plain.low).mean()


def test_a_sum_that_cancels():
    # relu(x) − relu(x) through two units: intervals say ± 1, linear bounds 0.
    network = [nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)]
    with torch.no_grad():
        for layer, weight in ((network[0], [[1.0], [1.0]]), (network[2], [[1.0, -1.0]])):
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.zero_()
    at = torch.tensor([[2.0]]).double()
    over, path = Enclosure(at, -torch.ones_like(at), torch.ones_like(at)), []
    with torch.no_grad():
        for layer in network:
            path.append(Step(layer.double(), over))
            over, _ = enclose(layer, over)
        tight = tightened(path, over)
    assert (over.low.item(), over.high.item()) == pytest.approx((-2, 2))
    assert (tight.low.item(), tight.high.item()) == pytest.approx((0, 0), abs=1e-9)


def test_where_a_layer_has_no_lines_intervals_remain():
    network = [nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)]
    at = torch.rand(1, 3).double()
    over, path = Enclosure(at, -at, at), []
    with torch.no_grad():
        for layer in network:
            path.append(Step(layer.double(), over))
            over, _ = enclose(layer, over)
        assert tightened(path, over) is over


# --- convolution and max-pooling as one ---------------------------------------------------------


def convolution(seed=0) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(2, 3, 3).double().requires_grad_(False)


def test_windows_and_back():
    image = torch.arange(2 * 5 * 6).view(2, 5, 6)
    windows = in_windows(image, 2)
    assert windows.shape == (2, 2, 3, 4)
    assert windows[1, 1, 2].tolist() == image[1, 2:4, 4:6].flatten().tolist()
    back = out_of_windows(windows, 2, image.shape[-2:])
    assert torch.equal(back[:, :4], image[:, :4]) and (back[:, 4] == 0).all()


def test_a_unit_with_the_kernel_of_one_place_is_the_convolution_there():
    layer, size = convolution(), 2
    x = torch.randn(4, *SHAPE, dtype=torch.double)
    units = in_windows(layer(x), size)
    for place, kernel in enumerate(shifted_kernels(layer, size)):
        there = F.conv2d(x, kernel, layer.bias, stride=size)
        torch.testing.assert_close(there, units[..., place])


def test_rows_through_units_are_their_vector_jacobian_products():
    layer, size = convolution(), 2
    x = torch.randn(4, *SHAPE, dtype=torch.double, requires_grad=True)
    pooled = F.max_pool2d(layer(x), size)
    places = in_windows(layer(x), size).argmax(-1)
    kernels = shifted_kernels(layer, size).movedim(0, 1)
    chosen = torch.stack([kernels[o, places[:, o]] for o in range(3)], 1)
    rows = torch.randn(4, 5, *pooled.shape[1:], dtype=torch.double)
    result = through(rows, chosen, size, x.shape[1:])
    for index in range(5):
        (expected,) = torch.autograd.grad(pooled, x, rows[:, index], retain_graph=True)
        torch.testing.assert_close(result[:, index], expected)


def test_differences_are_bounds_and_attained():
    layer, size = convolution(1), 2
    torch.manual_seed(2)
    at, low, high = torch.randn(3, 2, *SHAPE, dtype=torch.double)
    before = Enclosure(at, -low.abs(), high.abs())
    after, _ = enclose(layer, before)
    bounds = largest_differences(layer, before, after, size)
    one, other = 1, 2  # a place, and another one
    for sample in range(100):
        share = torch.rand_like(at)
        share = share.round() if sample % 2 else share
        x = at + before.low + share * (before.high - before.low)
        z = in_windows(layer(x), size)
        assert (z.unsqueeze(-1) - z.unsqueeze(-2) <= bounds + 1e-12).all()
    # Of one window: the corner where the difference is largest.
    x = at.clone().requires_grad_()
    difference = in_windows(layer(x), size)[:, 0, 1, 2]
    (gradient,) = torch.autograd.grad((difference[:, one] - difference[:, other]).sum(), x)
    corner = at + torch.where(gradient > 0, before.high, before.low)
    z = in_windows(layer(corner), size)[:, 0, 1, 2]
    torch.testing.assert_close(bounds[:, 0, 1, 2, one, other], z[:, one] - z[:, other])


def test_a_differences_bound_is_no_larger_than_that_of_the_units():
    layer, size = convolution(3), 2
    torch.manual_seed(4)
    at, width = torch.randn(2, 2, *SHAPE, dtype=torch.double)
    before = Enclosure(at, -width.abs(), width.abs())
    after, _ = enclose(layer, before)
    low, high = (in_windows(after.at + end, size) for end in (after.low, after.high))
    apart = high.unsqueeze(-1) - low.unsqueeze(-2)
    bounds = largest_differences(layer, before, after, size)
    assert (bounds <= apart + 1e-12).all()
    assert (bounds < 0.9 * apart).double().mean() > 0.5
