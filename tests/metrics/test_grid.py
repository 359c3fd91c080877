import math

import pandas as pd
import pytest

from pipeline.core.cells import Cell
from pipeline.metrics.grid import cells_table, lambda_table
from pipeline.metrics.headline import headline
from pipeline.metrics.intervals import accuracy_interval, share_interval
from tests.metrics.test_evaluation import COLUMNS

SUMMARY = ["accuracy", "accuracy_std", *COLUMNS[1:]]


def evaluation(accuracy, **metrics):
    here = dict(zip(COLUMNS[:3], share_interval(accuracy, 200), strict=True))
    return dict.fromkeys(COLUMNS, 0.5) | here | metrics


@pytest.fixture
def evaluations():
    """Two λ of two seeds, in no particular order."""
    chosen = {"lipschitz_local": 0.6, "faithfulness_relevance": 0.7, "test_robustness_loss": 0.8}
    return {
        Cell("x", 0.1, 7): evaluation(0.6, faithfulness_relevance=math.nan),
        Cell("x", 1e-4, 9): evaluation(
            0.9,
            lipschitz_local_max=3.0,
            lipschitz_local_undefined=4,
            concept_sparsity=0.2,
            **chosen,
        ),
        Cell("x", 1e-4, 7): evaluation(
            0.8,
            lipschitz_local_max=5.0,
            lipschitz_local_undefined=1,
            concept_sparsity=math.nan,
            **chosen,
        ),
        Cell("x", 0.1, 9): evaluation(0.5, faithfulness_relevance=math.nan),
    }


def test_a_row_a_cell_by_lambda_and_seed(evaluations):
    table = cells_table(evaluations)
    assert list(table) == ["experiment", "robust_reg", "seed", *COLUMNS]
    assert table["robust_reg"].tolist() == [1e-4, 1e-4, 0.1, 0.1]
    assert table["seed"].tolist() == [7, 9, 7, 9]
    assert table["accuracy"].tolist() == [0.8, 0.9, 0.6, 0.5]


def test_a_row_a_lambda_over_seeds(evaluations):
    table = lambda_table(evaluations)
    assert list(table) == ["experiment", "robust_reg", "seeds", *SUMMARY]
    assert table["robust_reg"].tolist() == [1e-4, 0.1]
    low, _ = table.to_dict("records")
    assert low["seeds"] == 2
    assert low["accuracy"] == pytest.approx(0.85)
    assert low["accuracy_std"] == pytest.approx(0.1 / math.sqrt(2))
    assert low["lipschitz_local_max"] == 5
    assert low["lipschitz_local_undefined"] == 2.5
    assert low["concept_sparsity"] == 0.2  # of the seed at which it is defined
    expected = accuracy_interval(cells_table(evaluations).iloc[:2])
    assert (low["accuracy_low"], low["accuracy_high"]) == expected[1:]


def test_order_of_evaluation_does_not_matter(evaluations):
    reversed_ = dict(reversed(evaluations.items()))
    pd.testing.assert_frame_equal(cells_table(evaluations), cells_table(reversed_))
    pd.testing.assert_frame_equal(lambda_table(evaluations), lambda_table(reversed_))


def test_headline(evaluations):
    table = lambda_table(evaluations)
    interval = accuracy_interval(cells_table(evaluations).iloc[:2])
    assert headline(table, 1e-4) == pytest.approx(
        {
            "accuracy": 0.85,
            "accuracy_half_width": (interval.high - interval.low) / 2,
            "lipschitz_local": 0.6,
            "faithfulness": 0.7,
            "test_robustness_loss": 0.8,
            "cross_entropy": 0.5,
            "accuracy_at_lambda_max": 0.55,
        }
    )
    assert headline(table, 0.1)["accuracy"] == pytest.approx(0.55)


def test_undefined_is_null_never_nan(evaluations):
    metrics = headline(lambda_table(evaluations), 0.1)
    assert metrics["faithfulness"] is None
    assert None not in [value for name, value in metrics.items() if name != "faithfulness"]
