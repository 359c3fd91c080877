import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from pipeline.core.dataset import Dataset, Split
from pipeline.core.params import load_params
from pipeline.metrics.references import (
    REFERENCES,
    constant_from,
    linear_accuracy,
    majority_accuracy,
    references,
)
from pipeline.models.building import Inputs, build_senn
from pipeline.training.robustness import linearise, robustness_loss
from tests.conftest import REPOSITORY

PARAMS = load_params(REPOSITORY / "params.yaml")


def dataset(x: torch.Tensor, y: torch.Tensor) -> Dataset:
    split = Split(x, y)
    names = tuple(f"feature {i}" for i in range(x.shape[1]))
    return Dataset("any", split, split, split, names, ("a", "b"), 0.0, 1.0, 0.0, 1.0, "")


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(40, 11, generator=torch.Generator().manual_seed(0))


def test_raw_features_have_all_references_and_learned_concepts_only_the_majority(x):
    data = dataset(x, (x[:, 0] > 0.5).long())
    numbers = references(PARAMS.experiment("compas_senn"), data)
    assert tuple(numbers) == REFERENCES
    assert numbers["majority_accuracy"] == majority_accuracy(data)
    assert numbers["linear_accuracy"] == linear_accuracy(data)
    assert numbers["constant_from_batch"] == constant_from(x, 2, 200, "batch")
    assert numbers["constant_from_example"] == constant_from(x, 2, 200, "example")
    assert list(references(PARAMS.experiment("mnist_senn"), data)) == ["majority_accuracy"]


def test_majority():
    data = dataset(torch.zeros(5, 2), torch.tensor([0, 1, 1, 1, 0]))
    assert majority_accuracy(data) == 0.6


def test_linear_classifier_has_no_intercept(x):
    weights = torch.linspace(-1, 1, 11)
    assert linear_accuracy(dataset(x, (x @ weights > 0).long())) == 1.0
    positive = x.abs()  # of one orthant, cut where only an intercept could
    y = (positive.sum(1) > positive.sum(1).median()).long()
    assert linear_accuracy(dataset(positive, y)) < 1.0


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
