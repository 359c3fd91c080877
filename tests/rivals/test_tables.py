import numpy as np
import pytest

from pipeline.metrics.intervals import interval
from pipeline.rivals.methods import CONTRIBUTION, SENN
from pipeline.rivals.tables import table


def made_up(factor, seed, examples=40):
    """Ratios `factor` times those of another method of the same seed, and correlations."""
    generator = np.random.default_rng(seed)
    ratios, largest = generator.lognormal(size=examples), generator.lognormal(size=30)
    return {
        "length/": np.array([2.0 * factor]),
        "local/fair": factor * ratios,
        "discrete/fair": factor * np.where(largest > 0.5, largest, np.nan),
        "faithfulness/fair": generator.uniform(0, 0.5, examples) + factor / 100,
    }


@pytest.fixture
def rows():
    factors = {SENN: 1.0, CONTRIBUTION: 4.0, "lime": 10.0}
    measured = {name: [made_up(one, seed) for seed in range(3)] for name, one in factors.items()}
    made = table(measured, 200).set_index(["measure", "setting", "scale", "method"])
    return made, measured


def test_a_row_for_every_measure_scale_and_method(rows):
    made, measured = rows
    assert len(made) == len(measured) * (2 + 2 + 1)
    assert set(made["seeds"]) == {3}
    assert made.loc["local", "examples"].unique().tolist() == [40]


def test_values_are_medians_largest_and_means(rows):
    made, measured = rows
    of_seeds = measured["lime"]
    expected = {
        ("local", "raw"): np.mean([np.median(one["local/fair"]) for one in of_seeds]),
        ("local", "relative"): np.mean([np.median(one["local/fair"]) / 20 for one in of_seeds]),
        ("discrete", "raw"): np.mean([np.nanmax(one["discrete/fair"]) for one in of_seeds]),
        ("faithfulness", "raw"): np.mean([one["faithfulness/fair"].mean() for one in of_seeds]),
    }
    for (measure, scale), value in expected.items():
        row = made.loc[(measure, "fair", scale, "lime")]
        assert row["value"] == pytest.approx(value)
        assert row["value_low"] < value < row["value_high"]
    largest = [np.nanmax(one["discrete/fair"]) for one in of_seeds]
    row = made.loc[("discrete", "fair", "raw", "lime")]
    assert (row["value_low"], row["value_high"]) == pytest.approx(interval(largest)[1:])
    assert row["undefined"] == sum(np.isnan(one["discrete/fair"]).sum() for one in of_seeds)


def test_behind_is_known(rows):
    made, _ = rows
    for measure in ("local", "discrete"):
        raw = made.loc[(measure, "fair", "raw", "lime")]
        assert raw[f"behind_{SENN}"] == pytest.approx(1)  # ten times as unstable
        assert raw[f"behind_{CONTRIBUTION}"] == pytest.approx(np.log10(2.5))
        assert raw[f"behind_{SENN}_high"] == pytest.approx(1)  # at every anchor
        relative = made.loc[(measure, "fair", "relative", "lime")]
        assert relative[f"behind_{SENN}"] == pytest.approx(0)  # as its explanations are as long
    faithful = made.loc[("faithfulness", "fair", "raw", "lime")]
    assert faithful[f"behind_{SENN}"] == pytest.approx(-0.09)
    assert made.loc[("local", "fair", "raw", SENN), f"behind_{SENN}"] == 0


def test_a_constant_explanation_has_the_least_ratio_that_counts():
    flat = {"length/": np.array([0.0]), "local/fair": np.zeros(5)}
    steep = {"length/": np.array([1.0]), "local/fair": np.ones(5)}
    made = table({SENN: [flat] * 2, CONTRIBUTION: [flat] * 2, "lime": [steep] * 2}, 100)
    behind = made[made["scale"] == "raw"].set_index("method")[f"behind_{SENN}"]
    assert behind.to_dict() == {SENN: 0, CONTRIBUTION: 0, "lime": pytest.approx(6)}


def test_what_is_undefined_throughout_stays_so():
    one = {"length/": np.ones(1), "discrete/fair": np.full(4, np.nan)}
    made = table({SENN: [one] * 2, CONTRIBUTION: [one] * 2}, 100)
    assert made[["value", "value_low", f"behind_{SENN}", "lower_quartile"]].isna().all(axis=None)
    assert set(made["undefined"]) == {8}
