"""Studies that never were: what is measured follows from curves that are known."""

import numpy as np

from pipeline.core.params import load_params
from pipeline.study.definitions import Definition
from pipeline.study.measured import MeasuredStudy
from tests.conftest import REPOSITORY
from tests.study.tables import study_table

PARAMS = load_params(REPOSITORY / "params.yaml")
REFERENCES = {"majority_accuracy": 0.6, "linear_accuracy": 0.76, "constant_from_batch": 0.05}
SEEDS = (-0.002, 0.0, 0.002)


def falling(lost: float, factor: float = 1.0, to: float = 1.0):
    """Accuracy .8 until λ · factor = 1e-4, then less by `lost` up to λ · factor = `to`."""

    def curve(robust_reg: float) -> float:
        along = np.log10(robust_reg * factor / 1e-4) / np.log10(to / 1e-4)
        return float(0.8 - lost * np.clip(along, 0, 1))

    return curve


def study(
    curves: dict, name: str = "compas_senn", references=REFERENCES, **options
) -> MeasuredStudy:
    experiment = PARAMS.experiment(name)
    table = study_table(curves, seeds=SEEDS, **options)
    return MeasuredStudy(experiment, table.assign(**references), 100)


def four(paper: float, review: float, factor: float = 200**0.5, **options) -> MeasuredStudy:
    """Both variants with both reductions, λ weighing `factor` times as much under batch."""
    lost = {"paper2018": paper, "review2020": review}
    curves = {}
    for variant, points in lost.items():
        curves[Definition(variant, "batch")] = falling(points, factor, to=200**0.5)
        curves[Definition(variant, "example")] = falling(points, to=200**0.5)
    return study(curves, **options)
