import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.launches import Launches
from pipeline.explanations.senn import contributions, relevances
from pipeline.metrics.batches import predict
from pipeline.metrics.neighbours import neighbours, within
from pipeline.metrics.stability import (
    Box,
    Search,
    lipschitz_discrete,
    lipschitz_local,
    lipschitz_local_of_all,
    to_concepts,
    to_inputs,
)
from pipeline.models.layers import plain
from tests.metrics.models import random_image_senn, random_table_senn, senn, two_classes
from tests.models.textbook import WORDS

INFINITE = 1e6


def box(half_width, low=-INFINITE, high=INFINITE):
    return Box(torch.as_tensor(half_width), low, high)


def local(model, x, neighbourhood, resolution=1e-4, steps=200, restarts=3, explain=relevances):
    target = model(x).logits.argmax(1)
    return lipschitz_local(
        model,
        explain,
        x,
        target,
        to_concepts,
        Search(neighbourhood, resolution, steps, restarts),
    )


def discrete(model, x, others, radius, explain=relevances, concepts=to_concepts):
    target = model(x).logits.argmax(1)
    near = neighbours(x, others, within(radius))
    return lipschitz_discrete(model, explain, x, target, others, near, concepts)


# --- discrete -----------------------------------------------------------------------------------


def test_discrete_by_hand():
    # θ(x) = x², h(x) = x: the ratio of x and x' is |x + x'|.
    model = senn(lambda x: two_classes(x**2))
    others = torch.tensor([[1.0], [1.5], [3.0], [-0.5], [9.0]])
    result = discrete(model, torch.tensor([[1.0], [3.0], [9.0]]), others, radius=2.0)
    # 1: 1.5, 3 and -0.5 are near; 3: 1 and 1.5; 9: none.
    assert result[:2].tolist() == pytest.approx([4.0, 4.5])
    assert math.isnan(result[2])


@pytest.mark.parametrize("make", [random_table_senn, random_image_senn])
@pytest.mark.parametrize("explain", [relevances, contributions])
def test_discrete_against_a_double_loop(make, explain):
    model = make()
    torch.manual_seed(1)
    others = torch.rand(150, 6) if make is random_table_senn else torch.randn(150, 1, 28, 28)
    x = others[:120]
    radius = float(torch.cdist(x.flatten(1), others.flatten(1)).quantile(0.01))
    with torch.no_grad():
        output = model(others)
        target = output.logits.argmax(1)
        expected = []
        for i in range(len(x)):
            e = output.relevances[..., target[i]]
            e = e * output.concepts if explain is contributions else e
            ratios = [
                ((e[i] - e[j]).norm() / (output.concepts[i] - output.concepts[j]).norm()).item()
                for j in range(len(others))
                if j != i and (x[i] - others[j]).norm() <= radius
            ]
            expected.append(max(ratios, default=math.nan))
    ratios = discrete(model, x, others, radius, explain)
    torch.testing.assert_close(ratios, torch.tensor(expected), equal_nan=True, rtol=1e-4, atol=1e-6)
    assert len(set(target.tolist())) > 1
    assert 0 < ratios.isnan().sum() < len(x)


@pytest.mark.parametrize("noise", [0, 1e-7])
def test_discrete_leaves_out_neighbours_with_the_same_concepts(noise):
    # h sees only the first feature, but for the rounding error of a batch; θ only the second.
    model = senn(lambda x: two_classes(x[:, 1:]), concepts=lambda x: x[:, :1] + noise * x[:, 1:])
    x = torch.tensor([[1.0, 0.0]])
    same, other = torch.tensor([[1.0, 7.0]]), torch.tensor([[1.5, 2.0]])
    assert discrete(model, x, same, radius=10).isnan().all()
    assert discrete(model, x, torch.cat([same, other]), radius=10).item() == pytest.approx(4.0)


def test_discrete_explains_the_class_predicted_at_the_anchor():
    # Class 0 is predicted right of 0, class 1 left; their relevances have slopes 1 and 3.
    def theta(x):
        return torch.stack([x + 10, 3 * x - 10], 2)

    model = senn(theta)
    x = torch.tensor([[0.5], [-0.5]])
    assert model(x).logits.argmax(1).tolist() == [0, 1]
    assert discrete(model, x, x, radius=2).tolist() == pytest.approx([1.0, 3.0])


def test_discrete_takes_any_explanation_in_any_space():
    # e(x) = 5 x, an attribution to the input, measured against the input.
    model = random_image_senn()
    x = torch.randn(20, 1, 28, 28)
    ratios = discrete(model, x, x, 1e3, lambda model, x, target: 5 * x, to_inputs)
    torch.testing.assert_close(ratios, torch.full((20,), 5.0))


# --- local --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [1.0, 0.01])
def test_local_of_linear_relevances_is_the_operator_norm(seed, size):
    torch.manual_seed(seed)
    left, _, right = torch.linalg.svd(torch.randn(6, 6))
    matrix = left @ torch.diag(torch.tensor([3.0, 2.0, 1.5, 1.0, 0.5, 0.1])) @ right
    model = senn(lambda x: two_classes(x @ matrix.T))
    neighbourhood = box([size * width for width in (0.1, 0.2, 0.1, 0.1, 0.3, 0.1)])
    x = torch.randn(130, 6)
    ratios = local(model, x, neighbourhood, resolution=1e-3 * size, steps=100)
    torch.testing.assert_close(ratios, torch.full((130,), 3.0), rtol=1e-3, atol=0)


def test_local_of_a_quadratic_is_at_the_edge_of_the_box():
    # θ(x) = x², h(x) = x: the ratio is |x + x'|, largest at x' = x + r or at the data's limit.
    model = senn(lambda x: two_classes(x**2))
    x = torch.tensor([[0.2], [0.5], [0.95]])
    ratios = local(model, x, box([0.1], low=0.0, high=1.0), steps=20)
    assert ratios.tolist() == pytest.approx([0.5, 1.1, 1.95], rel=1e-3)
    ratios = local(model, -x, box([0.1], low=-1.0, high=0.0), steps=20)
    assert ratios.tolist() == pytest.approx([0.5, 1.1, 1.95], rel=1e-3)


def test_local_takes_the_best_of_its_restarts():
    # θ has slope 3 right of the anchor and 1 left of it, so half of all starts find only 1.
    model = senn(lambda x: two_classes(x.clamp(min=0) * 2 + x))
    ratios = local(model, torch.zeros(20, 1), box([0.1]), steps=3, restarts=12)
    assert ratios.tolist() == pytest.approx([3.0] * 20, rel=1e-3)


def test_local_of_constant_relevances_is_0():
    weights = torch.tensor([1.0, -2.0])
    model = senn(lambda x: two_classes(weights.expand(len(x), -1)))
    assert local(model, torch.randn(5, 2), box([0.1, 0.1]), steps=5).tolist() == [0] * 5


@pytest.mark.parametrize("slope", [1e-5, 1e-7])
def test_local_measures_exactly_what_float32_would_round_away(slope):
    # θ(x) = 1 + slope · x: in float32 it changes in steps of 1e-7.
    model = senn(lambda x: two_classes(1 + slope * x))
    x, search = torch.rand(50, 1), Search(box([0.1]), 1e-3, 10, 2)
    target = model(x).logits.argmax(1)
    ratios, exactly = (
        lipschitz_local_of_all(
            [model], relevances, x, target.unsqueeze(0), to_concepts, search, exactly
        ).squeeze(0)
        for exactly in (False, True)
    )
    assert exactly.tolist() == pytest.approx([slope] * 50, rel=1e-3)
    assert ratios.tolist() != pytest.approx([slope] * 50, rel=1e-3)


def targets_of(models, x):
    return torch.stack([predict(model, x) for model in models])


def random_text_senn(seed):
    return WORDS.senn(seed=seed).eval()


@pytest.mark.parametrize("width", [1, 5], ids=["full", "idle"])
@pytest.mark.parametrize(
    ("make", "concepts", "shape"),
    [
        (random_table_senn, to_concepts, (6,)),
        (random_image_senn, to_concepts, (1, 28, 28)),
        (random_image_senn, to_inputs, (1, 28, 28)),
        (random_text_senn, to_inputs, (5, 3)),
    ],
)
def test_local_of_all_is_one_by_one(make, concepts, shape, width):
    models = [make(seed=seed).double() for seed in range(3)]
    x = torch.rand(130, *shape, generator=torch.Generator().manual_seed(0)).double()
    targets = targets_of(models, x)
    assert not torch.equal(targets[0], targets[1])
    search = Search(box(torch.full(shape, 0.1).double()), 0.01, 7, 2)
    resolutions = torch.tensor([0.01, 0.0, 0.02], dtype=torch.float64)
    expected = torch.stack(
        [
            lipschitz_local(
                model, relevances, x, target, concepts, search._replace(resolution=resolution)
            )
            for model, target, resolution in zip(models, targets, resolutions.tolist(), strict=True)
        ]
    )
    assert expected[1].isnan().all() and not expected[[0, 2]].isnan().any()
    searches = search._replace(resolution=resolutions)
    at_once = lipschitz_local_of_all(
        models, relevances, x, targets, concepts, searches, width=width
    )
    torch.testing.assert_close(at_once, expected, rtol=0, atol=1e-9, equal_nan=True)
    alone = lipschitz_local_of_all(
        models[:1], relevances, x, targets[:1], concepts, searches._replace(resolution=0.01)
    )
    assert torch.equal(alone, expected[:1])


def test_local_launches_as_much_for_any_number_of_models():
    x = torch.rand(20, 6, generator=torch.Generator().manual_seed(0))

    def launches(count: int) -> int:
        models = [random_table_senn(seed=seed) for seed in range(count)]
        search, targets = (
            Search(box([0.1] * 6), torch.full((count,), 0.01), 5, 2),
            targets_of(models, x),
        )
        with Launches() as counted:
            lipschitz_local_of_all(models, relevances, x, targets, to_concepts, search)
        return counted.count

    assert launches(2) == launches(10) < 2 * launches(1)


@pytest.mark.parametrize(
    ("make", "shape"), [(random_table_senn, (6,)), (random_image_senn, (1, 28, 28))]
)
def test_local_of_all_waits_for_nothing_and_stays_on_its_device(make, shape):
    meta = torch.device("meta")
    models = [plain(make(seed=seed).to(meta)) for seed in range(3)]
    with FakeTensorMode(allow_non_fake_inputs=True):
        x, targets = torch.rand(4, *shape, device=meta), torch.ones(3, 4, device=meta).long()
        search = Search(box(torch.full(shape, 0.1, device=meta)), 0.01, 3, 2)
        ratios = lipschitz_local_of_all(
            models, relevances, x, targets, to_concepts, search, width=4
        )
    assert ratios.shape == (3, 4) and ratios.device == meta


def test_local_features_of_no_width_do_not_move():
    slope = torch.tensor([1.0, 100.0])
    model = senn(lambda x: two_classes(x * slope))
    ratios = local(model, torch.randn(4, 2), box([0.1, 0.0]), steps=20)
    assert ratios.tolist() == pytest.approx([1.0] * 4, rel=1e-3)


def test_local_resolution_bounds_what_has_no_maximum():
    # h sees only the first feature, θ only the second: with h fixed, the ratio is unbounded. With
    # a resolution it is the second feature's width over it.
    model = senn(lambda x: two_classes(x[:, 1:]), concepts=lambda x: x[:, :1])
    x = torch.tensor([[1.0, 2.0]])
    for resolution in (0.05, 0.01):
        ratio = local(model, x, box([0.1, 0.3]), resolution).item()
        assert ratio == pytest.approx(0.3 / resolution, rel=0.02)


def test_local_is_undefined_where_no_concept_ever_changes():
    model = senn(two_classes, concepts=torch.ones_like)
    assert local(model, torch.randn(3, 2), box([0.1, 0.1]), resolution=0.0).isnan().all()


def test_local_explains_the_class_predicted_at_the_anchor():
    # The prediction changes within the box, at 0; what is explained does not.
    model = senn(lambda x: torch.stack([x + 10, 3 * x - 10], 2))
    ratios = local(model, torch.tensor([[0.05], [-0.05]]), box([0.1]), steps=20)
    assert ratios.tolist() == pytest.approx([1.0, 3.0], rel=1e-3)


@pytest.mark.parametrize("make", [random_table_senn, random_image_senn])
def test_local_search_beats_many_random_points(make):
    model = make()
    torch.manual_seed(2)
    x = torch.rand(6, 6) if make is random_table_senn else torch.randn(6, 1, 28, 28)
    width = torch.full(x.shape[1:], 0.1)
    searched = local(model, x, box(width), resolution=0.01, steps=20, restarts=2)
    with torch.no_grad():
        at, target = model(x), predict(model, x)
        sampled = torch.zeros(6)
        for _ in range(500):
            near = model(x + 0.1 * (2 * torch.rand_like(x) - 1))
            change = (near.relevances - at.relevances)[torch.arange(6), :, target].norm(dim=1)
            distance = (near.concepts - at.concepts).norm(dim=1).clamp(min=0.01)
            sampled = torch.maximum(sampled, change / distance)
    assert (searched > sampled).all()
    assert searched.mean() > 1.05 * sampled.mean()


def test_local_is_deterministic_and_leaves_the_global_generator_alone():
    model, x = random_table_senn(), torch.rand(5, 6)
    neighbourhood = box(torch.full((6,), 0.1), low=0.0, high=1.0)
    torch.manual_seed(3)
    first = local(model, x, neighbourhood, steps=3)
    drawn = torch.rand(1)
    second = local(model, x, neighbourhood, steps=3)
    assert torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))


def test_without_steps_only_the_random_points_of_the_box_count():
    # θ(x) = x²: the ratio of x and x' is |x + x'|, here of the points that the seed draws.
    model = senn(lambda x: two_classes(x**2))
    x = torch.tensor([[1.0], [3.0]])
    ratios = local(model, x, box([0.5]), steps=0, restarts=4)
    generator = torch.Generator().manual_seed(0)
    points = [x - 0.5 + torch.rand(x.shape, generator=generator) for _ in range(4)]
    expected = torch.stack([x + point for point in points]).amax(0).flatten()
    torch.testing.assert_close(ratios, expected, rtol=1e-4, atol=1e-4)
