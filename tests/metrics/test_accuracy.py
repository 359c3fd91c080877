import numpy as np
import pytest
import torch
from scipy import stats

from pipeline.data.dataset import Split
from pipeline.metrics.accuracy import accuracy_interval, correct, predict
from tests.metrics.models import random_table_senn, senn, two_classes


def test_every_example_counts():
    # Predicts class 0 where the feature is positive; 257 is no multiple of any batch size.
    model = senn(lambda x: two_classes(torch.ones_like(x)))
    x = torch.ones(257, 1)
    x[::3] = -1
    y = torch.zeros(257, dtype=torch.int64)
    assert correct(model, Split(x, y)).sum() == 171
    y[-1] = 1  # the last example, in an incomplete batch
    assert correct(model, Split(x, y)).sum() == 170


def test_prediction_is_the_largest_logit():
    model, x = random_table_senn(), torch.rand(230, 6)
    assert torch.equal(predict(model, x), model(x).logits.argmax(1))


def draw(accuracies, examples, seed=0):
    generator = np.random.default_rng(seed)
    return generator.random((len(accuracies), examples)) < np.array(accuracies)[:, None]


@pytest.mark.parametrize(("accuracy", "examples"), [(0.8, 500), (0.97, 2000)])
def test_one_seed_agrees_with_scipy(accuracy, examples):
    answers = draw([accuracy], examples)
    expected = stats.bootstrap(
        (answers[0],), np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    assert accuracy_interval(answers, 20_000) == pytest.approx(tuple(expected), abs=1.5 / examples)


def test_one_seed_agrees_with_the_normal_approximation():
    answers = draw([0.7], 10_000)
    mean = answers.mean()
    half = 1.96 * np.sqrt(mean * (1 - mean) / 10_000)
    assert accuracy_interval(answers, 20_000) == pytest.approx((mean - half, mean + half), abs=4e-4)


def test_of_seeds_alone_it_is_students_interval():
    # Every example is got right by 2 models of 4: no resample of examples changes the mean.
    right = [[1, 1, 0, 0]] * 40 + [[0, 0, 1, 1]] * 20 + [[1, 0, 1, 0]] * 30 + [[0, 1, 0, 1]] * 10
    answers = np.array(right, dtype=bool).T
    accuracies = answers.mean(1)
    expected = stats.t.interval(0.95, 3, accuracies.mean(), stats.sem(accuracies))
    assert accuracy_interval(answers, 10_000) == pytest.approx(expected, rel=2e-3)
    expected = stats.t.interval(0.8, 3, accuracies.mean(), stats.sem(accuracies))
    assert accuracy_interval(answers, 10_000, level=0.8) == pytest.approx(expected, rel=2e-3)


def test_both_kinds_of_chance_add_up():
    answers = draw([0.78, 0.82, 0.8, 0.84, 0.76], 400)
    generator = np.random.default_rng(5)
    columns = generator.integers(400, size=(40_000, 400))
    by_example = answers.mean(0)[columns].mean(1)
    by_seed = stats.sem(answers.mean(1)) * generator.standard_t(4, 40_000)
    expected = np.quantile(by_example + by_seed, [0.025, 0.975])
    assert accuracy_interval(answers, 40_000) == pytest.approx(tuple(expected), abs=2e-3)


def test_covers_at_its_nominal_rate_where_seeds_differ():
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        accuracies = generator.normal(0.8, 0.03, size=3)
        low, high = accuracy_interval(draw(accuracies, 5_000, seed=trial), 1_000)
        covered += low <= 0.8 <= high
    assert covered / 400 > 0.92  # three standard errors below .95


def test_stays_within_0_and_1():
    answers = draw([0.999, 0.9], 300)
    low, high = accuracy_interval(answers, 2_000)
    assert 0 <= low < answers.mean() < high == 1
    assert accuracy_interval(np.ones((3, 50), dtype=bool), 500) == (1, 1)


def test_depends_on_the_seed_alone():
    answers = draw([0.8, 0.7], 300)
    assert accuracy_interval(answers, 500) == accuracy_interval(answers[::-1, ::-1], 500)
    assert accuracy_interval(answers, 500, seed=1) != accuracy_interval(answers, 500, seed=2)
