import math

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from pipeline.core.dataset import Dataset, Split
from pipeline.core.params import load_params
from pipeline.metrics.baselines import (
    REFERENCES,
    balanced_accuracy,
    class_entropy,
    commonest_share,
    constant_from,
    cross_entropy,
    cross_entropy_ratio,
    is_collapsed,
    linear_accuracy,
    majority_accuracy,
    references,
    selection,
)
from pipeline.models.building import Inputs, build_senn
from pipeline.training.robustness import linearise, robustness_loss
from tests.conftest import REPOSITORY

PARAMS = load_params(REPOSITORY / "params.yaml")


class Given(nn.Module):
    """A model whose logits are its input."""

    def forward(self, x):
        return x


def split(probabilities: list[list[float]], labels: list[int]) -> Split:
    return Split(torch.tensor(probabilities).log(), torch.tensor(labels))


# Three of class 0, all got right; one of class 1, which is not; the prediction is always class 0.
ALWAYS_0 = split([[0.75, 0.25]] * 4, [0, 0, 0, 1])
# Two of three of class 0 and both of class 1 are right.
MOSTLY = split([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8], [0.4, 0.6], [0.4, 0.6]], [0, 0, 0, 1, 1])


def test_the_best_constant_has_the_entropy_of_the_class_frequencies():
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert class_entropy(ALWAYS_0.y) == pytest.approx(entropy)
    assert cross_entropy(Given(), ALWAYS_0) == pytest.approx(entropy)
    assert cross_entropy_ratio(Given(), ALWAYS_0) == pytest.approx(1)
    assert balanced_accuracy(Given(), ALWAYS_0) == 0.5
    assert commonest_share(Given(), ALWAYS_0) == 1


def test_a_model_that_looks_at_its_input():
    expected = -(2 * math.log(0.8) + math.log(0.2) + 2 * math.log(0.6)) / 5
    assert cross_entropy(Given(), MOSTLY) == pytest.approx(expected)
    entropy = -0.6 * math.log(0.6) - 0.4 * math.log(0.4)
    assert cross_entropy_ratio(Given(), MOSTLY) == pytest.approx(expected / entropy)
    assert balanced_accuracy(Given(), MOSTLY) == pytest.approx((2 / 3 + 1) / 2)
    assert commonest_share(Given(), MOSTLY) == pytest.approx(3 / 5)


def test_one_class_has_no_entropy_to_compare_with():
    alone = split([[0.9, 0.1]], [0])
    assert class_entropy(alone.y) == 0
    assert math.isnan(cross_entropy_ratio(Given(), alone))


def test_a_model_has_collapsed_from_a_hundredth_below_the_best_constant():
    entropy = class_entropy(ALWAYS_0.y)
    assert is_collapsed(math.log(2), ALWAYS_0.y)  # a constant, not tuned to the frequencies
    assert is_collapsed(0.991 * entropy, ALWAYS_0.y)
    assert not is_collapsed(0.989 * entropy, ALWAYS_0.y)


def curve(*validations: tuple[float, float]) -> list[dict[str, float]]:
    names = ("valid_accuracy", "valid_classification")
    return [dict(zip(names, values, strict=True)) for values in validations]


def test_selection_is_told_from_the_last_validation():
    metadata = {"step": 30, "valid_accuracy": 0.7, "curve": curve((0.7, 0.2), (0.45, 0.6))}
    row = selection(metadata, ALWAYS_0)
    assert row == {
        "selected_step": 30,
        "valid_accuracy": 0.7,
        "valid_accuracy_last": 0.45,
        "selection_gain": pytest.approx(0.25),
        "collapsed": 1,
    }
    metadata["curve"] = curve((0.7, 0.6), (0.45, 0.2))
    assert selection(metadata, ALWAYS_0)["collapsed"] == 0


# --- references for accuracies ------------------------------------------------------------------


def as_dataset(x: torch.Tensor, y: torch.Tensor) -> Dataset:
    split = Split(x, y)
    names = tuple(f"feature {i}" for i in range(x.shape[1]))
    return Dataset("any", split, split, split, names, ("a", "b"), 0.0, 1.0, 0.0, 1.0, "")


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(40, 11, generator=torch.Generator().manual_seed(0))


def test_raw_features_have_all_references_and_learned_concepts_only_the_majority(x):
    data = as_dataset(x, (x[:, 0] > 0.5).long())
    numbers = references(PARAMS.experiment("compas_senn"), data)
    assert tuple(numbers) == REFERENCES
    assert numbers["majority_accuracy"] == majority_accuracy(data)
    assert numbers["linear_accuracy"] == linear_accuracy(data)
    assert numbers["constant_from_batch"] == constant_from(x, 2, 200, "batch")
    assert numbers["constant_from_example"] == constant_from(x, 2, 200, "example")
    assert list(references(PARAMS.experiment("mnist_senn"), data)) == ["majority_accuracy"]


def test_majority():
    data = as_dataset(torch.zeros(5, 2), torch.tensor([0, 1, 1, 1, 0]))
    assert majority_accuracy(data) == 0.6


def test_linear_classifier_has_no_intercept(x):
    weights = torch.linspace(-1, 1, 11)
    assert linear_accuracy(as_dataset(x, (x @ weights > 0).long())) == 1.0
    positive = x.abs()  # of one orthant, cut where only an intercept could
    y = (positive.sum(1) > positive.sum(1).median()).long()
    assert linear_accuracy(as_dataset(positive, y)) < 1.0


def test_of_texts_it_is_a_bag_of_words():
    """Against scikit-learn's own way to count words; topics differ by how often words occur."""
    generator = torch.Generator().manual_seed(0)

    def split(count: int) -> Split:
        y = torch.arange(count) % 2
        words = torch.randint(1, 9, (count, 12), generator=generator)
        words[:, :3] = torch.randint(1, 4, (count, 3), generator=generator) + 2 * y[:, None]
        words[:, 9:] = 0
        return Split(torch.ones(count, 12, 2), y, words)

    words = ("", *"abcdefgh")
    train, test = split(200), split(400)
    ends = torch.zeros(2), torch.ones(2)
    data = Dataset("any", train, test, test, (), ("a", "b"), 0.0, 1.0, *ends, "", words)
    counter = CountVectorizer(token_pattern=r"\S+", vocabulary=words[1:])
    texts = [[" ".join(words[place] for place in row) for row in of.words] for of in (train, test)]
    x, test_x = (counter.transform(of) for of in texts)
    model = LogisticRegression(fit_intercept=False, tol=1e-8).fit(x, train.y)
    expected = model.score(test_x, test.y)
    assert 0.6 < expected < 1
    assert linear_accuracy(data) == pytest.approx(expected, abs=0.005)


def test_constant_from_in_closed_form():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert constant_from(x, 2, 8, "batch") == pytest.approx(5 / np.sqrt(2) / np.sqrt(2) / 8**0.5)
    assert constant_from(x, 2, 8, "example") == pytest.approx(5 / np.sqrt(2))
    assert constant_from(x, 10, 1, "example") == pytest.approx(5 * np.sqrt(0.9))


@pytest.mark.parametrize("reduction", ["batch", "example"])
def test_beyond_it_no_network_is_better_than_a_constant(x, reduction):
    """Cross-entropy plus λ times the review's loss, of networks of all sizes of weights."""
    y = torch.arange(len(x)) % 2
    bound = constant_from(x, 2, len(x), reduction)
    for seed in range(40):
        senn = build_senn(
            "compas_senn", PARAMS.experiment("compas_senn"), PARAMS.vae, Inputs((11,), 0, 1), seed
        ).eval()
        with torch.no_grad():
            for weight in senn.parameters():
                weight.mul_(10 ** (seed % 4 - 2))
        at = linearise(senn, x)
        total = F.cross_entropy(at.output.logits, y) + bound * robustness_loss(
            at, "review2020", reduction
        )
        assert total.item() >= np.log(2) - 1e-6


@pytest.mark.parametrize("reduction", ["batch", "example"])
def test_below_it_a_step_down_the_gradient_is_better(x, reduction):
    """With θ̄ = 0 and Δ small the quirk is λ times the norm of Δ, and tanh(m/2) ∇m is of 2nd order.

    Under ``example`` the step is that of the example with the largest ‖x‖ alone.
    """
    x, y = x.double(), torch.arange(len(x)) % 2
    step = 1e-4 * (y.double() - 0.5).unsqueeze(1) * x  # of θ_1, against the gradient
    if reduction == "example":
        norms = x.norm(dim=1, keepdim=True)
        step = step * (norms == norms.max())
    theta = torch.stack([-step, step], -1)  # (B, K, C)
    logits = (x.unsqueeze(-1) * theta).sum(1)
    norm = theta.norm() if reduction == "batch" else theta.flatten(1).norm(dim=1).mean()
    for factor, is_better in ((0.99, True), (1.01, False)):
        reg = factor * constant_from(x, 2, len(x), reduction)
        assert (F.cross_entropy(logits, y) + reg * norm < np.log(2)) == is_better


def test_linear_classifiers_are_free_in_the_papers_definition_alone(x):
    experiment = PARAMS.experiment("compas_senn")
    senn = build_senn("compas_senn", experiment, PARAMS.vae, Inputs((11,), 0, 1), 3).eval()
    with torch.no_grad():
        senn.parameterizer.layers[-1].weight.zero_()  # θ is its bias
    at = linearise(senn, x)
    assert at.output.relevances.abs().sum() > 0
    assert robustness_loss(at, "paper2018", "batch").item() == 0
    assert robustness_loss(at, "review2020", "batch").item() > 0.1
