"""Exact and certified ratios: closed forms, and what no sample of random networks may exceed."""

import copy

import pytest
import torch
from torch import nn

from pipeline.core.errors import PipelineError
from pipeline.explanations.senn import contributions, relevances
from pipeline.metrics.certified import certified_lipschitz, jacobian_norm, norm_of_product
from pipeline.metrics.enclosures import Enclosure, IntervalMatrix, enclose
from pipeline.metrics.stability import Box, Search, lipschitz_local, to_inputs
from pipeline.models.conceptizers import IdentityConceptizer
from pipeline.models.layered import layered
from pipeline.models.parameterizers import ConvParameterizer, MlpParameterizer
from pipeline.models.senn import Senn
from tests.metrics.models import random_table_senn, senn, two_classes

INFINITE = 1e6
TABLES = {"linear": (), "one hidden layer": (8,), "three hidden layers": (7, 9, 6)}
IMAGES = {"two convolutions": ((3, 4), ()), "one, and a hidden layer": ((4,), (6,))}
LEFT = torch.tensor([0])  # the first class
ARCHITECTURES = [*TABLES, *IMAGES]


def network(name, seed=0) -> Senn:
    torch.manual_seed(seed)
    if name in TABLES:
        parameterizer = MlpParameterizer((5,), 5, 3, TABLES[name], 0.0)
        return Senn(IdentityConceptizer((5,)), parameterizer).eval()
    channels, hidden = IMAGES[name]
    parameterizer = ConvParameterizer((1, 11, 11), 4, 3, channels, 3, hidden, 0.5)
    # What its concepts are does not matter to its relevances.
    return Senn(IdentityConceptizer((1, 11, 11)), parameterizer).eval()


def classes(x):
    return torch.arange(len(x)) % 3


def inputs(name, seed=0, anchors=3):
    """Anchors in [0, 1], images with a blank margin, and half widths of which some are 0."""
    torch.manual_seed(100 + seed)
    if name in TABLES:
        return torch.rand(anchors, 5).round(decimals=1), torch.tensor([1.0, 0.5, 0.0, 1.0, 2.0])
    x = torch.zeros(anchors, 1, 11, 11)
    x[..., 3:8, 2:9] = torch.rand(anchors, 1, 5, 7)
    return x, (torch.rand(1, 11, 11) > 0.1) * torch.rand(1, 11, 11)


def three(model, x, target, box, steps=20, restarts=3):
    """Found (in float64), exact and certified."""
    exactly, half_width = copy.deepcopy(model).double(), box.half_width.double()
    search = Search(Box(half_width, box.low, box.high), 1e-9, steps, restarts)
    lower = lipschitz_local(exactly, relevances, x.double(), target, to_inputs, search)
    return (
        lower,
        jacobian_norm(model, relevances, x, target, box),
        certified_lipschitz(model, x, target, box),
    )


def one_unit(bias, slope=3.0) -> Senn:
    """e(x) = `slope` · relu(x + `bias`), of one feature and two classes."""
    model = network("linear")
    parameterizer = MlpParameterizer((1,), 1, 2, (1,), 0.0)
    with torch.no_grad():
        for parameter, value in zip(
            parameterizer.parameters(), (1.0, bias, slope, 0.0), strict=True
        ):
            parameter.fill_(value)
    model.parameterizer, model.conceptizer = parameterizer, IdentityConceptizer((1,))
    return model.eval()


def box_1d(half_width, low=-INFINITE, high=INFINITE):
    return Box(torch.tensor([half_width]), low, high)


# --- what must hold for any network -------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_point_of_the_box_exceeds_what_is_certified(name, seed):
    model = network(name, seed)
    x, width = inputs(name, seed)
    target = classes(x)
    exactly, at, samples = network(name, seed).double(), x.double(), torch.arange(100)
    samples = samples.view(-1, *[1] * x.dim())

    def explained(x, target):
        return exactly.parameterizer(x)[torch.arange(len(x)), :, target]

    for size in (0.001, 0.1, 0.5):
        box = Box(size * width, 0.0, 1.0)
        lower, exact, certified = three(model, x, target, box)
        assert (lower <= certified).all()
        assert (exact <= certified).all()
        share = 2 * torch.rand(len(samples), *x.shape, dtype=torch.double) - 1
        share = torch.where(samples % 3 == 0, share.sign(), share * 10.0 ** -(samples % 4))
        near = (at + share * box.half_width.double()).clamp(0, 1)
        e = explained(near.flatten(0, 1), target.repeat(len(samples))).unflatten(0, near.shape[:2])
        change = (e - explained(at, target)).norm(dim=2)
        distance = (near - at).flatten(2).norm(dim=2)
        assert (change <= certified * distance).all()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_all_three_meet_in_a_small_box(name):
    # No blank margin, so no kink; and room on all sides.
    model = network(name).double()
    torch.manual_seed(5)
    x = 0.2 + 0.6 * torch.rand(4, *inputs(name)[0].shape[1:], dtype=torch.double)
    box = Box(torch.full(x.shape[1:], 1e-7, dtype=torch.double), 0.0, 1.0)
    lower, exact, certified = three(model, x, classes(x), box, steps=100, restarts=1)
    torch.testing.assert_close(certified, exact, rtol=1e-4, atol=0)
    torch.testing.assert_close(lower, exact, rtol=1e-2, atol=0)


@pytest.mark.parametrize("size", [0.001, 0.1, 100.0])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_product_of_the_layers_norms_is_never_exceeded(name, size):
    model = network(name)
    x, _ = inputs(name)
    product = 1.0
    for layer in layered(model).relevances:
        if isinstance(layer, nn.Linear):
            product *= torch.linalg.matrix_norm(layer.weight, 2).item()
        elif isinstance(layer, nn.Conv2d):
            # A kernel of k × k sees every pixel k² times at most.
            product *= 3 * torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
    box = Box(torch.full(x.shape[1:], size), -INFINITE, INFINITE)
    assert (certified_lipschitz(model, x, classes(x), box) <= product * (1 + 1e-6)).all()


# --- closed forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.01, 10.0])
def test_of_linear_relevances_all_three_are_the_operator_norm(size):
    model = network("linear", seed=3)
    x = torch.randn(20, 5)
    target = classes(x)
    weight = model.parameterizer.layers[0].weight.view(5, 3, 5)[:, target].transpose(0, 1)
    width = torch.tensor([1.0, 2.0, 0.0, 1.0, 1.0])
    expected = torch.linalg.matrix_norm(weight.double() * (width > 0), 2)
    box = Box(size * width, -INFINITE, INFINITE)
    lower, exact, certified = three(model, x, target, box, steps=150)
    torch.testing.assert_close(exact, expected, rtol=1e-8, atol=0)
    torch.testing.assert_close(certified, expected, rtol=1e-8, atol=0)
    torch.testing.assert_close(lower, expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize(
    ("x", "bias", "half_width", "expected"),
    [
        (1.0, -0.5, 0.4, (3, 3, 3)),  # active throughout
        (1.0, -0.5, 1.0, (3, 3, 3)),  # the kink is inside, beyond it the ratio is smaller
        (0.0, -0.5, 1.0, (1.5, 0, 1.5)),  # largest at x' = 1: 3 · 0.5 / 1
        (0.0, -0.5, 0.4, (0, 0, 0)),  # inactive throughout
    ],
)
def test_of_one_unit_with_its_kink_inside_or_outside(x, bias, half_width, expected):
    for slope in (3.0, -3.0):
        bounds = three(one_unit(bias, slope), torch.tensor([[x]]), LEFT, box_1d(half_width))
        assert [value.item() for value in bounds] == pytest.approx(expected, rel=1e-4)


def test_the_box_ends_at_the_edge_of_the_data():
    model, x = one_unit(bias=-0.5), torch.tensor([[0.0]])
    clipped = three(model, x, LEFT, box_1d(1.0, high=0.4))
    assert [value.item() for value in clipped] == [0, 0, 0]
    clipped = three(model, x, LEFT, box_1d(1.0, low=-0.2, high=0.75))
    assert [value.item() for value in clipped] == pytest.approx([1, 0, 1], rel=1e-4)


def test_at_a_kink_the_jacobian_is_that_of_a_side_within_the_box():
    model, x = one_unit(bias=0.0), torch.tensor([[0.0]])
    right = three(model, x, LEFT, box_1d(0.5, low=0.0))
    assert [value.item() for value in right] == pytest.approx([3, 3, 3], rel=1e-4)
    lower, exact, certified = three(model, x, LEFT, box_1d(0.5, high=0.0))
    # A kink at the very anchor may have any slope: what is certified does not see the side.
    assert (lower.item(), exact.item()) == (0, 0)
    assert certified.item() == pytest.approx(3, rel=1e-8)


def test_the_spread_of_the_last_activations_slopes_costs_nothing():
    """tanh(Wx) around 0, where all its slopes are largest, has the constant ‖W‖ in any box."""
    weight = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(0)).double()
    layer = nn.Linear(6, 4).double().requires_grad_(False)
    layer.weight.copy_(weight[0])
    layer.bias.zero_()
    over = Enclosure(*(torch.full((1, 6), end).double() for end in (0.0, -0.5, 0.5)))
    links = []
    for part in (layer, nn.Tanh()):
        over, link = enclose(part, over)
        links.append(link)
    rows = IntervalMatrix(torch.eye(4).double()[None], torch.zeros(1, 4, 4).double())
    box = Box(torch.full((6,), 0.5), -INFINITE, INFINITE)
    expected = torch.linalg.matrix_norm(weight, 2)
    torch.testing.assert_close(norm_of_product(links, rows, box), expected, rtol=1e-8, atol=0)
    by_intervals = links[0].pull(links[1].pull(rows)).norm()
    assert (by_intervals > 1.02 * expected).all()
    # Rows that share an output are not scaled one by one.
    assert rows.chooses() and not IntervalMatrix(rows.centre.cumsum(1), rows.radius).chooses()


@pytest.mark.parametrize("name", ["three hidden layers", "two convolutions"])
def test_where_nothing_moves_nothing_changes(name):
    model = network(name)
    x, width = inputs(name)
    assert all(
        (value == 0).all() for value in three(model, x, classes(x), Box(0 * width, 0.0, 1.0))
    )


def test_jacobian_of_any_explanation():
    model = random_table_senn()
    x = torch.rand(130, 6)
    target = classes(x)
    width = torch.tensor([0.1, 0.1, 0.0, 0.1, 0.2, 0.1])
    exact = jacobian_norm(model, contributions, x, target, Box(width, -INFINITE, INFINITE))
    assert exact.dtype == torch.double and exact.shape == (130,)
    for index in (0, 64, 129):
        chosen = target[index : index + 1]
        jacobian = torch.autograd.functional.jacobian(
            lambda x, chosen=chosen: contributions(model, x, chosen)[0], x[index : index + 1]
        )
        expected = torch.linalg.matrix_norm(jacobian[:, 0] * (width > 0), 2).item()
        assert exact[index].item() == pytest.approx(expected, rel=1e-4)


# --- manners ------------------------------------------------------------------------------------


def test_model_and_global_generator_are_left_alone():
    model = network("two convolutions")
    x, width = inputs("two convolutions")
    target, box = classes(x), Box(0.1 * width, 0.0, 1.0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    values = [
        (
            jacobian_norm(model, relevances, x, target, box),
            certified_lipschitz(model, x, target, box),
        )
        for _ in range(2)
    ]
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first, second) for first, second in zip(*values, strict=True))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_networks_whose_layers_are_not_known_are_named():
    model = senn(two_classes, concepts=IdentityConceptizer((3,)))
    with pytest.raises(PipelineError, match="parameterizer FunctionParameterizer"):
        certified_lipschitz(model, torch.rand(2, 3), torch.zeros(2, dtype=torch.long), box_1d(0.1))
