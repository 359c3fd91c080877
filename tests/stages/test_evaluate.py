import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from pipeline.core.dataset import load_dataset
from pipeline.core.errors import PipelineError
from pipeline.metrics.baselines import linear_accuracy
from pipeline.models.building import Inputs, build_senn
from stages import evaluate
from tests.conftest import REPOSITORY
from tests.processes import ONE_CORE
from tests.stages.workspace import untrained_compas

pytestmark = pytest.mark.usefixtures("in_this_process")

OUTS = ("reports/cells/compas_senn.csv", "reports/lambda/compas_senn.csv")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with params.yaml, a prepared dataset and untrained cells of 2 λ × 2 seeds."""
    monkeypatch.chdir(tmp_path)
    changes = {"lambda_grid": [0.0001, 0.1], "seeds": [2, 1]}
    return untrained_compas(changes, test_examples=130)


def run(monkeypatch, experiment="compas_senn"):
    """The stage."""
    monkeypatch.setattr("sys.argv", ["evaluate", experiment])
    evaluate.main()


def test_writes_cells_and_lambdas(workspace, monkeypatch, capsys):
    run(monkeypatch)
    cells, lambdas = (pd.read_csv(path) for path in OUTS)
    assert cells["robust_reg"].tolist() == [1e-4, 1e-4, 0.1, 0.1]
    assert cells["seed"].tolist() == [1, 2, 1, 2]
    assert lambdas["seeds"].tolist() == [2, 2]
    assert lambdas["accuracy"][0] == pytest.approx(cells["accuracy"][:2].mean())

    test = load_dataset(Path("data/prepared/compas")).test
    experiment = workspace.experiment("compas_senn")
    model = build_senn("compas_senn", experiment, workspace.vae, Inputs((11,), 0.0, 1.0), 1).eval()
    accuracy = (model(test.x).logits.argmax(1) == test.y).float().mean().item()
    assert cells["accuracy"][0] == pytest.approx(accuracy)
    linear = linear_accuracy(load_dataset(Path("data/prepared/compas")))
    assert 0.5 < linear < 1  # classes are by a plane that is not through 0
    for table in (cells, lambdas):
        assert table["linear_accuracy"].tolist() == pytest.approx(len(table) * [linear])
    lines = sorted(capsys.readouterr().out.splitlines())
    assert lines[0] == f"compas_senn λ=0.0001 seed=1: test accuracy {accuracy:.4f}"
    assert len(lines) == 4


def test_same_bytes_in_every_process(workspace, monkeypatch):
    run(monkeypatch)
    here = [Path(path).read_bytes() for path in OUTS]
    for path in OUTS:
        Path(path).unlink()
    subprocess.run(
        [sys.executable, "-m", "stages.evaluate", "compas_senn"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": "12345"},
        preexec_fn=partial(os.sched_setaffinity, 0, ONE_CORE),
        check=True,
    )
    assert [Path(path).read_bytes() for path in OUTS] == here


def test_a_missing_cell_is_named_and_nothing_is_written(workspace, monkeypatch):
    gone = Path("models/compas_senn/lambda=0.1/seed=2.safetensors")
    gone.unlink()
    with pytest.raises(PipelineError, match=str(gone)):
        run(monkeypatch)
    assert not Path("reports").exists()


def test_an_unknown_experiment_gets_a_hint(workspace, monkeypatch):
    with pytest.raises(PipelineError, match="did you mean compas_senn"):
        run(monkeypatch, "compas_sen")
