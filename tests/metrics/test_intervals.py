import math

import numpy as np
import pytest
from scipy import stats

from pipeline.metrics.intervals import estimate, seed_errors


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_interval_over_examples_is_scipys_bootstrap(statistic):
    values = np.random.default_rng(3).exponential(size=200)
    found = estimate(values[np.newaxis], statistic, 4000)
    function = np.mean if statistic == "mean" else np.median
    expected = stats.bootstrap(
        (values,), function, n_resamples=4000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert found.value == pytest.approx(function(values))
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.1 * width)
    assert found.high == pytest.approx(expected.high, abs=0.1 * width)


def test_undefined_values_are_left_out_and_counted():
    values = np.random.default_rng(0).normal(size=100)
    gaps = values.copy()
    gaps[::4] = np.nan
    found = estimate(gaps[np.newaxis], "mean", 2000)
    assert found.value == pytest.approx(np.nanmean(gaps))
    assert found.undefined == 25
    # As wide as that of the 75 values alone.
    width = 2 * 1.96 * np.nanstd(gaps) / math.sqrt(75)
    assert found.high - found.low == pytest.approx(width, rel=0.1)
    nothing = estimate(np.full((2, 5), np.nan), "median", 100)
    assert math.isnan(nothing.value) and math.isnan(nothing.low) and nothing.undefined == 10


def test_examples_are_the_same_for_all_seeds():
    values = np.random.default_rng(1).normal(size=200)
    # What one seed loses by a draw, the other gains: means over seeds never vary.
    found = estimate(np.stack([values, -values + 2 * values.mean()]), "mean", 500)
    assert (found.low, found.high) == pytest.approx((values.mean(), values.mean()))


def test_seeds_add_students_t():
    values = np.array([[0.5] * 40, [0.7] * 40, [0.6] * 40])
    found = estimate(values, "mean", 20000)
    half = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.6 - half, 0.6 + half), rel=0.01)
    assert seed_errors(np.array([0.5]), 100, np.random.default_rng(0)) == 0
