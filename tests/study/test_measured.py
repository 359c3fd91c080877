import math

import numpy as np
import pytest
from scipy import stats

from pipeline.study.definitions import Definition
from pipeline.study.measured import AccuracyCurves, of_draws
from tests.study.tables import LAMBDAS, study_table

REVIEW, PAPER = Definition("review2020", "batch"), Definition("paper2018", "example")
CELLS = study_table(
    {REVIEW: lambda v: 0.8 - 0.1 * v, PAPER: lambda v: 0.7 - 0.3 * v},
    seeds=(-0.02, 0.0, 0.005, 0.015),
)


def test_points_keep_the_order_of_the_table():
    curves = AccuracyCurves(CELLS, 100, 10)
    assert [definition for definition, _ in curves.definitions()] == [REVIEW, PAPER]
    assert curves.points["robust_reg"].tolist() == [*LAMBDAS, *LAMBDAS]


def test_first_row_is_what_was_measured():
    expected = CELLS.groupby(["variant", "reduction", "robust_reg"], sort=False)["accuracy"].mean()
    np.testing.assert_allclose(AccuracyCurves(CELLS, 100, 10).accuracy[0], expected)


def test_draws_are_students_intervals():
    """Their quantiles are those of the textbook's interval of a mean, S - 1 degrees of freedom."""
    drawn = AccuracyCurves(CELLS, 100, 40_000).accuracy
    accuracies = CELLS[(CELLS["variant"] == "review2020") & (CELLS["robust_reg"] == 1e-3)][
        "accuracy"
    ]
    low, high = stats.t.interval(0.95, 3, accuracies.mean(), accuracies.std(ddof=1) / 2)
    here = of_draws(drawn[:, 1])
    assert here.mean == pytest.approx(accuracies.mean())
    assert (here.low, here.high) == pytest.approx((low, high), abs=0.02 * (high - low))


def test_comparisons_share_what_an_interval_of_draws_may_miss():
    values = np.concatenate([[7.0], np.arange(1001.0)])
    assert of_draws(values) == pytest.approx((7, 25, 975))
    assert of_draws(values, comparisons=5) == pytest.approx((7, 5, 995))


def test_definitions_share_the_luck_of_their_seeds():
    """All curves here have the same seeds' errors: what they lose is certain."""
    lost = AccuracyCurves(CELLS, 100, 50).lost([1e-2, 1.0])
    np.testing.assert_allclose(lost[REVIEW], np.tile([0.00099, 0.09999], (51, 1)), atol=1e-12)
    np.testing.assert_allclose(lost[PAPER], np.tile([0.00297, 0.29997], (51, 1)), atol=1e-12)


def test_axis_per_example_multiplies_batches_by_the_root_of_their_size():
    curves = AccuracyCurves(CELLS, 400, 1)
    weight, per_example = 10 ** curves.axis("robust_reg")[0], 10 ** curves.axis("per_example")[0]
    np.testing.assert_allclose(weight, [*LAMBDAS, *LAMBDAS])
    np.testing.assert_allclose(per_example / weight, [20] * 5 + [1] * 5)


def test_measured_axis_ends_at_a_ten_thousandth_of_the_largest():
    cells = CELLS.assign(measured=CELLS["robust_reg"].where(CELLS["robust_reg"] > 1e-3, 0.0) * 7)
    axis = AccuracyCurves(cells, 100, 1).axis("measured")[0]
    np.testing.assert_allclose(10**axis, [7e-4, 7e-4, 0.07, 0.7, 7] * 2)


def test_undefined_measures_stay_undefined():
    is_gone = (CELLS["robust_reg"] == 1.0) & (CELLS["seed"] == 0)
    axis = AccuracyCurves(CELLS.assign(measured=np.where(is_gone, math.nan, 2.0)), 100, 1).axis(
        "measured"
    )
    assert np.isnan(axis).all(0).tolist() == [False, False, False, False, True] * 2
