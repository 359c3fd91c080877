"""What stage `explain` writes of the worst case."""

import pandas as pd
import pytest

from stages import explain
from tests.stages.workspace import untrained_compas

NOTHING = {"explain": {"experiments": []}}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch, in_this_process):
    monkeypatch.chdir(tmp_path)


def test_what_is_found_is_within_the_exact_bounds():
    params = untrained_compas(NOTHING, test_examples=50)
    explain.main()
    table = pd.read_csv("reports/worst_case/compas_senn.csv")
    assert set(table["robust_reg"]) == {params.robust_reg}
    assert set(table["radius"]) == set(params.certify.table_radii)
    found, exact = (table[table["quantity"] == name]["value"] for name in ("found", "exact"))
    assert len(found) and (found.to_numpy() <= exact.to_numpy()).all()


def test_an_experiment_without_bounds_has_a_table_without_rows():
    untrained_compas(NOTHING | {"certify": {"experiments": []}}, test_examples=50)
    explain.main()
    table = pd.read_csv("reports/worst_case/compas_senn.csv")
    assert table.empty and "quantity" in table
