"""Linear bounds: valid, and never looser than intervals, on random networks."""

import copy

import pytest
import torch
from torch import nn

from pipeline.explanations.senn import relevances
from pipeline.metrics.certified import certified_constant, changes, found_constant
from pipeline.metrics.enclosures import Enclosure, enclose
from pipeline.metrics.linear_bounds import Step, tightened
from pipeline.metrics.pooled import largest_differences
from pipeline.metrics.stability import Box, Search, lipschitz_local, to_inputs
from pipeline.models.conceptizers import IdentityConceptizer
from pipeline.models.parameterizers import ConvParameterizer, MlpParameterizer
from pipeline.models.senn import Senn


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
        certified = certified_constant(model, x, target, box)
        intervals = certified_constant(model, x, target, box, linear=False)
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
