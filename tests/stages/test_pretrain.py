import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pipeline.core.stage import run_stage
from pipeline.core.tensors import read_tensors
from stages import pretrain
from tests.conftest import REPOSITORY
from tests.training.grids import settings, write_digits


def write_params(changes: dict[str, Any] | None = None) -> None:
    """params.yaml of the current folder: the smoke preset in smaller batches, with `changes`."""
    sizes = {"pretrain.batch_size": 12, "pretrain.pretrain_epochs": 2}
    params = settings({**sizes, **(changes or {})})
    Path("params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch, in_this_process) -> None:
    """A folder with params.yaml and prepared images, the current one; the stage is run here."""
    monkeypatch.chdir(tmp_path)
    write_params()
    write_digits(Path("data/prepared/mnist_5k"), train=50, valid=40)


def contents() -> dict[str, bytes]:
    written = [path for folder in ("models", "reports") for path in Path(folder).rglob("*.*")]
    return {str(path): path.read_bytes() for path in written}


def error() -> str:
    """What the stage says when it fails."""
    with pytest.raises(SystemExit) as caught:
        run_stage(pretrain.main)
    return str(caught.value.code)


def test_writes_a_vae_per_seed_and_curves():
    pretrain.main()
    assert sorted(contents()) == [
        "models/vae/seed=111.safetensors",
        "models/vae/seed=333.safetensors",
        "reports/curves/vae.csv",
    ]
    for seed in (111, 333):
        _, metadata = read_tensors(Path(f"models/vae/seed={seed}.safetensors"))
        assert metadata["seed"] == seed
        assert metadata.keys() >= {"params", "data", "code", "torch", "device"}
    curves = pd.read_csv("reports/curves/vae.csv")
    assert curves[["seed", "epoch"]].values.tolist() == [[111, 1], [111, 2], [333, 1], [333, 2]]
    assert not curves.isna().any().any()


def test_same_bytes_in_every_process():
    write_params({"seeds": [333]})
    pretrain.main()
    here = contents()
    for path in here:
        Path(path).unlink()
    subprocess.run(
        [sys.executable, "-m", "stages.pretrain"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": "1"},
        check=True,
    )
    assert contents() == here


def test_a_batch_larger_than_the_data():
    write_params({"pretrain.batch_size": 51})
    assert error() == (
        "error: params.yaml: pretrain.batch_size: must be ≤ the 50 training examples, got 51"
    )
    assert contents() == {}


def test_data_that_are_not_there():
    path = Path("data/prepared/mnist_5k/data.safetensors")
    path.unlink()
    assert error().startswith(f"error: cannot read {path}: ")


def test_broken_params():
    Path("params.yaml").write_text("pretrain: {lr: -1}\n")
    assert "params.yaml: pretrain.lr: must be > 0, got -1" in error()


def test_a_device_that_is_not_there():
    write_params({"device": "cuda:99"})
    assert error().startswith("error: params.yaml: device: cuda:99 does not exist")
