import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pipeline.explanations.senn import contributions, relevances
from pipeline.metrics.batches import predict
from pipeline.metrics.faithfulness import (
    area,
    faithfulness,
    removal_curves,
    removal_shares,
)
from pipeline.metrics.removal import ConceptRemoval, InputRemoval, leave_one_out
from tests.metrics.models import random_image_senn, random_table_senn, senn, two_classes


def probability_aggregator(concepts, relevances):
    """Logits whose softmax is ½ ± Σ_k θ_k h_k: probabilities linear in the concepts."""
    p = 0.5 + torch.einsum("bk,bk->b", concepts, relevances[..., 0])
    return torch.stack([p, 1 - p], 1).log()


def without_concepts(model, x, target, baseline):
    return leave_one_out(ConceptRemoval(baseline), model, x, target)


def dropped(p):
    return p[:, :1] - p[:, 1:]


def correlations(model, explain, x, target, p):
    """Faithfulness of attributions to features or pixels, one by one."""
    return faithfulness(model, explain, x, target, p, InputRemoval(torch.zeros(x.shape[1:])))


def linear_in_probability(theta):
    return senn(theta, aggregator=probability_aggregator)


@pytest.fixture
def inputs():
    return torch.rand(230, 4, generator=torch.Generator().manual_seed(0))


def test_contributions_are_faithful_where_probability_is_linear(inputs):
    # Removing concept k (to 0) costs class 0 exactly θ_k h_k, and gives it to class 1.
    weights = torch.tensor([0.1, -0.05, 0.02, 0.08])
    model = linear_in_probability(lambda x: two_classes(weights * (1 + x)))
    for label in (0, 1):
        target = torch.full((230,), label)
        p = without_concepts(model, inputs, target, torch.zeros(4))
        torch.testing.assert_close(dropped(p).float(), contributions(model, inputs, target))
        values = correlations(model, contributions, inputs, target, p)
        torch.testing.assert_close(values, torch.ones(230, dtype=torch.float64))
        values = correlations(model, lambda *a: -contributions(*a), inputs, target, p)
        torch.testing.assert_close(values, -torch.ones(230, dtype=torch.float64))


def test_relevances_correlate_as_numpy_says(inputs):
    weights = torch.tensor([0.1, -0.05, 0.02, 0.08])
    model = linear_in_probability(lambda x: two_classes(weights * (1 + x)))
    target, baseline = torch.zeros(230, dtype=torch.int64), torch.tensor([0.5, 0.2, 0.4, 0.9])
    theta = weights * (1 + inputs)
    expected = [
        np.corrcoef(t, t * (x - baseline))[0, 1] for t, x in zip(theta, inputs, strict=True)
    ]
    p = without_concepts(model, inputs, target, baseline)
    values = correlations(model, relevances, inputs, target, p)
    assert values.tolist() == pytest.approx(expected, abs=1e-4)


def test_concepts_are_removed_with_relevances_held():
    model, x = random_image_senn(), torch.randn(3, 1, 28, 28)
    target, baseline = torch.tensor([0, 3, 1]), torch.tensor([0.3, -0.2, 0.1])
    output = model(x)
    for k, drop in enumerate(dropped(without_concepts(model, x, target, baseline)).T):
        removed = output.concepts.clone()
        removed[:, k] = baseline[k]
        logits = torch.einsum("bk,bkc->bc", removed, output.relevances)
        change = output.logits.softmax(1) - logits.softmax(1)
        expected = torch.stack([change[i, c] for i, c in enumerate(target)])
        torch.testing.assert_close(drop.float(), expected)


def test_features_are_removed_and_the_model_run_again():
    model, x = random_table_senn(), torch.rand(120, 6)
    target, baseline = predict(model, x), torch.linspace(0, 1, 6)
    drops = dropped(leave_one_out(InputRemoval(baseline), model, x, target))
    for k in range(6):
        removed = x.clone()
        removed[:, k] = baseline[k]
        change = model(x).logits.softmax(1) - model(removed).logits.softmax(1)
        expected = change[torch.arange(120), target]
        torch.testing.assert_close(drops[:, k].float(), expected, atol=1e-6, rtol=1e-4)


def test_pixels_are_features_too():
    # Attributions to the input have its shape; f_0 = Σ pixels, so each drops by its own value.
    model = senn(
        lambda x: two_classes(torch.full((len(x), 1), 0.01)),
        concepts=lambda x: x.sum((1, 2, 3), keepdim=True).flatten(1),
        aggregator=probability_aggregator,
    )
    x = torch.rand(5, 1, 3, 3)
    target = torch.zeros(5, dtype=torch.int64)
    p = leave_one_out(InputRemoval(torch.zeros(1, 3, 3)), model, x, target)
    torch.testing.assert_close(dropped(p).float(), 0.01 * x.flatten(1), atol=1e-6, rtol=1e-4)
    values = correlations(model, lambda model, x, target: x, x, target, p)
    torch.testing.assert_close(values, torch.ones(5, dtype=torch.float64), atol=1e-5, rtol=0)


def test_undefined_where_relevances_or_drops_are_constant(inputs):
    target = torch.zeros(230, dtype=torch.int64)
    constant = linear_in_probability(lambda x: two_classes(torch.full_like(x, 0.1)))
    p = without_concepts(constant, inputs, target, torch.zeros(4))
    assert correlations(constant, relevances, inputs, target, p).isnan().all()
    assert not correlations(constant, contributions, inputs, target, p).isnan().any()

    def rounded(model, x, target):  # constant but for the last bits of float32
        return 0.1 + 1e-8 * x

    assert correlations(constant, rounded, inputs, target, p).isnan().all()

    model = random_table_senn(4)
    median = inputs.median(0).values
    x = torch.stack([median, inputs[0]])  # removing from the median changes nothing
    p = leave_one_out(InputRemoval(median), model, x, target[:2])
    values = correlations(model, relevances, x, target[:2], p)
    assert [math.isnan(value) for value in values] == [True, False]


def collapsed(scale, target, seed=0):
    """Logits that hardly depend on the concepts, of size 1; and random concepts."""
    generator = torch.Generator().manual_seed(seed)
    weights = scale * torch.randn(5, 4, generator=generator)
    bias = torch.randn(4, generator=generator)

    def aggregator(concepts, relevances):
        return bias.to(concepts) + torch.einsum("bk,bkc->bc", concepts, relevances)

    model = senn(lambda x: weights.to(x).expand(len(x), 5, 4), aggregator=aggregator)
    return model, torch.rand(len(target), 5, generator=generator)


@pytest.mark.parametrize("scale", [10.0**-power for power in range(9)])
def test_drops_that_are_rounding_are_constant_and_others_are_not(scale):
    target, baseline = torch.zeros(150, dtype=torch.int64), torch.full((5,), 0.5)
    model, x = collapsed(scale, target)
    values, precise = (
        correlations(model, contributions, x, target, without_concepts(model, x, target, b))
        for x, b in ((x, baseline), (x.double(), baseline.double()))
    )
    # What float32 cannot tell from 0 is undefined, and what is defined agrees with float64.
    if scale >= 1e-4 or scale <= 1e-6:
        assert values.isnan().tolist() == [scale <= 1e-6] * 150
    defined = ~values.isnan()
    torch.testing.assert_close(values[defined], precise[defined], atol=0.02, rtol=0)


def test_a_saturated_softmax_still_shows_drops():
    # p(0) = 1 - e^-45 or so: in float32 every drop would be 0.
    model = senn(lambda x: two_classes(torch.tensor([10.0, 20.0, 15.0]).expand(len(x), -1)))
    x = torch.full((1, 3), 0.4)
    target = torch.zeros(1, dtype=torch.int64)
    p = without_concepts(model, x, target, torch.full((3,), 0.2))
    drops = dropped(p)
    assert (drops > 0).all()
    odds = [math.exp(-36 + 0.4 * theta) - math.exp(-36) for theta in (10.0, 20.0, 15.0)]
    assert drops[0].tolist() == pytest.approx(odds, rel=1e-3, abs=2e-16)


# --- deletion and insertion ----------------------------------------------------------------------


def linear(weights):
    """p(class 0) = ½ + Σ_k w_k h_k."""

    def aggregator(concepts, relevances):
        p = 0.5 + (concepts * relevances[..., 0]).sum(1)
        return torch.stack([p, 1 - p], 1).log()

    weights = torch.tensor(weights)
    return senn(lambda x: two_classes(weights.expand(len(x), -1)), aggregator=aggregator)


def test_curves_by_hand():
    # Contributions .1, .3, -.2, .05: removed in the order 1, 0, 3, 2.
    model, x = linear([0.1, 0.3, -0.2, 0.05]), torch.ones(1, 4)
    target, removal = torch.zeros(1, dtype=torch.int64), ConceptRemoval(torch.zeros(4))
    deletion, insertion = removal_curves(model, contributions, x, target, removal, steps=4)
    assert deletion[0].tolist() == pytest.approx([0.75, 0.45, 0.35, 0.3, 0.5], rel=1e-5)
    assert insertion[0].tolist() == pytest.approx([0.5, 0.8, 0.9, 0.95, 0.75], rel=1e-5)
    shares = removal_shares(4, 4)
    assert shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    expected = (0.75 / 2 + 0.45 + 0.35 + 0.3 + 0.5 / 2) / 4
    assert area(shares, deletion).item() == pytest.approx(expected, rel=1e-5)


def test_steps_of_several_groups_and_ties_in_their_order():
    model, x = linear([0.1, 0.1, 0.1, 0.1, 0.05]), torch.ones(130, 5)
    x[:, 1] = torch.linspace(0.2, 0.8, 130)
    target, removal = torch.zeros(130, dtype=torch.int64), ConceptRemoval(torch.zeros(5))
    equal = lambda model, x, target: torch.ones(len(x), 5)  # noqa: E731
    curves = removal_curves(model, equal, x, target, removal, steps=2)
    # 5 groups in 2 steps: the first two, then all.
    lost = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.05]) * x
    start = 0.5 + lost.sum(1)
    deletion = torch.stack([start, start - lost[:, :2].sum(1), torch.full((130,), 0.5)], 1)
    insertion = torch.stack([torch.full((130,), 0.5), 0.5 + lost[:, :2].sum(1), start], 1)
    for curve, expected in zip(curves, (deletion, insertion), strict=True):
        torch.testing.assert_close(curve.float(), expected)


@pytest.mark.parametrize(
    ("groups", "steps", "counts"),
    [
        (49, 12, [0, 4, 8, 12, 16, 20, 24, 29, 33, 37, 41, 45, 49]),
        (5, 12, [0, 1, 2, 3, 4, 5]),
        (1, 1, [0, 1]),
    ],
)
def test_shares_of_whole_groups_begin_with_none_and_end_with_all(groups, steps, counts):
    assert removal_shares(groups, steps).tolist() == [count / groups for count in counts]


def test_area_is_the_mean_height():
    positions = torch.tensor([0.0, 1.0, 4.0])
    curves = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 4.0], [0.0, 2.0, 0.0]])
    assert area(positions, curves).tolist() == [1.0, 2.0, 1.0]


def test_area_of_curves_on_another_device_than_the_positions():
    there = torch.device("meta")
    with FakeTensorMode(allow_non_fake_inputs=True):
        areas = area(removal_shares(4, 4), torch.empty(3, 5, device=there).double())
    assert areas.shape == (3,) and areas.device == there
