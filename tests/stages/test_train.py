import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import yaml

from pipeline.core.cells import Cell, grid
from pipeline.core.params import load_params
from pipeline.core.stage import run_stage
from pipeline.core.tensors import read_tensors
from pipeline.models.weights import load_cell
from stages import pretrain, train
from tests.conftest import REPOSITORY
from tests.training.grids import run_in_turn, settings, write_data

SIZES = {"epochs": 2, "batch_size": 12, "eval_freq": 3}
METADATA = {
    "experiment",
    "robust_reg",
    "seed",
    "params",
    "fingerprint",
    "torch",
    "device",
    "data",
    "code",
    "valid_accuracy",
    "step",
    "curve",
}


def write_params(changes: dict[str, Any] | None = None) -> None:
    """params.yaml of the current folder: the smoke preset, smaller still, with `changes`."""
    sizes = {
        f"experiments.{name}.{key}": value
        for name in ("compas_senn", "mnist_disenn")
        for key, value in SIZES.items()
    }
    sizes |= {"pretrain.batch_size": 12}
    params = settings({**sizes, **(changes or {})})
    Path("params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))


def prepare(folder: Path) -> None:
    """params.yaml and prepared data in `folder`, and make it the current one."""
    os.chdir(folder)
    write_params()
    write_data("compas_senn", Path("data/prepared/compas"), train=50, valid=40)
    write_data("mnist_disenn", Path("data/prepared/mnist_5k"), train=50, valid=40)


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """A folder with params.yaml and prepared data, the current one; there is no cell store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENN_CELL_STORE", "off")
    prepare(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, str]:
    """A workspace in which the stage trained compas_senn, with a cell store; and what it said."""
    folder, before = tmp_path_factory.mktemp("trained"), Path.cwd()
    try:
        prepare(folder)
        result = run("train", "compas_senn", SENN_CELL_STORE="store", PYTHONHASHSEED="1")
    finally:
        os.chdir(before)
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def run(stage: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a stage as DVC does."""
    return subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
    )


def contents(folder: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def main_of(stage: ModuleType, *arguments: str) -> None:
    """Run a stage in this process alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [stage.__name__, *arguments])
        patch.setattr("pipeline.core.tasks.run_side_by_side", run_in_turn)
        stage.main()


def error_of(*arguments: str) -> str:
    """What ``train`` says when it fails, in this process."""
    with pytest.raises(SystemExit) as caught:
        run_stage(lambda: main_of(train, *arguments))
    return str(caught.value.code)


def test_writes_cells_and_curves(trained, monkeypatch):
    folder, output = trained
    monkeypatch.chdir(folder)
    assert "compas_senn: 4 cells" in output
    cells = grid(load_params(), "compas_senn")
    assert set(contents("models")) == {str(cell.path(Path("models"))) for cell in cells}
    assert set(contents("reports")) == {"reports/curves/compas_senn.csv"}

    curves = pd.read_csv("reports/curves/compas_senn.csv")
    for cell in cells:
        _, metadata = load_cell(cell.path(Path("models")))
        assert metadata.keys() >= METADATA
        curve = curves[(curves["robust_reg"] == cell.robust_reg) & (curves["seed"] == cell.seed)]
        # 50 examples in batches of 12: 8 steps, validated after every third and the last.
        assert curve["step"].tolist() == [3, 6, 8]
        assert curve["valid_accuracy"].max() == pytest.approx(metadata["valid_accuracy"])
        assert metadata["curve"] == [
            pytest.approx(row)
            for row in curve.drop(columns=["experiment", "robust_reg", "seed"]).to_dict("records")
        ]
    assert len(curves) == 3 * len(cells)
    assert not curves.isna().any().any()


def test_same_bytes_from_the_store(trained, workspace, monkeypatch, capsys):
    folder, _ = trained
    monkeypatch.setenv("SENN_CELL_STORE", str(folder / "store"))
    main_of(train, "compas_senn")
    assert "compas_senn: 4 of 4 cells reused" in capsys.readouterr().out
    here = {**contents("models"), **contents("reports")}
    monkeypatch.chdir(folder)
    assert here == {**contents("models"), **contents("reports")}


def test_same_bytes_in_another_process_and_grid(trained, workspace, capsys):
    folder, _ = trained
    write_params({"robust_reg": 0.01, "lambda_grid": [0.001, 1.0], "seeds": [333]})
    main_of(train, "compas_senn")
    assert "reused" not in capsys.readouterr().out
    cell = Cell("compas_senn", 0.01, 333).path(Path("models"))
    assert len(contents("models")) == 3
    assert cell.read_bytes() == (folder / cell).read_bytes()


def test_disenn_from_pretraining_to_cells(workspace):
    write_params({"seeds": [333], "experiments.mnist_disenn.lr": 1e-30})
    main_of(pretrain)
    main_of(train, "mnist_disenn")
    vae, _ = read_tensors(Path("models/vae/seed=333.safetensors"))
    weights, metadata = read_tensors(Cell("mnist_disenn", 0.01, 333).path(Path("models")))
    assert metadata.keys() >= METADATA
    # With so small a learning rate the conceptizer hardly leaves its pretrained weights.
    assert all((weights[f"conceptizer.{name}"] == value).all() for name, value in vae.items())


def test_an_error_in_a_worker_is_one_line(workspace):
    write_params({"experiments.compas_senn.batch_size": 51})
    result = run("train", "compas_senn")
    assert result.returncode == 1
    assert result.stderr == (
        "error: params.yaml: experiments.compas_senn.batch_size: "
        "must be ≤ the 50 training examples, got 51\n"
    )
    assert not Path("models").exists() and not Path("reports").exists()


def test_broken_params_are_reported_first(workspace):
    shutil.rmtree("data")
    write_params()
    Path("params.yaml").write_text(Path("params.yaml").read_text() + "sedes: [1]\n")
    message = error_of("compas_senn")
    assert message.startswith("error: params.yaml: sedes: ") and "seeds?" in message
    assert len(message.splitlines()) == 1


def test_an_unknown_experiment(workspace):
    message = error_of("compas_sen")
    assert message.startswith("error: params.yaml: experiments: ") and "compas_senn?" in message


def test_a_device_that_is_not_there(workspace):
    write_params({"device": "cuda:99"})
    assert error_of("compas_senn").startswith("error: params.yaml: device: cuda:99 does not exist")


def test_data_that_are_not_there(workspace):
    path = Path("data/prepared/compas/data.safetensors")
    path.unlink()
    message = error_of("compas_senn")
    assert message.startswith(f"error: cannot read {path}: ") and "`dvc repro`" in message
    assert len(message.splitlines()) == 1


def test_pretrained_weights_that_are_not_there(workspace):
    message = error_of("mnist_disenn")
    assert message.startswith("error: cannot read models/vae/seed=111.safetensors: ")
    assert len(message.splitlines()) == 1


def test_data_of_another_number_of_classes(workspace):
    write_params()
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["experiments"]["compas_senn"]["num_classes"] = 3
    Path("params.yaml").write_text(yaml.safe_dump(params))
    expected = "error: params.yaml: experiments.compas_senn.num_classes: must be 2"
    assert error_of("compas_senn").startswith(expected)
