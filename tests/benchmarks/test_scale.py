from benchmarks.scale import EPOCHS, grid_params
from pipeline.core.cells import grid
from pipeline.core.params import Params


def test_the_grid_has_so_many_cells_and_nothing_else_is_trained():
    params = Params.model_validate(grid_params(1000))
    assert len(grid(params, "compas_senn")) == 1000
    assert list(params.experiments) == list(params.study) == ["compas_senn"]
    assert params.experiment("compas_senn").epochs == EPOCHS
