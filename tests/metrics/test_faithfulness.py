import math

import numpy as np
import pytest
import torch

from pipeline.explanations.senn import contributions, relevances
from pipeline.metrics.evaluation import predict
from pipeline.metrics.faithfulness import faithfulness
from pipeline.metrics.removal import ConceptRemoval, InputRemoval, removal_drops
from tests.metrics.models import random_image_senn, random_table_senn, senn, two_classes


def probability_aggregator(concepts, relevances):
    """Logits whose softmax is ½ ± Σ_k θ_k h_k: probabilities linear in the concepts."""
    p = 0.5 + torch.einsum("bk,bk->b", concepts, relevances[..., 0])
    return torch.stack([p, 1 - p], 1).log()


def concept_drops(model, x, target, baseline):
    return removal_drops(ConceptRemoval(baseline), model, x, target)


def correlations(model, explain, x, target, drops):
    """Faithfulness of attributions to features or pixels, one by one."""
    return faithfulness(model, explain, x, target, drops, InputRemoval(torch.zeros(x.shape[1:])))


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
        drops = concept_drops(model, inputs, target, torch.zeros(4))
        torch.testing.assert_close(drops.float(), contributions(model, inputs, target))
        found = correlations(model, contributions, inputs, target, drops)
        torch.testing.assert_close(found, torch.ones(230, dtype=torch.float64))
        found = correlations(model, lambda *a: -contributions(*a), inputs, target, drops)
        torch.testing.assert_close(found, -torch.ones(230, dtype=torch.float64))


def test_relevances_correlate_as_numpy_says(inputs):
    weights = torch.tensor([0.1, -0.05, 0.02, 0.08])
    model = linear_in_probability(lambda x: two_classes(weights * (1 + x)))
    target, baseline = torch.zeros(230, dtype=torch.int64), torch.tensor([0.5, 0.2, 0.4, 0.9])
    theta = weights * (1 + inputs)
    expected = [
        np.corrcoef(t, t * (x - baseline))[0, 1] for t, x in zip(theta, inputs, strict=True)
    ]
    drops = concept_drops(model, inputs, target, baseline)
    found = correlations(model, relevances, inputs, target, drops)
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


def test_concepts_are_removed_with_relevances_held():
    model, x = random_image_senn(), torch.randn(3, 1, 28, 28)
    target, baseline = torch.tensor([0, 3, 1]), torch.tensor([0.3, -0.2, 0.1])
    output = model(x)
    for k, drop in enumerate(concept_drops(model, x, target, baseline).T):
        removed = output.concepts.clone()
        removed[:, k] = baseline[k]
        logits = torch.einsum("bk,bkc->bc", removed, output.relevances)
        change = output.logits.softmax(1) - logits.softmax(1)
        expected = torch.stack([change[i, c] for i, c in enumerate(target)])
        torch.testing.assert_close(drop.float(), expected)


def test_features_are_removed_and_the_model_run_again():
    model, x = random_table_senn(), torch.rand(120, 6)
    target, baseline = predict(model, x), torch.linspace(0, 1, 6)
    found = removal_drops(InputRemoval(baseline), model, x, target)
    for k in range(6):
        removed = x.clone()
        removed[:, k] = baseline[k]
        change = model(x).logits.softmax(1) - model(removed).logits.softmax(1)
        expected = change[torch.arange(120), target]
        torch.testing.assert_close(found[:, k].float(), expected, atol=1e-6, rtol=1e-4)


def test_pixels_are_features_too():
    # Attributions to the input have its shape; f_0 = Σ pixels, so each drops by its own value.
    model = senn(
        lambda x: two_classes(torch.full((len(x), 1), 0.01)),
        concepts=lambda x: x.sum((1, 2, 3), keepdim=True).flatten(1),
        aggregator=probability_aggregator,
    )
    x = torch.rand(5, 1, 3, 3)
    target = torch.zeros(5, dtype=torch.int64)
    drops = removal_drops(InputRemoval(torch.zeros(1, 3, 3)), model, x, target)
    torch.testing.assert_close(drops.float(), 0.01 * x.flatten(1), atol=1e-6, rtol=1e-4)
    found = correlations(model, lambda model, x, target: x, x, target, drops)
    torch.testing.assert_close(found, torch.ones(5, dtype=torch.float64), atol=1e-5, rtol=0)


def test_undefined_where_relevances_or_drops_are_constant(inputs):
    target = torch.zeros(230, dtype=torch.int64)
    constant = linear_in_probability(lambda x: two_classes(torch.full_like(x, 0.1)))
    drops = concept_drops(constant, inputs, target, torch.zeros(4))
    assert correlations(constant, relevances, inputs, target, drops).isnan().all()
    assert not correlations(constant, contributions, inputs, target, drops).isnan().any()

    def rounded(model, x, target):  # constant but for the last bits of float32
        return 0.1 + 1e-8 * x

    assert correlations(constant, rounded, inputs, target, drops).isnan().all()

    model = random_table_senn(4)
    median = inputs.median(0).values
    x = torch.stack([median, inputs[0]])  # removing from the median changes nothing
    drops = removal_drops(InputRemoval(median), model, x, target[:2])
    found = correlations(model, relevances, x, target[:2], drops)
    assert [math.isnan(value) for value in found] == [True, False]


def test_a_saturated_softmax_still_shows_drops():
    # p(0) = 1 - e^-45 or so: in float32 every drop would be 0.
    model = senn(lambda x: two_classes(torch.tensor([10.0, 20.0, 15.0]).expand(len(x), -1)))
    x = torch.full((1, 3), 0.4)
    target = torch.zeros(1, dtype=torch.int64)
    drops = concept_drops(model, x, target, torch.full((3,), 0.2))
    assert (drops > 0).all()
    odds = [math.exp(-36 + 0.4 * theta) - math.exp(-36) for theta in (10.0, 20.0, 15.0)]
    assert drops[0].tolist() == pytest.approx(odds, rel=1e-3, abs=2e-16)
