from pathlib import Path

import pandas as pd
import pytest

from pipeline.core.errors import PipelineError
from pipeline.rivals import measure
from pipeline.rivals.methods import rivals_for
from stages import rivals
from tests.stages.workspace import forwards_then_backwards, untrained_compas

OUT = Path("reports/rivals/compas_senn.csv")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with params.yaml, a prepared dataset and untrained cells of two seeds."""
    monkeypatch.chdir(tmp_path)
    settings = {"experiments": ["compas_senn"], "seeds": 9, "anchors": 5}
    untrained_compas({"seeds": [2, 1], "rivals": settings}, test_examples=30)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Tasks are done here, in an order of their own."""
    measure._arena.cache_clear()
    monkeypatch.setattr("pipeline.core.tasks.run_side_by_side", forwards_then_backwards())


def test_the_table_and_the_same_bytes_in_any_order(workspace):
    rivals.main()
    table = pd.read_csv(OUT)
    assert list(table.columns[:2]) == ["experiment", "robust_reg"]
    assert set(table["method"]) == set(rivals_for(False))
    assert set(table["seeds"]) == {2}  # all there are
    of_eq_5 = table[table["measure"] == "local"]
    assert set(of_eq_5["setting"]) == {"paper", "fair", "gradient"}
    assert set(of_eq_5["examples"]) == {5}
    assert (of_eq_5["value_low"] <= of_eq_5["value"]).all()
    here = OUT.read_bytes()
    OUT.unlink()
    measure._arena.cache_clear()
    rivals.main()
    assert OUT.read_bytes() == here


def test_a_missing_cell_is_named(workspace):
    gone = Path("models/compas_senn/lambda=0.0001/seed=2.safetensors")
    gone.unlink()
    with pytest.raises(PipelineError, match=str(gone)):
        rivals.main()
    assert not OUT.exists()


def test_experiments_without_the_lambda_are_left_out(workspace):
    text = (
        Path("params.yaml")
        .read_text()
        .replace("robust_reg: 0.0001\n  rounds", "robust_reg: 0.5\n  rounds")
    )
    Path("params.yaml").write_text(text)
    rivals.main()
    assert not OUT.exists()
