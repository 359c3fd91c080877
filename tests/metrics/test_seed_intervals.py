import math

import numpy as np
import pytest
from scipy import stats

from pipeline.metrics.seed_intervals import seed_interval


def test_seed_interval_is_students():
    values = [0.80, 0.81, 0.78, 0.79]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert seed_interval(values) == pytest.approx((np.mean(values), low, high))


def test_with_equal_seeds_only_the_test_set_is_left():
    assert seed_interval([0.8, 0.8, 0.8], 0.04, 0.04) == pytest.approx((0.8, 0.76, 0.84))


def test_test_sets_variance_is_added_to_that_of_seeds():
    # Equal variances: twice the variance, (n - 1) · 2² degrees of freedom.
    scatter = 0.01 / math.sqrt(3)
    half = stats.norm.ppf(0.975) * scatter
    here = seed_interval([0.79, 0.80, 0.81], half, half)
    expected = stats.t.ppf(0.975, 8) * math.sqrt(2) * scatter
    assert here == pytest.approx((0.8, 0.8 - expected, 0.8 + expected))


def test_one_seed_has_no_interval():
    assert seed_interval([0.8]) is None
    assert seed_interval([]) is None


def test_the_interval_covers_the_truth_as_often_as_it_says():
    # Accuracies of three seeds on one shared test set: both kinds of chance, known truth.
    generator = np.random.default_rng(0)
    truth, seeds, examples, training = 0.8, 3, 1_000, 0.02
    binomial = math.sqrt(truth * (1 - truth) / examples)
    covered = 0
    for _ in range(3_000):
        shared = generator.normal(0, binomial)
        values = truth + shared + generator.normal(0, training, seeds)
        here = seed_interval(values.tolist(), 1.96 * binomial, 1.96 * binomial)
        covered += here.low <= truth <= here.high
    assert 0.935 < covered / 3_000 < 0.97
