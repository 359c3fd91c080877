import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from pipeline.data.dataset import Prepared, Split, save_dataset
from pipeline.errors import PipelineError
from pipeline.explanations.methods import METHODS
from pipeline.metrics import comparison_grid
from pipeline.metrics.scores import CURVES, SCORES
from pipeline.models.building import Inputs, build_senn
from pipeline.params import load_params
from pipeline.training.cells import Cell, save_weights
from stages import explain

REPOSITORY = Path(__file__).resolve().parents[2]
OUTS = [f"reports/{folder}/compas_senn.csv" for folder in ("methods", "methods_curves")]
SUMMARY = "reports/metrics/methods/compas_senn.json"
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
    content = yaml.safe_load((REPOSITORY / "presets/smoke.yaml").read_text())
    content |= {"seeds": [2, 1], "device": "cpu", "explain": SMALL}
    content["evaluate"]["bootstrap"] = 100
    Path("params.yaml").write_text(yaml.safe_dump(content))

    generator = torch.Generator().manual_seed(0)

    def split(size):
        x = torch.rand(size, 11, generator=generator)
        return Split(x, (x.sum(1) > 5.5).long())

    names = tuple(f"feature {i}" for i in range(11))
    prepared = Prepared("compas", split(90), split(20), split(30), names, ("Low", "High"))
    save_dataset(Path("data/prepared/compas"), prepared)
    params = load_params(Path("params.yaml"))
    experiment = params.experiment("compas_senn")
    for seed in (1, 2):
        cell = Cell("compas_senn", params.robust_reg, seed)
        model = build_senn("compas_senn", experiment, params.vae, Inputs((11,), 0.0, 1.0), seed)
        metadata = {
            "experiment": "compas_senn",
            "seed": seed,
            "params": {
                "experiment": experiment.model_dump(mode="json"),
                "vae": params.vae.model_dump(mode="json"),
            },
            "input_shape": [11],
            "mean": 0.0,
            "std": 1.0,
        }
        save_weights(cell.path(Path("models")), model.state_dict(), metadata)


def run(monkeypatch, experiment="compas_senn"):
    monkeypatch.setattr("sys.argv", ["explain", experiment])
    explain.main()


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Tasks are done here, in an order of their own."""
    comparison_grid._examination.cache_clear()
    orders = iter((list, lambda indices: indices[::-1]))

    def one_after_another(work, tasks, device, report):
        for index in next(orders)(range(len(tasks))):
            yield index, work(tasks[index], lambda *_: None)

    monkeypatch.setattr(comparison_grid, "run_side_by_side", one_after_another)


def test_every_method_gets_every_score_and_the_same_bytes_in_any_order(
    workspace, monkeypatch, capsys
):
    run(monkeypatch)
    scores, curves = (pd.read_csv(path) for path in OUTS)
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
    summary = json.loads(Path(SUMMARY).read_text())
    assert (summary["methods"], summary["seeds"], summary["examples"]) == (len(METHODS), 1, 4)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(METHODS)
    assert "compas_senn λ=0.0001 seed=2: lime, 2 examples" in lines
    assert not any("seed=1" in line for line in lines)

    here = [Path(path).read_bytes() for path in (*OUTS, SUMMARY)]
    for path in (*OUTS, SUMMARY):
        Path(path).unlink()
    comparison_grid._examination.cache_clear()
    torch.manual_seed(12345)
    run(monkeypatch)
    assert [Path(path).read_bytes() for path in (*OUTS, SUMMARY)] == here


def test_a_missing_cell_is_named_and_nothing_is_written(workspace, monkeypatch):
    gone = Path("models/compas_senn/lambda=0.0001/seed=2.safetensors")
    gone.unlink()
    with pytest.raises(PipelineError, match=str(gone)):
        run(monkeypatch)
    assert not Path("reports").exists()


def test_an_unknown_experiment_gets_a_hint(workspace, monkeypatch):
    with pytest.raises(PipelineError, match="did you mean compas_senn"):
        run(monkeypatch, "compas_sen")
