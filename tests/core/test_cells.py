from pathlib import Path

import pandas as pd
import pytest

from pipeline.core.cells import Cell, grid, rows_at
from pipeline.core.errors import PipelineError
from tests.training.grids import SMOKE, settings


@pytest.mark.parametrize(
    ("robust_reg", "folder"),
    [(0.0, "0"), (1.0, "1"), (1e-4, "0.0001"), (1e-5, "1e-05"), (0.25, "0.25")],
)
def test_path_and_name(robust_reg, folder):
    cell = Cell("mnist_senn", robust_reg, 29)
    path = Path("models", "mnist_senn", f"lambda={folder}", "seed=29.safetensors")
    assert cell.path(Path("models")) == path
    assert str(cell) == f"mnist_senn λ={folder} seed=29"


def test_grid_is_headline_and_grid_times_seeds():
    params = settings({"robust_reg": 0.5, "lambda_grid": [1.0, 0.0], "seeds": [7, 3]})
    expected = [Cell("mnist_senn", reg, seed) for seed in (7, 3) for reg in (0.0, 0.5, 1.0)]
    assert grid(params, "mnist_senn") == expected
    within = settings({"robust_reg": 0.5, "lambda_grid": [0.5, 0.0], "seeds": [7]})
    assert grid(within, "mnist_senn") == [Cell("mnist_senn", reg, 7) for reg in (0.0, 0.5)]


def test_an_experiments_own_grid():
    params = settings({"robust_reg": 0.5, "experiments.mnist_disenn.lambda_grid": [0.125]})
    assert {cell.robust_reg for cell in grid(params, "mnist_disenn")} == {0.125, 0.5}
    assert {cell.robust_reg for cell in grid(params, "mnist_senn")} == {*SMOKE.lambda_grid, 0.5}


def test_an_experiments_own_seeds():
    params = settings({"seeds": [7, 3], "experiments.mnist_disenn.seeds": [3]})
    assert [cell.seed for cell in grid(params, "mnist_disenn")] == [3, 3]
    assert [cell.seed for cell in grid(params, "mnist_senn")] == [7, 7, 3, 3]


def test_grid_of_an_experiment_that_is_not_there():
    with pytest.raises(PipelineError, match=r"experiments: .*not mnist_sen.*mnist_senn\?"):
        grid(SMOKE, "mnist_sen")


def test_lambdas_are_told_apart_by_six_digits():
    table = pd.DataFrame({"robust_reg": [0.1, 0.1 + 1e-9, 0.100001, 1e-4], "seed": [1, 2, 3, 4]})
    assert rows_at(table, 0.1)["seed"].tolist() == [1, 2]
    assert rows_at(table, 1e-4)["seed"].tolist() == [4]
    assert rows_at(table, 2.0).empty
