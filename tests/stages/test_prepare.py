import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline.core.dataset import load_dataset
from pipeline.core.errors import PipelineError
from stages import prepare
from tests.conftest import REPOSITORY


@pytest.fixture
def workspace(tmp_path, raw_data, monkeypatch):
    """A folder with params.yaml and the raw files of compas; the current one."""
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    shutil.copytree(raw_data("compas"), tmp_path / "data/raw/compas")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(name: str, monkeypatch) -> Path:
    monkeypatch.setattr("sys.argv", ["prepare", name])
    prepare.main()
    return Path("data/prepared", name)


def test_compas(workspace, monkeypatch, capsys):
    folder = run("compas", monkeypatch)
    assert sorted(path.name for path in folder.iterdir()) == ["data.safetensors", "table.csv"]
    dataset = load_dataset(folder)
    assert (dataset.name, dataset.input_shape) == ("compas", (11,))
    table = pd.read_csv(folder / "table.csv")
    assert table["split"].value_counts().to_dict() == {"train": 3_858, "valid": 429, "test": 1_072}
    rows = table[table["split"] == "test"]
    assert rows["score_factor"].tolist() == dataset.test.y.tolist()
    written = rows[list(dataset.feature_names)].to_numpy("float32")
    assert (written == dataset.test.x.numpy()).all()
    assert capsys.readouterr().out.startswith("compas: 3858 train, 429 valid, 1072 test")


def test_mnist_5k(workspace, raw_data, monkeypatch):
    shutil.copytree(raw_data("mnist_5k"), "data/raw/mnist_5k")
    folder = run("mnist_5k", monkeypatch)
    assert [path.name for path in folder.iterdir()] == ["data.safetensors"]
    dataset = load_dataset(folder)
    assert (dataset.name, dataset.input_shape) == ("mnist_5k", (1, 28, 28))
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == (4_000, 500, 500)
    assert dataset.class_names == tuple("0123456789")


def test_same_bytes_in_every_process(workspace, monkeypatch):
    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    here = contents(run("compas", monkeypatch))
    shutil.rmtree("data/prepared")
    subprocess.run(
        [sys.executable, "-m", "stages.prepare", "compas"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": "12345"},
        check=True,
    )
    assert contents(Path("data/prepared/compas")) == here


def test_split_follows_split_seed(workspace, monkeypatch):
    params = yaml.safe_load(Path("params.yaml").read_text())
    digests = []
    for seed in (params["split_seed"], params["split_seed"] + 1):
        Path("params.yaml").write_text(yaml.safe_dump(params | {"split_seed": seed}))
        digests.append(load_dataset(run("compas", monkeypatch)).digest)
    assert digests[0] != digests[1]


def test_raw_file_missing_or_truncated(workspace, monkeypatch):
    path = Path("data/raw/compas/compas-scores-two-years.csv")
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"\n", 0, -1) + 1])  # still a whole table, a row less
    with pytest.raises(PipelineError, match=rf"{path}: wrong content.*stages\.download compas"):
        run("compas", monkeypatch)
    path.unlink()
    with pytest.raises(PipelineError, match=rf"{path}: not there.*stages\.download compas"):
        run("compas", monkeypatch)
    assert not Path("data/prepared").exists()


def test_params_are_checked_first(workspace, monkeypatch):
    Path("params.yaml").write_text("split_seed: -1\n")
    shutil.rmtree("data")
    with pytest.raises(PipelineError, match=r"params\.yaml: split_seed: "):
        run("compas", monkeypatch)
