"""The rule by which intervals decide, on cases worked out by hand."""

import math

import pytest

from pipeline.metrics.decisions import excludes, lies_in, singles_out, together
from pipeline.metrics.intervals import Interval

HERE = Interval(0.765, 0.740, 0.790)


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
