"""Noise, complexity, randomisation, explanatory power: cases whose value is known."""

import math

import pytest
import torch
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from pipeline.explanations.senn import relevances
from pipeline.metrics.comparison import remembering
from pipeline.metrics.informativeness import (
    effective_features,
    embedded_documents,
    explanatory_power,
    idf,
    one_hot_documents,
    power_of_halves,
    relevance_weighted,
)
from pipeline.metrics.randomisation import cascade, layers_from_output, similarities
from pipeline.metrics.stability import noise_distances
from tests.metrics.models import random_image_senn, random_table_senn, senn, two_classes


def targets(x):
    return torch.zeros(len(x), dtype=torch.int64)


def identity(model, x, target):
    return x


def nothing(model, x, target):
    return torch.zeros_like(x)


ANY = nn.Identity()


def test_linear_explanations_move_in_proportion_to_the_noise():
    x, noise = torch.randn(130, 1, 3, 3), torch.randn(130, 1, 3, 3)
    distances = noise_distances(ANY, identity, x, targets(x), noise, (0.1, 1.0))
    ratio = noise.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)
    torch.testing.assert_close(distances.float(), torch.stack([0.1 * ratio, ratio], 1))
    constant = lambda model, x, target: torch.ones_like(x)  # noqa: E731
    assert not noise_distances(ANY, constant, x, targets(x), noise, (0.5,)).any()
    assert noise_distances(ANY, nothing, x, targets(x), noise, (0.5,)).isnan().all()


def test_noise_moves_the_explanation_of_each_examples_own_class():
    x, noise, target = torch.rand(3, 2) + 1, torch.randn(3, 2), torch.tensor([0, 2, 5])
    distances = noise_distances(
        ANY, lambda model, x, target: x + target[:, None], x, target, noise, (0.1, 1.0)
    )
    ratio = noise.norm(dim=1) / (x + target[:, None]).norm(dim=1)
    torch.testing.assert_close(distances.float(), torch.stack([0.1 * ratio, ratio], 1))


def test_effective_features_of_equal_shares_is_their_number():
    x = torch.tensor([[1.0, 0, 0, 0], [2, -2, 0, 0], [3, 3, 3, -3], [1, 0.5, 0.5, 0]])
    numbers = effective_features(ANY, identity, x, targets(x))
    assert numbers.tolist() == pytest.approx([1, 2, 4, 2**1.5])  # H = ½ ln 2 + ½ ln 4
    assert effective_features(ANY, nothing, x, targets(x)).isnan().all()


def test_layers_are_shuffled_from_the_output_back_and_keep_their_numbers():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    copies = cascade(model)
    assert len(copies) == 2
    weights = [[m[0].weight, m[0].bias, m[2].weight, m[2].bias] for m in (model, *copies)]
    changed = [[not torch.equal(a, b) for a, b in zip(weights[0], w, strict=True)] for w in weights]
    assert changed == [[False] * 4, [False, False, True, True], [True] * 4]
    assert torch.equal(weights[1][2], weights[2][2])  # cascading: what was shuffled stays so
    for original, shuffled in zip(weights[0], weights[2], strict=True):
        assert torch.equal(original.flatten().sort().values, shuffled.flatten().sort().values)
    again = cascade(model)
    assert all(torch.equal(a, b) for a, b in zip(weights[2], again[1].parameters(), strict=True))


def test_both_branches_of_a_senn_are_shuffled_side_by_side_and_its_decoder_never():
    model = random_image_senn()
    assert [len(step) for step in layers_from_output(model)] == [2, 2, 2]
    last, _, every = cascade(model)
    for name, before in model.named_parameters():
        if name.endswith("bias"):  # of few numbers, which may fall into the same order
            continue
        is_last = name.split(".")[1] in ("to_scalar", "layers")
        is_decoder = "deconvolutions" in name or "from_scalar" in name
        assert torch.equal(before, last.get_parameter(name)) != is_last, name
        assert torch.equal(before, every.get_parameter(name)) == is_decoder, name


def test_a_table_has_no_layers_of_concepts():
    assert [len(step) for step in layers_from_output(random_table_senn())] == [1, 1, 1]


def test_similarity_is_spearmans_of_absolute_values():
    model, x = random_table_senn(), torch.rand(120, 6)
    randomised = cascade(model)
    correlations = similarities(model, relevances, x, targets(x), randomised)
    for depth, other in enumerate(randomised):
        before, after = (relevances(m, x, targets(x)).detach().abs() for m in (model, other))
        for i in (0, 99, 100, 119):
            expected = spearmanr(before[i], after[i]).statistic
            assert correlations[i, depth].item() == pytest.approx(expected, abs=1e-9)


def test_methods_that_ignore_the_model_stay_alike_and_ties_have_mean_ranks():
    model, x = random_table_senn(), torch.rand(5, 6).round(decimals=0)
    x[:, :2] = torch.tensor([-1.0, 0.0])
    correlations = similarities(model, identity, x, targets(x), cascade(model))
    torch.testing.assert_close(correlations, torch.ones(5, 3, dtype=torch.float64))
    assert similarities(model, nothing, x, targets(x), cascade(model)).isnan().all()


def test_weighted_examples_have_length_one():
    x = torch.tensor([[3.0, 2.0], [0.0, 0.0], [-1.0, 0.0]])
    e = torch.tensor([[1.0, 2.0], [5.0, 5.0], [2.0, 7.0]])
    weighted = relevance_weighted(ANY, lambda *_: e, x, targets(x), x)
    expected = [0.6, 0.8, 0.0, 0.0, -1.0, 0.0]
    assert weighted.flatten().tolist() == pytest.approx(expected)


def test_explanatory_power_by_hand():
    # Nearest of the others: a b a | b b; of three others the majority.
    vectors = torch.tensor([[0.0], [1.0], [2.2], [10.0], [11.5]])
    labels = torch.tensor([0, 1, 0, 1, 1])
    nearest = [0, 0, 0, 1, 1]  # 0's is 1 (wrong), 1's is 0, 2's is 1, 3's is 4, 4's is 3
    assert explanatory_power(vectors, labels, (1,)).tolist() == nearest
    assert explanatory_power(vectors, labels, (4,)).tolist() == [0, 0, 0, 0, 0]
    assert explanatory_power(vectors, labels, (1, 4)).tolist() == nearest
    assert explanatory_power(vectors, labels, (1, 5)).isnan().all()  # there are but four others


@pytest.mark.parametrize("k", [1, 3, 5])
def test_explanatory_power_is_leave_one_out_accuracy(k):
    torch.manual_seed(0)
    labels = torch.randint(3, (60,))
    vectors = torch.randn(60, 4) + labels.unsqueeze(1)
    model = KNeighborsClassifier(k, algorithm="brute")
    predicted = cross_val_predict(model, vectors.numpy(), labels.numpy(), cv=LeaveOneOut())
    expected = (predicted == labels.numpy()).astype(float).tolist()
    assert explanatory_power(vectors, labels, (k,)).tolist() == expected


def test_explanatory_power_does_not_depend_on_the_order_of_the_examples():
    # Rows of a table: many are equal, and many as far from a third.
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(2, (120, 4), generator=generator).float()
    labels = (x.sum(1) + torch.rand(120, generator=generator) > 2.5).long()
    vectors = relevance_weighted(ANY, identity, x, labels, x)
    right = explanatory_power(vectors, labels, (1, 3, 5))
    for _ in range(20):
        order = torch.randperm(120, generator=generator)
        noisy = vectors[order] * (1 + 1e-8 * torch.randn(120, 4, generator=generator))
        assert explanatory_power(noisy, labels[order], (1, 3, 5)).equal(right[order])


def test_neighbours_as_far_away_share_the_votes_that_are_left():
    # Of 3 votes the nearest, of class 1, has one; four others at distance 2 share two votes: the
    # three of class 0 have 1.5 of them, and class 1 the other half and its own.
    vectors = torch.tensor([[0.0], [1.0], [2.0], [2.0], [-2.0], [-2.0], [50.0]])
    labels = torch.tensor([0, 1, 0, 0, 0, 1, 1])
    assert explanatory_power(vectors, labels, (3,))[0] == 1  # 1.5 and 1.5: the first class counts
    labels[4] = 1  # now 1 against 2
    assert explanatory_power(vectors, labels, (3,))[0] == 0


def test_explanatory_power_takes_the_best_k():
    torch.manual_seed(1)
    labels = torch.randint(4, (80,))
    vectors = torch.randn(80, 3) + 0.8 * labels.unsqueeze(1)
    means = [explanatory_power(vectors, labels, (k,)).mean().item() for k in (1, 5, 15)]
    assert explanatory_power(vectors, labels, (1, 5, 15)).mean().item() == max(means)
    assert len(set(means)) == 3


def test_remembered_explanations_are_computed_once():
    asked = []

    def explain(model, x, target):
        asked.append(len(x))
        return relevances(model, x, target)

    model, other = random_table_senn(), random_table_senn(seed=1)
    x, target = torch.rand(6, 6), torch.tensor([0, 1, 2, 0, 1, 2])
    remembered = remembering(explain)
    expected = relevances(model, x, target)
    torch.testing.assert_close(remembered(model, x, target), expected)
    torch.testing.assert_close(remembered(model, x.flip(0), target.flip(0)), expected.flip(0))
    assert asked == [6]
    swapped = target.roll(1)
    torch.testing.assert_close(remembered(model, x, swapped), relevances(model, x, swapped))
    torch.testing.assert_close(remembered(other, x, target), relevances(other, x, target))
    assert asked == [6, 6, 6]
    twice, classes = torch.cat([x[:1], 1 - x[:1], 1 - x[:1]]), torch.tensor([0, 1, 1])
    torch.testing.assert_close(remembered(model, twice, classes), explain(model, twice, classes))
    assert asked[3] == 1


def test_stability_scores_know_a_linear_model():
    model = senn(lambda x: two_classes(2 * x))
    x, noise = torch.rand(4, 3) + 1, torch.randn(4, 3)
    distances = noise_distances(model, relevances, x, targets(x), noise, (0.5,))
    expected = [0.5 * math.dist(n, (0, 0, 0)) / math.dist(v, (0, 0, 0))
                for n, v in zip(noise.tolist(), x.tolist(), strict=True)]  # fmt: skip
    assert distances.flatten().tolist() == pytest.approx(expected, rel=1e-5)


# --- the explanatory power index of documents, by hand and against scikit-learn -----------------

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
