"""The explanatory power index, by hand and against scikit-learn."""

import math

import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.neighbors import KNeighborsClassifier

from pipeline.metrics.documents import (
    embedded_documents,
    idf,
    one_hot_documents,
    power_of_halves,
)

# Padding is word 0.
WORDS = torch.tensor([[3, 5, 3], [5, 7, 0]])
WEIGHTS = torch.tensor([[1.0, -2.0, 0.5], [4.0, 3.0, 0.0]])


def test_document_vectors_by_hand():
    assert one_hot_documents(WORDS, WEIGHTS).tolist() == [[0, 1.5, -2, 0], [0, 0, 4, 3]]
    table = torch.zeros(8, 2)
    table[3], table[5], table[7] = torch.tensor([[1.0, 2.0], [0.5, 0.0], [-1.0, 1.0]])
    vectors = embedded_documents(table[WORDS], WEIGHTS)
    assert vectors.dtype == torch.float64
    assert vectors.tolist() == [[0.5, 3.0], [-1.0, 3.0]]


def test_embedded_documents_are_the_embedded_one_hot_documents():
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(9, (6, 11), generator=generator)
    weights = torch.randn(6, 11, generator=generator)
    table = torch.randn(9, 4, generator=generator)
    expected = one_hot_documents(words, weights) @ table.double()[words.unique()]
    torch.testing.assert_close(embedded_documents(table[words], weights), expected)


@pytest.mark.filterwarnings("ignore:divide by zero")  # of words that do not occur
def test_idf_makes_tf_idf():
    """scikit-learn adds 1 to the logarithm."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(1, 12, (20, 6), generator=generator)
    words[:4, 4:] = 0
    weight = idf(words, words > 0, 15)
    counts = CountVectorizer(token_pattern=r"\d+", vocabulary=[str(w) for w in range(15)])
    texts = [" ".join(str(w) for w in row if w) for row in words.tolist()]
    raw = TfidfTransformer(norm=None, smooth_idf=False).fit(counts.transform(texts))
    occurs = words.unique()[1:]
    expected = torch.from_numpy(raw.idf_ - 1)[occurs]
    torch.testing.assert_close(weight[occurs], expected)
    assert weight[0] == weight[14] == 0
    assert idf(WORDS, WORDS > 0, 8).tolist() == [0, 0, 0, math.log(2), 0, 0, 0, math.log(2)]


def test_power_by_hand():
    # Two classes in opposite directions, whatever the lengths: where both halves have both classes
    # all are told, and where each has but one nobody is.
    vectors = torch.tensor([[1.0, 0.1], [5.0, 0.0], [2.0, 0.1], [-1.0, 0.0], [-7.0, 1.0], [-2, 0]])
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    same_draws, told = torch.Generator().manual_seed(0), 0
    for _ in range(5):
        half = torch.randperm(6, generator=same_draws)[:3]
        told += len(labels[half].unique()) == 2
    assert told == 4
    assert power_of_halves(vectors, labels, (1,), 10).tolist() == [0.8] * 6
    # A class of one is never told.
    alone = torch.tensor([0, 0, 0, 1, 1, 2])
    assert power_of_halves(vectors, alone, (1,), 10)[5] == 0
    assert power_of_halves(vectors, labels, (4,), 10).isnan().all()  # a half has but three


@pytest.mark.parametrize("size", [60, 61])
def test_power_is_the_accuracy_of_scikit_learns_classifiers(size):
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(4, (size,), generator=generator)
    vectors = torch.randn(size, 5, generator=generator) + 0.9 * labels.unsqueeze(1)
    unit = torch.nn.functional.normalize(vectors.double()).numpy()
    counts, halves, same_draws = (1, 3, 5, 9), 10, torch.Generator().manual_seed(0)
    accuracy = {k: [] for k in counts}
    for _ in range(halves // 2):
        one, other = torch.randperm(size, generator=same_draws).tensor_split(2)
        for asked, known in ((one, other), (other, one)):
            for k in counts:
                model = KNeighborsClassifier(k, algorithm="brute")
                model.fit(unit[known], labels[known].numpy())
                accuracy[k].append(model.score(unit[asked], labels[asked].numpy()))
    means = [sum(scores) / halves for scores in accuracy.values()]
    ours = power_of_halves(vectors, labels, counts, halves).mean().item()
    # With an odd number the halves differ by one, and count by their documents here.
    assert ours == pytest.approx(max(means), abs=1e-12 if size % 2 == 0 else 0.01)
    assert len(set(means)) == len(means)


def test_power_does_not_depend_on_length_and_survives_nothing():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 2
    vectors = torch.randn(40, 3, generator=generator) + 2 * labels.unsqueeze(1)
    lengths = torch.rand(40, 1, generator=generator) + 0.1
    expected = power_of_halves(vectors, labels, (3,), 10)
    assert power_of_halves(vectors * lengths, labels, (3,), 10).equal(expected)
    vectors[:5] = 0
    assert power_of_halves(vectors, labels, (3,), 10).isfinite().all()
