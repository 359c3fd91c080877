import pandas as pd
import pytest

from pipeline.claims import wording
from pipeline.metrics.intervals import Interval


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.5], "0.500"),
        ([0.272, 0.230, 0.310], "0.27 ± 0.04"),
        ([18.3, 19.6, 20.9], "19.6 ± 1.3"),  # a leading 1 keeps a second digit
        ([60.0, 68.0, 76.0], "68 ± 8"),
        ([0.3, 0.3, 0.3], "0.300"),
        ([0.2115270, 0.2115271], "0.212"),  # a spread too small to see
        ([-1.5, -0.5], "−1.0 ± 0.7"),
        ([0.000107, 0.000220, 0.000333], "(2.2 ± 1.1)·10⁻⁴"),  # not 0.000220
        ([1e-9, 4e-9, -2e-9], "(1 ± 3)·10⁻⁹"),
        ([0.0, 3e-6, 9e-6], "(4 ± 5)·10⁻⁶"),
        ([0.0012, 0.0014], "0.00130 ± 0.00014"),
        ([16400.0, 1500.0, 200.0], "6000 ± 9000"),  # not 6033 ± 9000
        ([0.0, 30.0, 186.0], "70 ± 100"),
        ([None, 0.25], "0.250"),
        ([None, None], "–"),
    ],
)
def test_mean_and_spread(values, text):
    assert wording.mean_and_spread(pd.Series(values, dtype=float)) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.272, 0.230, 0.310], "0.27 ± 0.04"),
        ([16400.0, 1500.0, 200.0], "1500 (200 to 16400)"),  # not 6000 ± 9000
        ([0.0, 30.0, 186.0, None], "30.0 (0 to 186)"),
        ([-30.0, 0.0, 186.0], "50 ± 120"),
        ([0.25], "0.250"),
        ([None], "–"),
    ],
)
def test_what_scatters_widely_has_a_median_and_a_range(values, text):
    assert wording.typical(pd.Series(values, dtype=float)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.000123456, "0.000123"),
        (1234.5, "1234"),
        (-0.5, "−0.500"),
        (3.2e-9, "3.20·10⁻⁹"),
        (-1e-12, "−1.00·10⁻¹²"),
    ],
)
def test_significant(value, text):
    assert wording.significant(value) == text


def test_percent_and_spread():
    assert wording.percent_and_spread(pd.Series([0.966, 0.968, 0.970])) == "96.8 ± 0.2"
    assert wording.percent_and_spread(pd.Series([0.5])) == "50.0"


def test_probabilities_do_not_round_to_certainty():
    shares = (0.971, 0.9994, 0.99951, 1.0)
    texts = ["97.1 %", "99.9 %", "more than 99.9 %", "100.0 %"]
    assert [wording.probability(share) for share in shares] == texts


def test_words():
    assert wording.percent(0.8094) == "80.9 %"
    assert wording.bounds(Interval(0.1, -0.012, 0.234), 100, 1) == "−1.2 to 23.4"
    assert wording.listed([]) == ""
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.lambdas([0, 1e-5, 1e-4, 2e-6, 1]) == "0, 10⁻⁵, 0.0001, 2·10⁻⁶ and 1"
    assert (wording.counted(1, "seed"), wording.counted(3, "seed")) == ("1 seed", "3 seeds")
