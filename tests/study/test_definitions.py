import pytest

from pipeline.core.cells import grid
from pipeline.core.errors import PipelineError
from pipeline.core.params import load_params
from pipeline.study.definitions import Definition, definitions, params_for
from tests.conftest import REPOSITORY

PARAMS = load_params(REPOSITORY / "presets/paper.yaml")


def test_every_variant_with_every_reduction():
    both = ("batch", "example")
    variants = ("paper2018", "review2020", "authors2018")
    expected = [Definition(v, r) for v in variants for r in both]
    assert definitions(PARAMS.study["compas_senn"]) == expected


def test_params_differ_in_grid_and_robustness_alone():
    definition = Definition("authors2018", "example")
    params = params_for(PARAMS, "compas_senn", definition)
    assert params.robustness.model_dump() == {**definition._asdict(), "probes": "exact"}
    cells = grid(params, "compas_senn")
    assert {cell.robust_reg for cell in cells} == {1e-4, 1e-3, 1e-2, 1e-1, 1.0}
    assert {cell.seed for cell in cells} == set(PARAMS.study["compas_senn"].seeds)
    grid_of_its_own = {"compas_senn": {"lambda_grid", "seeds"}}
    varied = dict.fromkeys(("robustness", "robust_reg", "lambda_grid", "seeds"), True)
    varied |= {"experiments": grid_of_its_own}
    assert params.model_dump(exclude=varied) == PARAMS.model_dump(exclude=varied)


def test_neither_the_headline_nor_an_own_grid_has_a_part_in_it():
    experiment = PARAMS.experiments["mnist_senn"].model_copy(
        update={"lambda_grid": (0.7,), "seeds": (9,)}
    )
    experiments = PARAMS.experiments | {"mnist_senn": experiment}
    other = PARAMS.model_copy(update={"robust_reg": 0.3, "experiments": experiments})
    definition = Definition("review2020", "batch")
    expected = grid(params_for(PARAMS, "mnist_senn", definition), "mnist_senn")
    assert grid(params_for(other, "mnist_senn", definition), "mnist_senn") == expected


def test_an_experiment_that_is_not_studied():
    with pytest.raises(PipelineError, match="study: has compas_senn, mnist_senn, not mnist_disenn"):
        params_for(PARAMS, "mnist_disenn", Definition("paper2018", "batch"))
