from pathlib import Path

import pandas as pd
import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.explanations.methods import METHODS
from pipeline.metrics import comparison
from pipeline.metrics.scores import CURVES, SCORES
from stages import explain
from tests.stages.workspace import forwards_then_backwards, untrained_compas

OUTS = [f"reports/{folder}/compas_senn.csv" for folder in ("methods", "methods_curves")]
SMALL = {
    "seeds": 1,
    "examples": 4,
    "costly_examples": 2,
    "curve_steps": 3,
    "lipschitz_neighbours": 1,
    "lipschitz_points": 1,
    "noise_levels": [0.5],
    "power_neighbours": [1],
}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with params.yaml, a prepared dataset and untrained cells of two seeds."""
    monkeypatch.chdir(tmp_path)
    changes = {"seeds": [2, 1], "explain": SMALL, "evaluate": {"bootstrap": 100}}
    changes["certify"] = {"experiments": []}
    untrained_compas(changes, test_examples=30)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Tasks are done here, in an order of their own."""
    comparison._examination.cache_clear()
    monkeypatch.setattr("pipeline.core.tasks.run_side_by_side", forwards_then_backwards())


def test_every_method_gets_every_score_and_the_same_bytes_in_any_order(workspace, capsys):
    explain.main()
    scores, curves = (pd.read_csv(path) for path in OUTS)
    for table in (scores, curves):
        assert list(table.columns[:2]) == ["experiment", "robust_reg"]
        assert set(table["experiment"]) == {"compas_senn"} and set(table["robust_reg"]) == {1e-4}
    assert scores["method"].tolist() == list(METHODS)
    assert set(scores["seeds"]) == {1}  # the first
    costly = [METHODS[name].is_costly for name in scores["method"]]
    assert scores["examples"].tolist() == [2 if few else 4 for few in costly]
    for name in SCORES:
        known = scores[name].notna()
        assert known.all() or (scores[f"{name}_undefined"][~known] > 0).all(), name
        between = scores[f"{name}_low"].le(scores[name] + 1e-9)
        assert (between & scores[f"{name}_high"].ge(scores[name] - 1e-9))[known].all(), name
    assert set(curves["curve"]) == set(CURVES)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(METHODS)
    assert "compas_senn λ=0.0001 seed=2: lime, 2 examples" in lines
    assert not any("seed=1" in line for line in lines)

    here = [Path(path).read_bytes() for path in OUTS]
    for path in OUTS:
        Path(path).unlink()
    comparison._examination.cache_clear()
    torch.manual_seed(12345)
    explain.main()
    assert [Path(path).read_bytes() for path in OUTS] == here


def test_nothing_to_compare_makes_empty_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    untrained_compas({"explain": {"experiments": []}}, test_examples=30)
    explain.main()
    for path in map(Path, OUTS):
        assert list(path.parent.iterdir()) == []


def test_a_missing_cell_is_named_and_nothing_is_written(workspace):
    gone = Path("models/compas_senn/lambda=0.0001/seed=2.safetensors")
    gone.unlink()
    with pytest.raises(PipelineError, match=str(gone)):
        explain.main()
    assert not Path("reports").exists()
