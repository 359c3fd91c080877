import pandas as pd
import pytest

from pipeline.data.compas import FILE_NAME, SCALES, derive_table, prepare
from pipeline.data.registry import caveat, scales
from pipeline.data.scales import Scale
from tests.conftest import REPOSITORY


@pytest.mark.parametrize("power", [1, 0.5, 2])
def test_a_scale_and_back(power):
    scale = Scale(2, 10, power)
    assert scale.scaled(4) == pytest.approx(0.25**power)
    assert scale.value(scale.scaled(4)) == pytest.approx(4)
    assert (scale.scaled(2), scale.scaled(10)) == (0, 1)


def test_only_a_linear_scale_goes_below_its_low_end():
    assert Scale(2, 10).scaled(-6) == -1 and Scale(2, 10).value(-1) == -6
    with pytest.raises(ValueError, match="must be ≥ 2"):
        Scale(2, 10, 0.5).scaled(1)


def test_compas_counts_priors_as_it_is_prepared(raw_data):
    counts = derive_table(pd.read_csv(raw_data("compas") / FILE_NAME))["Number_of_Priors"]
    possible = {float(f"{SCALES['Number_of_Priors'].scaled(n):.6f}") for n in counts.unique()}
    table = prepare(raw_data("compas"), split_seed=0).table
    assert set(table["Number_of_Priors"].round(6)) <= possible


def test_what_modules_say_and_leave_out():
    assert scales("compas") == {"Number_of_Priors": Scale(0, 38, 0.5)} and scales("mnist_5k") == {}
    assert "never to judge a person" in caveat("compas") and caveat("mnist_5k") == ""


def test_the_documentation_quotes_the_caveat():
    text = (REPOSITORY / "docs/data.md").read_text(encoding="utf-8")
    assert caveat("compas") in " ".join(text.split())
