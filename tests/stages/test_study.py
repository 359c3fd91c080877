import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline.core.errors import PipelineError
from pipeline.metrics import evaluation
from pipeline.metrics.baselines import REFERENCES
from pipeline.study.run import MEASURES
from stages import study, train
from tests.conftest import REPOSITORY
from tests.processes import ONE_CORE
from tests.stages.workspace import prepare_table

pytestmark = pytest.mark.usefixtures("in_this_process")

OUT = Path("reports/study/compas_senn.csv")
ROUNDINGS = Path("reports/roundings/compas_senn.csv")


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> dict:
    """A folder with params.yaml, a prepared table, and a cell store of its own."""
    monkeypatch.chdir(tmp_path)
    evaluation._protocol.cache_clear()  # of another test's folder, of the same relative paths
    monkeypatch.setenv("SENN_CELL_STORE", str(tmp_path / "store"))
    content = yaml.safe_load((REPOSITORY / "presets/smoke.yaml").read_text())
    content["experiments"]["compas_senn"] |= {"batch_size": 30, "eval_freq": 2}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    prepare_table(test_examples=50)
    return content


def run(monkeypatch, stage=study, experiment="compas_senn") -> None:
    monkeypatch.setattr("sys.argv", ["stage", experiment])
    stage.main()


def test_whole_study(workspace, monkeypatch, capsys):
    """After `train`: a row a cell, shared cells trained once, the same bytes in another process."""
    run(monkeypatch, train)
    shutil.rmtree("models")
    capsys.readouterr()
    run(monkeypatch)
    # Under review2020 the study of the smoke preset has the same grid as `train`.
    printed = capsys.readouterr().out
    assert "compas_senn (review2020, batch): 4 of 4 cells reused from the cell store" in printed
    assert printed.count("reused") == 1
    assert "study of compas_senn: measuring 8 models" in printed
    assert " of compas_senn (review2020, batch, jittered) done, valid accuracy" in printed
    assert "compas_senn: 8 cells in " in printed
    assert not Path("models").exists()  # they are in the cell store alone
    _check_table(workspace["study"]["compas_senn"])
    _check_roundings(workspace["study"]["compas_senn"])

    here = OUT.read_bytes(), ROUNDINGS.read_bytes()
    OUT.unlink()
    outside = {"PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": "12345", "SENN_CELL_STORE": "off"}
    command = [sys.executable, "-m", "stages.study", "compas_senn"]
    one_core = partial(os.sched_setaffinity, 0, ONE_CORE)
    subprocess.run(command, env=os.environ | outside, preexec_fn=one_core, check=True)
    assert (OUT.read_bytes(), ROUNDINGS.read_bytes()) == here


def _check_table(settings: dict) -> None:
    cells = pd.read_csv(OUT)
    names = ["experiment", "variant", "reduction", "robust_reg", "seed"]
    assert list(cells) == [*names, *MEASURES, *REFERENCES]
    expected = [
        ("compas_senn", variant, reduction, robust_reg, seed)
        for variant in settings["variants"]
        for reduction in settings["reductions"]
        for robust_reg in settings["lambda_grid"]
        for seed in settings["seeds"]
    ]
    assert list(cells[names].itertuples(index=False, name=None)) == expected
    assert cells["accuracy"].between(0, 1).all()
    assert (cells[[*REFERENCES]].nunique() == 1).all()


def _check_roundings(settings: dict) -> None:
    """The accuracies of the cells as they are are those of the study."""
    cells = pd.read_csv(ROUNDINGS)
    names = ["experiment", "robust_reg", "seed"]
    assert list(cells) == [*names, "accuracy", "accuracy_jittered"]
    seeds = settings["seeds"][: settings["rounding_seeds"]]
    expected = [("compas_senn", reg, seed) for reg in settings["lambda_grid"] for seed in seeds]
    assert list(cells[names].itertuples(index=False, name=None)) == expected
    study = pd.read_csv(OUT).query("variant == 'review2020' and reduction == 'batch'")
    merged = cells.merge(study, on=names)
    assert len(merged) == len(cells)
    assert (merged["accuracy_x"] == merged["accuracy_y"]).all()


def test_no_roundings_where_none_are_asked_for(workspace, monkeypatch):
    workspace["study"]["compas_senn"]["rounding_seeds"] = 0
    Path("params.yaml").write_text(yaml.safe_dump(workspace))
    run(monkeypatch)
    assert ROUNDINGS.read_text() == "experiment,robust_reg,seed,accuracy,accuracy_jittered\n"


def test_an_experiment_that_is_not_studied(workspace, monkeypatch):
    with pytest.raises(PipelineError, match="study: has compas_senn, mnist_senn, not mnist_disenn"):
        run(monkeypatch, experiment="mnist_disenn")
    assert not Path("reports").exists()
