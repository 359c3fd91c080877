import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.metrics.intervals import (
    TAILS,
    Interval,
    Z,
    accuracy_interval,
    estimate,
    excludes,
    interval,
    lies_in,
    lost_interval,
    share_interval,
    singles_out,
    together,
    widened,
)

SEEDS = [0.79, 0.80, 0.83]
HERE = Interval(0.765, 0.740, 0.790)


def cells(*accuracies, examples=500):
    """One row a seed."""
    rows = [share_interval(accuracy, examples) for accuracy in accuracies]
    return pd.DataFrame(rows, columns=["accuracy", "accuracy_low", "accuracy_high"])


def half_width(here):
    return (here.high - here.low) / 2


# --- seeds, and what is added to them -----------------------------------------------------------


def test_of_seeds_alone_it_is_students():
    ends = stats.t.interval(0.95, 2, np.mean(SEEDS), stats.sem(SEEDS))
    assert interval(SEEDS) == pytest.approx((np.mean(SEEDS), *ends))


def test_z_is_the_normal_quantile():
    assert stats.norm.ppf(TAILS[1]) == Z


def test_of_equal_seeds_it_is_that_of_the_test_examples():
    assert interval([0.8, 0.8, 0.8], 0.04, 0.03) == pytest.approx((0.8, 0.76, 0.83))


def test_the_two_parts_add_up_in_quadrature():
    half = half_width(interval(SEEDS))
    here = interval(SEEDS, 0.03, 0.04)
    assert here.mean - here.low == pytest.approx(math.hypot(half, 0.03))
    assert here.high - here.mean == pytest.approx(math.hypot(half, 0.04))


def test_one_seed_leaves_test_examples():
    assert interval([0.8], 0.02, 0.01) == pytest.approx((0.8, 0.78, 0.81))
    one = share_interval(0.8, 500)
    assert accuracy_interval(cells(0.8)) == pytest.approx(one)


def welch_satterthwaite(values, standard_error):
    """The half width of a t interval with the degrees of freedom of a sum of variances."""
    training, testing = stats.sem(values) ** 2, standard_error**2
    freedom = (len(values) - 1) * ((training + testing) / training) ** 2
    return stats.t.ppf(0.975, freedom) * math.sqrt(training + testing)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_more_noise_never_makes_it_narrower(seeds):
    values = np.linspace(-1, 1, seeds) * 0.02 + 0.8
    errors = np.linspace(0, 0.05, 60)
    widths = [half_width(interval(values, 1.96 * error, 1.96 * error)) for error in errors]
    assert (np.diff(widths) > 0).all()
    # The usual rule for a sum of variances does not keep to that: its quantile falls too fast.
    rivals = [welch_satterthwaite(values, error) for error in errors]
    assert (np.diff(rivals) < 0).any()


@pytest.mark.parametrize("training", [0.0, 0.005, 0.02, 0.05])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_it_covers_the_truth_as_often_as_it_says(seeds, training):
    generator = np.random.default_rng(0)
    truth, examples, trials, covered = 0.8, 500, 2_000, 0
    of_counts = cells(*(right / examples for right in range(examples + 1)))
    for _ in range(trials):
        # One test set for all seeds: a model of accuracy p gets the easiest share p of it right.
        difficulty = generator.random(examples)
        skills = truth + generator.normal(0, training, seeds)
        right = [int((difficulty < p).sum()) for p in skills]
        here = accuracy_interval(of_counts.iloc[right])
        covered += here.low <= truth <= here.high
    assert covered / trials > 0.935  # three standard errors below .95
    if training in (0.0, 0.05):  # one part alone, whose interval is exact
        assert covered / trials < 0.975


# --- test examples ------------------------------------------------------------------------------


def test_for_several_comparisons_it_is_bonferronis():
    """Of one seed at the level 1 - 5 % / 198; of four seeds Student's t interval at that level."""
    alone = Interval(0.5, 0.5 - Z * 0.1, 0.5 + Z * 0.2)
    z = stats.norm.isf(0.025 / 198)
    row = {"seeds": 1, **alone.columns("score")}
    assert widened(row, "score", 198) == pytest.approx((0.5, 0.5 - z * 0.1, 0.5 + z * 0.2))
    assert widened(row, "score", 1) == pytest.approx(alone)
    scores = [0.3, 0.4, 0.45, 0.5]
    expected = stats.t.interval(1 - 0.05 / 198, 3, np.mean(scores), stats.sem(scores))
    row = {"seeds": 4, **interval(scores).columns("score")}
    assert widened(row, "score", 198)[1:] == pytest.approx(expected)


def test_together_they_miss_as_seldom_as_they_say():
    """20 means of a normal, 400 times over: at least 95 % of the times, all are covered."""
    found = np.random.default_rng(1).normal(0, 1, (400, 20))
    wide = widened({"seeds": 1, **Interval(0, -Z, Z).columns("x")}, "x", 20)
    assert 0.93 <= np.mean((np.abs(found) <= wide.high).all(1)) <= 0.98
    assert np.mean((np.abs(found) <= Z).all(1)) < 0.5


@pytest.mark.parametrize(("right", "examples"), [(0, 50), (3, 40), (431, 500), (50, 50)])
def test_of_a_share_it_is_wilsons(right, examples):
    expected = stats.binomtest(right, examples).proportion_ci(0.95, method="wilson")
    assert share_interval(right / examples, examples) == pytest.approx(
        (right / examples, *expected)
    )


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_accuracies_of_0_and_1_are_not_certain(accuracy, seeds):
    one = share_interval(accuracy, 100)
    low, high = (0.0, 0.037) if accuracy == 0 else (0.963, 1.0)
    assert one == pytest.approx((accuracy, low, high), abs=1e-4)
    assert accuracy_interval(cells(*[accuracy] * seeds, examples=100)) == pytest.approx(one)
    here, _ = estimate(np.full((seeds, 100), accuracy), "share", 100)
    assert here == pytest.approx(one)


@pytest.mark.parametrize(("examples", "accuracies"), [(100, (0.5, 1.0)), (500, (0.9, 1.0))])
def test_a_share_is_covered_as_often_as_it_says(examples, accuracies):
    generator = np.random.default_rng(1)
    truths = generator.uniform(*accuracies, 20_000)
    right = generator.binomial(examples, truths)
    ends = [share_interval(count / examples, examples) for count in range(examples + 1)]
    low, high = np.array(ends)[right, 1:].T
    assert ((low <= truths) & (truths <= high)).mean() == pytest.approx(0.95, abs=0.01)


def test_shares_stay_within_0_and_1():
    here = accuracy_interval(cells(0.999, 0.9))
    assert 0 < here.low < here.mean < here.high == 1


# --- differences --------------------------------------------------------------------------------


def test_what_is_lost_is_paired_by_seed():
    before, after = cells(0.70, 0.80, 0.90), cells(0.75, 0.55, 0.65).set_axis([2, 0, 1])
    # Every seed loses 15 points, from very different starts: only test examples are uncertain.
    here = lost_interval(before, after)
    assert here.mean == pytest.approx(0.15)
    sides = zip((0.70, 0.80, 0.90), (0.55, 0.65, 0.75), strict=True)
    one = [(share_interval(a, 500), share_interval(b, 500)) for a, b in sides]
    reach = np.mean([math.hypot(a.mean - a.low, b.high - b.mean) for a, b in one])
    assert here.low == pytest.approx(0.15 - reach)


def test_one_seeds_loss_is_newcombes_interval():
    # Newcombe 1998, table II, example (a), method 10: 56/70 and 48/80.
    before, after = share_interval(56 / 70, 70), share_interval(48 / 80, 80)
    tables = (
        pd.DataFrame([one, one], columns=["accuracy", "accuracy_low", "accuracy_high"])
        for one in (before, after)
    )
    assert lost_interval(*tables) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_a_difference_of_shares_is_from_minus_1_to_1():
    here = lost_interval(cells(1.0, 1.0, 0.0), cells(0.0, 0.0, 1.0))
    assert here[1:] == (-1, 1)
    assert Interval(0.5, -2, 2).within(0, 1) == (0.5, 0, 1)


# --- any statistic over examples ----------------------------------------------------------------


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_interval_over_examples_is_scipys_bootstrap(statistic):
    values = np.random.default_rng(3).exponential(size=200)
    here, _ = estimate(values[np.newaxis], statistic, 4000)
    function = np.mean if statistic == "mean" else np.median
    expected = stats.bootstrap(
        (values,), function, n_resamples=4000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert here.mean == pytest.approx(function(values))
    width = expected.high - expected.low
    assert here.low == pytest.approx(expected.low, abs=0.1 * width)
    assert here.high == pytest.approx(expected.high, abs=0.1 * width)


@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize(("examples", "undefined"), [(40, 0), (41, 7), (3, 2)])
def test_the_ends_are_those_of_values_that_are_drawn(statistic, examples, undefined):
    values = np.random.default_rng(7).normal(size=(2, examples)).round(1)  # with ties
    values[0, :undefined] = np.nan
    drawn = np.random.default_rng(0).integers(examples, size=(500, examples))
    function = getattr(np, f"nan{statistic}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of resamples without a defined value
        resampled = np.mean([function(row[drawn], axis=1) for row in values], axis=0)
    of_seeds = [function(row) for row in values]
    reach = np.abs(np.nanquantile(resampled, TAILS) - np.mean(of_seeds))
    here, _ = estimate(values, statistic, 500)
    assert here == pytest.approx(interval(of_seeds, *reach), rel=1e-12)


def test_undefined_values_are_left_out_and_counted():
    values = np.random.default_rng(0).normal(size=100)
    gaps = values.copy()
    gaps[::4] = np.nan
    here, undefined = estimate(gaps[np.newaxis], "mean", 2000)
    assert here.mean == pytest.approx(np.nanmean(gaps))
    assert undefined == 25
    # As wide as that of the 75 values alone.
    width = 2 * 1.96 * np.nanstd(gaps) / math.sqrt(75)
    assert here.high - here.low == pytest.approx(width, rel=0.1)
    right = np.where(np.isnan(gaps), np.nan, gaps > 0)[np.newaxis]
    share = np.nanmean(right)
    assert estimate(right, "share", 100)[0] == pytest.approx(share_interval(share, 75))
    nothing, undefined = estimate(np.full((2, 5), np.nan), "median", 100)
    assert all(map(math.isnan, nothing)) and undefined == 10


def test_examples_are_the_same_for_all_seeds():
    values = np.random.default_rng(1).normal(size=200)
    # What one seed loses by a draw, the other gains: means over seeds never vary.
    here, _ = estimate(np.stack([values, -values + 2 * values.mean()]), "mean", 500)
    assert here == pytest.approx((values.mean(),) * 3)


def test_seeds_add_students_t():
    values = np.array([[0.5] * 40, [0.7] * 40, [0.6] * 40])
    assert estimate(values, "mean", 200)[0] == pytest.approx(interval([0.5, 0.7, 0.6]))


# --- what intervals decide, on cases worked out by hand -----------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.70, 0.73, True),
        (0.70, 0.74, False),  # it touches the interval
        (0.75, 0.76, False),
        (0.70, 0.80, False),
        (0.79, 0.80, False),
        (0.791, 0.80, True),
        (0.776, None, False),
        (0.586, None, True),
    ],
)
def test_what_lies_outside_is_excluded(low, high, expected):
    assert excludes(HERE, low, high) == expected


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.776, math.inf, "undecided"),  # 74.0 to 79.0 against at least 77.6
        (0.73, math.inf, "supported"),
        (0.80, math.inf, "not supported"),
        (-math.inf, 0.79, "undecided"),  # touches
        (-math.inf, 0.7901, "supported"),
        (0.75, 0.78, "undecided"),
        (0.73, 0.80, "supported"),
        (0.60, 0.70, "not supported"),
    ],
)
def test_an_interval_on_both_sides_of_a_bound_is_undecided(low, high, outcome):
    assert lies_in(HERE, low, high) == outcome


@pytest.mark.parametrize(
    ("predicted", "rivals", "outcome"),
    [
        (0.76, (0.586,), "supported"),
        (0.76, (0.586, 0.776), "undecided"),
        (0.586, (0.776,), "not supported"),
        (0.586, (0.9,), "not supported"),
        (0.76, (), "supported"),
    ],
)
def test_a_number_is_singled_out_if_its_rivals_are_excluded(predicted, rivals, outcome):
    assert singles_out(HERE, predicted, rivals) == outcome


def test_one_failure_is_enough():
    assert together(["supported", "supported"]) == "supported"
    assert together(["supported", "undecided"]) == "undecided"
    assert together(["undecided", "not supported"]) == "not supported"
    assert together(["undecided", "not determinable", "supported"]) == "not determinable"
