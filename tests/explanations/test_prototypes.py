import numpy as np
import pytest
import torch

from pipeline.explanations.prototypes import (
    chance_purities,
    contrast,
    filters,
    highest_activation,
    highest_contrast,
    purity,
)
from pipeline.models.conceptizers import ConvConceptizer


@pytest.fixture
def concepts():
    return torch.randn(50, 4, generator=torch.Generator().manual_seed(0))


def test_highest_activation_is_the_top_of_each_column(concepts):
    chosen = highest_activation(concepts, 6)
    assert chosen.shape == (4, 6)
    for k in range(4):
        assert chosen[k].tolist() == np.argsort(-concepts[:, k].numpy())[:6].tolist()


def test_of_equals_the_first_comes_first():
    concepts = torch.tensor([[1.0], [3.0], [3.0], [2.0], [3.0]])
    assert highest_activation(concepts, 4).tolist() == [[1, 2, 4, 3]]


def test_contrast_is_the_papers_formula(concepts):
    expected = torch.empty_like(concepts)
    for n, row in enumerate(concepts.tolist()):
        for k in range(4):
            expected[n, k] = row[k] - sum(value for j, value in enumerate(row) if j != k)
    torch.testing.assert_close(contrast(concepts), expected)


def test_contrast_prefers_what_activates_no_other_concept():
    concepts = torch.tensor([[5.0, 5.0], [4.0, 0.0], [0.0, 3.0]])
    assert highest_activation(concepts, 1).tolist() == [[0], [0]]
    assert highest_contrast(concepts, 1).tolist() == [[1], [2]]


def test_purity():
    labels = torch.tensor([7, 7, 1, 0, 7])
    chosen = torch.tensor([[0, 1, 4], [0, 1, 2], [0, 2, 3]])
    torch.testing.assert_close(purity(chosen, labels), torch.tensor([1, 2 / 3, 1 / 3]))


def test_chance_purity_of_three_fair_coins():
    # Three alike with probability 1/4, else two of three.
    expected = 1 / 4 + 3 / 4 * 2 / 3
    chance = chance_purities(torch.tensor([0, 1] * 5_000), 3)
    assert set(chance.tolist()) == {2 / 3, 1.0}
    assert chance.mean().item() == pytest.approx(expected, abs=0.01)
    assert torch.equal(chance, chance_purities(torch.tensor([0, 1] * 5_000), 3))


def test_chance_draws_different_examples():
    # After the first of a class only one of the other three is of that class.
    labels = torch.tensor([0, 0, 1, 1])
    assert chance_purities(labels, 2).mean().item() == pytest.approx(1 / 3 + 2 / 3 / 2, abs=0.01)
    assert chance_purities(labels, 9, draws=5).tolist() == [0.5] * 5


def test_filters_are_those_of_the_first_and_the_last_convolution():
    conceptizer = ConvConceptizer((1, 28, 28), 3, (6,), 5, (16, 8))
    first, last = conceptizer.convolutions
    of_first, of_last = filters(conceptizer)
    assert of_first.shape == (6, 1, 5, 5)
    assert of_last.shape == (3, 6, 5, 5)
    assert torch.equal(of_first, first.weight)
    assert torch.equal(of_last, last.weight)
    assert not of_last.requires_grad
