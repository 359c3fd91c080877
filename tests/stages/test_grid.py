from pathlib import Path

import pandas as pd
import pytest
import yaml

from stages import grid
from tests.conftest import REPOSITORY


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the files of the default run, with `changes` to its params; their content."""
    monkeypatch.chdir(tmp_path)

    def written(**changes):
        params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
        Path("params.yaml").write_text(yaml.safe_dump(params | changes))
        grid.main()
        return {path.stem: path.read_bytes() for path in Path("data/grid").iterdir()}

    return written


def test_has_every_cell_of_every_experiment_once(write, capsys):
    files = write(lambda_grid=[0.01, 1.0], seeds=[7, 8])
    params = yaml.safe_load(Path("params.yaml").read_text())
    assert files.keys() == params["experiments"].keys()
    cells = pd.read_csv("data/grid/mnist_senn.csv")
    assert list(cells) == ["experiment", "robust_reg", "seed"]
    rows = sorted(cells.itertuples(index=False, name=None))
    assert rows == [("mnist_senn", reg, seed) for reg in (0.0001, 0.01, 1.0) for seed in (7, 8)]
    tables = pd.read_csv("data/grid/uci.csv")
    assert set(tables["experiment"]) == {
        f"uci_{table}" for table in params["experiments"]["uci"]["tables"]
    }
    assert not tables.duplicated().any()
    assert "mnist_senn: 6 models" in capsys.readouterr().out


def test_another_headline_of_the_grid_changes_nothing(write):
    before = write(robust_reg=0.0001)
    assert write(robust_reg=0.1) == before
    changed = write(robust_reg=0.5)
    assert all(changed[name] != before[name] for name in before)
