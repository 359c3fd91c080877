"""The definitions of the robustness loss that the study compares."""

from itertools import product
from typing import NamedTuple

from pipeline.core.params import Params, Robustness, Study
from pipeline.core.params_choices import Variant
from pipeline.core.params_types import Reduction


class Definition(NamedTuple):
    """One definition of L_θ: whose residual, and how examples are summed up."""

    variant: Variant
    reduction: Reduction

    def __str__(self) -> str:
        return f"{self.variant}, {self.reduction}"


def definitions(study: Study) -> list[Definition]:
    """Every variant with every reduction, in the order of params.yaml."""
    return [Definition(*pair) for pair in product(study.variants, study.reductions)]


def params_for(params: Params, name: str, definition: Definition) -> Params:
    """`params` with which experiment `name` is trained under `definition`, on the study's grid.

    What `train` makes of equal λ, seeds and robustness has the same fingerprints, so that such
    cells are trained once.
    """
    study = params.study_of(name)
    experiment = params.experiment(name).model_copy(update={"lambda_grid": None, "seeds": None})
    changes = {
        "robustness": Robustness(**definition._asdict(), probes=study.probes),
        "robust_reg": study.lambda_grid[0],
        "lambda_grid": study.lambda_grid,
        "seeds": study.seeds,
        "experiments": params.experiments | {name: experiment},
    }
    return params.model_copy(update=changes)
