import pandas as pd

from stages import worst_case
from tests.stages.workspace import untrained_compas
from tests.training.grids import run_in_turn


def test_what_is_found_is_within_the_exact_bounds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.core.tasks.run_side_by_side", run_in_turn)
    params = untrained_compas({}, test_examples=50)
    worst_case.main()
    table = pd.read_csv("reports/worst_case/compas_senn.csv")
    assert set(table["robust_reg"]) == {params.robust_reg}
    assert set(table["radius"]) == set(params.certify.table_radii)
    found, exact = (table[table["quantity"] == name]["value"] for name in ("found", "exact"))
    assert len(found) and (found.to_numpy() <= exact.to_numpy()).all()


def test_an_experiment_without_bounds_has_a_table_without_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    untrained_compas({"certify": {"experiments": []}}, test_examples=50)
    worst_case.main()
    table = pd.read_csv("reports/worst_case/compas_senn.csv")
    assert table.empty and "quantity" in table
